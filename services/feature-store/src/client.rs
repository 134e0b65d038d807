//! The client's end of a stream that a task of its own fills: waited for so long and no longer, since whoever sends may
//! hold a connection or a view of the database meanwhile. A stream that ends before its time ends with an error.

use std::time::Duration;

use finrank_serving::status;
use tokio::sync::mpsc::{self, OwnedPermit, error::SendTimeoutError};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::warn;

use crate::FeatureStoreError;

/// What the client takes.
pub(crate) type Taken<M> = ReceiverStream<Result<M, Status>>;

/// Sends messages to one client.
pub(crate) struct Client<M> {
    messages: mpsc::Sender<Result<M, Status>>,
    /// The place of the last word, which waits for nobody.
    last: OwnedPermit<Result<M, Status>>,
    limit: Duration,
}

/// Why a stream ends before its time.
pub(crate) enum Ended {
    /// Nobody reads it any more.
    Gone,
    /// The client is too slow to be waited for.
    TooSlow,
    /// Something failed.
    Failed(FeatureStoreError),
}

impl<E: Into<FeatureStoreError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<M> Client<M> {
    /// A client that may lag `buffered` messages behind, and then is waited for at most `limit` per message.
    pub(crate) fn new(buffered: usize, limit: Duration) -> (Self, Taken<M>) {
        let (messages, received) = mpsc::channel(buffered + 1);
        let last = messages.clone().try_reserve_owned().expect("a new channel has room");
        (Self { messages, last, limit }, ReceiverStream::new(received))
    }

    /// Sends a message.
    pub(crate) async fn send(&self, message: M) -> Result<(), Ended> {
        match self.messages.send_timeout(Ok(message), self.limit).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(Ended::Gone),
            Err(SendTimeoutError::Timeout(_)) => {
                warn!(limit = ?self.limit, "a client does not take what it asked for, its stream is ended");
                Err(Ended::TooSlow)
            }
        }
    }

    /// Ends the stream, and tells the client why.
    pub(crate) fn end(self, why: Ended) {
        let status = match why {
            Ended::Gone => return,
            Ended::TooSlow => status::too_slow(self.limit),
            Ended::Failed(error) => error.into(),
        };
        self.last.send(Err(status));
    }

    /// Returns once the client no longer reads.
    pub(crate) async fn gone(&self) {
        self.messages.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_told_that_it_has_not_been_sent_all() {
        let (client, mut taken) = Client::new(1, Duration::from_millis(10));

        let first = client.send(1).await;
        let second = client.send(2).await;
        client.end(Ended::TooSlow);

        assert!(first.is_ok());
        assert!(matches!(second, Err(Ended::TooSlow)));
        assert_eq!(taken.next().await.unwrap().unwrap(), 1);
        assert_eq!(taken.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
        assert!(taken.next().await.is_none());
    }
}
