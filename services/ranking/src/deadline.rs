//! Until when an answer is of use, as the caller said it.

use std::time::{Duration, Instant};

use finrank_serving::deadline::{TIMEOUT_HEADER, parse_timeout};
use tonic::{Request, metadata::MetadataMap};

/// A request's deadline, to be passed on to whom we ask in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// From the time that the caller allowed, counted from now; none when it allowed any.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        let allowed = grpc_timeout(request.metadata());
        Self(allowed.and_then(|allowed| Instant::now().checked_add(allowed)))
    }

    /// A message that is to be answered within what is left of it.
    pub(crate) fn within<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Self(Some(deadline)) = self {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        request
    }
}

fn grpc_timeout(metadata: &MetadataMap) -> Option<Duration> {
    parse_timeout(metadata.get(TIMEOUT_HEADER)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(timeout: &str) -> Request<()> {
        let mut request = Request::new(());
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        request
    }

    #[test]
    fn what_is_left_is_passed_on_in_the_unit_of_grpc() {
        let deadline = Deadline::of(&asked("90S"));

        let passed_on = grpc_timeout(deadline.within(()).metadata()).unwrap();

        assert!(passed_on > Duration::from_secs(30) && passed_on <= Duration::from_secs(90), "{passed_on:?}");
    }

    #[test]
    fn no_deadline_or_a_malformed_one_is_not_passed_on() {
        for request in [Request::new(()), asked("S"), asked("5"), asked("-1S"), asked("123456789S")] {
            let deadline = Deadline::of(&request);

            assert_eq!(deadline.within(()).metadata().get("grpc-timeout"), None);
        }
    }
}
