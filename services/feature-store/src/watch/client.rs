//! One client's end of a stream.

use std::time::Duration;

use chrono::Utc;
use finrank_contracts::feature::v1::{self, watch_product_embeddings_response::Step};
use finrank_serving::wire;
use tokio::sync::mpsc;
use tonic::Status;
use tracing::warn;

use super::Steps;
use crate::FeatureStoreError;

/// Steps that wait for the client; each chunk of 1,000 products is some 0.5 MB.
const BUFFERED_STEPS: usize = 4;

/// Sends steps to one client.
pub(super) struct Client {
    steps: mpsc::Sender<Result<v1::WatchProductEmbeddingsResponse, Status>>,
    limit: Duration,
}

/// Why a stream ends.
pub(super) enum Ended {
    /// The client has gone, or is too slow to be waited for.
    Gone,
    /// The client has to be told.
    Failed(FeatureStoreError),
}

impl<E: Into<FeatureStoreError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Client {
    /// A client that is waited for at most `limit` per step.
    pub(super) fn new(limit: Duration) -> (Self, Steps) {
        let (steps, received) = mpsc::channel(BUFFERED_STEPS);
        (Self { steps, limit }, Steps::new(received))
    }

    pub(super) async fn send(&self, step: Step) -> Result<(), Ended> {
        let message = v1::WatchProductEmbeddingsResponse { step: Some(step) };
        match self.steps.send_timeout(Ok(message), self.limit).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Ended::Gone),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                warn!(limit = ?self.limit, "a watching client is too slow, its stream is ended");
                Err(Ended::Gone)
            }
        }
    }

    /// Says that nothing has changed, and where the client may go on from.
    pub(super) async fn heartbeat(&self, resume_token: Vec<u8>) -> Result<(), Ended> {
        let sent_at = Some(wire::timestamp(Utc::now()));
        self.send(Step::Heartbeat(v1::Heartbeat { sent_at, resume_token })).await
    }

    /// Ends the stream with a status, if the client still takes it.
    pub(super) async fn fail(&self, error: FeatureStoreError) {
        let _ = self.steps.send_timeout(Err(error.into()), self.limit).await;
    }

    /// Returns once the client no longer reads.
    pub(super) async fn gone(&self) {
        self.steps.closed().await;
    }
}
