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

    /// So long from now.
    pub(crate) fn after(allowed: Duration) -> Self {
        Self(Instant::now().checked_add(allowed))
    }

    /// A share of what is left of it, 0 to 1, and no more than a limit: the rest is for doing without an answer.
    pub(crate) fn share(self, share: f64, at_most: Duration) -> Self {
        let now = Instant::now();
        let left = self.0.map(|deadline| deadline.saturating_duration_since(now).mul_f64(share));
        Self(now.checked_add(left.unwrap_or(at_most).min(at_most)))
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
    fn a_share_is_of_what_is_left_and_no_more_than_the_limit() {
        let left = |deadline: Deadline| grpc_timeout(deadline.within(()).metadata());
        let minute = Deadline::of(&asked("60S"));
        let none = Deadline::of(&Request::new(()));
        let limit = Duration::from_secs(10);

        let half = left(minute.share(0.5, Duration::MAX)).unwrap();
        let limited = left(minute.share(0.5, limit)).unwrap();
        let of_none = left(none.share(0.5, limit)).unwrap();

        assert!(half <= Duration::from_secs(30) && half > limit, "{half:?}");
        assert!(limited <= limit && of_none <= limit, "{limited:?} {of_none:?}");
        assert_eq!(left(none.share(0.5, Duration::MAX)), None);
    }

    #[test]
    fn no_deadline_or_a_malformed_one_is_not_passed_on() {
        for request in [Request::new(()), asked("S"), asked("5"), asked("-1S"), asked("123456789S")] {
            let deadline = Deadline::of(&request);

            assert_eq!(deadline.within(()).metadata().get("grpc-timeout"), None);
        }
    }
}
