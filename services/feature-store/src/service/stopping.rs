//! Streams of answers that a stopping server cuts off: they end with an error, so that no client takes a part for the
//! whole.

use std::time::Duration;

use finrank_serving::status;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// When to ask a server that does not stop.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// UNAVAILABLE: the server stops.
pub(super) fn stopped(advice: &str) -> Status {
    status::unavailable("STOPPED", format!("the server stops; {advice}"), RETRY_AFTER)
}

/// The answers, or as many as there are until the server stops, and then that it does.
pub(super) fn until_stopped<T>(
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    stop: CancellationToken,
) -> impl Stream<Item = Result<T, Status>> + Send {
    stream::try_unfold((answers.boxed(), stop), |(mut answers, stop)| async move {
        tokio::select! {
            answer = answers.try_next() => Ok(answer?.map(|answer| (answer, (answers, stop)))),
            () = stop.cancelled() => Err(stopped("ask again for the whole")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_cut_off_does_not_end_as_a_whole_one_does() {
        let stop = CancellationToken::new();
        let endless = stream::iter([Ok(1)]).chain(stream::pending());
        let mut cut_off = Box::pin(until_stopped(endless, stop.clone()));

        let first = cut_off.next().await.unwrap().unwrap();
        stop.cancel();
        let last = cut_off.next().await.unwrap().unwrap_err();

        assert_eq!(first, 1);
        assert_eq!(last.code(), tonic::Code::Unavailable);
        assert!(cut_off.next().await.is_none());
    }

    #[tokio::test]
    async fn a_whole_stream_ends_as_it_is() {
        let whole = until_stopped(stream::iter([Ok(1), Ok(2)]), CancellationToken::new());

        assert_eq!(whole.try_collect::<Vec<i32>>().await.unwrap(), [1, 2]);
    }
}
