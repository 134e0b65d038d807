//! Refusals as clients see them: a code, a message, and `google.rpc` details that a program can act on.

use std::{collections::HashMap, error::Error, time::Duration};

use finrank_model::InvalidField;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};
use tracing::error;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "finrank";

/// INVALID_ARGUMENT for one field.
pub fn invalid_field(invalid: &InvalidField) -> Status {
    invalid_fields(std::slice::from_ref(invalid))
}

/// INVALID_ARGUMENT for several fields, each with its path.
pub fn invalid_fields(invalid: &[InvalidField]) -> Status {
    let message = invalid.iter().map(InvalidField::to_string).collect::<Vec<_>>().join("; ");
    let violations: Vec<FieldViolation> =
        invalid.iter().map(|invalid| FieldViolation::new(&invalid.field, &invalid.reason)).collect();
    let mut details = reason("INVALID_FIELD");
    details.set_bad_request(violations);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// NOT_FOUND, naming the field that named what is not there.
pub fn not_found(reason_code: &str, message: impl Into<String>, field: &str) -> Status {
    let message = message.into();
    let mut details = reason(reason_code);
    details.set_bad_request(vec![FieldViolation::new(field, &message)]);
    Status::with_error_details(Code::NotFound, message, details)
}

/// FAILED_PRECONDITION: what is asked for is known but not ready to be used so.
pub fn failed_precondition(reason_code: &str, message: impl Into<String>) -> Status {
    Status::with_error_details(Code::FailedPrecondition, message, reason(reason_code))
}

/// PERMISSION_DENIED: of what is asked for, each of `denied` is not for the purpose that was stated, and why.
pub fn permission_denied(
    reason_code: &str,
    message: impl Into<String>,
    denied: impl IntoIterator<Item = (String, String)>,
) -> Status {
    let violation = |(subject, why)| PreconditionViolation::new("PURPOSE", subject, why);
    let mut details = reason(reason_code);
    details.set_precondition_failure(denied.into_iter().map(violation).collect::<Vec<_>>());
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// UNAVAILABLE: the same request may succeed after a while.
pub fn unavailable(reason_code: &str, message: impl Into<String>, retry_after: Duration) -> Status {
    let mut details = reason(reason_code);
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// RESOURCE_EXHAUSTED: the server has as much to do as it takes on.
pub fn overloaded(retry_after: Duration) -> Status {
    let mut details = reason("OVERLOADED");
    details.set_retry_info(Some(retry_after));
    Status::with_error_details(Code::ResourceExhausted, "the server sheds load; try again", details)
}

/// DEADLINE_EXCEEDED: the answer took longer than the caller, or the server, allows.
pub fn deadline_exceeded(limit: Duration) -> Status {
    let message = format!("not answered within {limit:?}");
    Status::with_error_details(Code::DeadlineExceeded, message, reason("DEADLINE_EXCEEDED"))
}

/// DEADLINE_EXCEEDED: a stream that a client writes has been silent for too long.
pub fn idle(limit: Duration) -> Status {
    let message = format!("no message came for {limit:?}; earlier messages are kept");
    Status::with_error_details(Code::DeadlineExceeded, message, reason("IDLE_STREAM"))
}

/// DEADLINE_EXCEEDED: a client did not take what it was sent, and has not been sent all.
pub fn too_slow(limit: Duration) -> Status {
    let message = format!("nothing was taken for {limit:?}; what came is not all");
    Status::with_error_details(Code::DeadlineExceeded, message, reason("SLOW_CLIENT"))
}

/// INTERNAL: our fault. The log tells all, the client is told nothing that could hold somebody's data.
pub fn internal(cause: &(dyn Error + 'static)) -> Status {
    error!(error = cause, "request failed");
    Status::with_error_details(
        Code::Internal,
        "internal error; the server's log says more",
        reason("INTERNAL"),
    )
}

fn reason(code: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(code, DOMAIN, HashMap::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_invalid_field_in_message_and_details() {
        let status =
            invalid_fields(&[InvalidField::new("k", "is 0"), InvalidField::new("user_id", "is empty")]);

        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "k is 0; user_id is empty");
        let fields: Vec<String> = status
            .get_details_bad_request()
            .unwrap()
            .field_violations
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        assert_eq!(fields, ["k", "user_id"]);
        assert_eq!(status.get_details_error_info().unwrap().domain, "finrank");
    }

    #[test]
    fn an_internal_error_tells_the_client_nothing_of_its_cause() {
        let cause = std::io::Error::other("customer 4711's file");

        let status = internal(&cause);

        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("4711"));
    }

    #[test]
    fn says_when_to_come_back() {
        let status = unavailable("NO_CATALOGUE", "not yet", Duration::from_secs(2));

        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(2)));
    }
}
