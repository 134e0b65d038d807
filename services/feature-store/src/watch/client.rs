//! One client's end of a watch.

use std::time::Duration;

use chrono::Utc;
use finrank_contracts::feature::v1::{self, watch_product_embeddings_response::Step};
use finrank_serving::wire;

use super::Steps;
use crate::client::{self, Ended};

/// Steps that wait for the client; each chunk of 1,000 products is some 0.5 MB.
const BUFFERED_STEPS: usize = 4;

/// Sends steps to one client.
pub(super) struct Client(client::Client<v1::WatchProductEmbeddingsResponse>);

impl Client {
    /// A client that is waited for at most `limit` per step.
    pub(super) fn new(limit: Duration) -> (Self, Steps) {
        let (client, steps) = client::Client::new(BUFFERED_STEPS, limit);
        (Self(client), steps)
    }

    pub(super) async fn send(&self, step: Step) -> Result<(), Ended> {
        self.0.send(v1::WatchProductEmbeddingsResponse { step: Some(step) }).await
    }

    /// Says that nothing has changed, and where the client may go on from.
    pub(super) async fn heartbeat(&self, resume_token: Vec<u8>) -> Result<(), Ended> {
        let sent_at = Some(wire::timestamp(Utc::now()));
        self.send(Step::Heartbeat(v1::Heartbeat { sent_at, resume_token })).await
    }

    /// Ends the stream, and tells the client why.
    pub(super) fn end(self, why: Ended) {
        self.0.end(why);
    }

    /// Returns once the client no longer reads.
    pub(super) async fn gone(&self) {
        self.0.gone().await;
    }
}
