//! Which rows are kept, and the way to whoever keeps them: a queue with an end, so that neither an answer waits nor
//! memory grows when Postgres is slow.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use finrank_contracts::feature::v1;
use finrank_model::features::Entity;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};

use crate::SampleConfig;

/// Rows that wait to be written; with 50 features a row is about a kilobyte.
const QUEUED: usize = 8_192;

/// Takes a sample of the rows that are served. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Sampler {
    one_in: u32,
    queue: mpsc::Sender<Queued>,
    dropped: Arc<AtomicU64>,
}

/// What the keeper is sent.
pub(super) enum Queued {
    /// A row to be kept.
    Sample(Sample),
    /// Somebody waits until all before is written.
    Flush(oneshot::Sender<()>),
}

/// A row that was served.
pub(super) struct Sample {
    /// What its whole answer shares.
    pub(super) answer: Arc<Answer>,
    /// Whose it is.
    pub(super) id: String,
    /// The row as it went over the wire.
    pub(super) served: Vec<u8>,
}

/// What the rows of one answer share.
pub(super) struct Answer {
    pub(super) entity: Entity,
    pub(super) purpose: String,
    /// As the request said it.
    pub(super) expired: v1::ExpiredPolicy,
    pub(super) header: v1::FeatureHeader,
}

impl Sampler {
    /// With the end of the queue that the keeper reads, and the number of rows that did not fit into it.
    pub(super) fn new(config: &SampleConfig) -> (Self, mpsc::Receiver<Queued>, Arc<AtomicU64>) {
        let (queue, queued) = mpsc::channel(QUEUED);
        let dropped = Arc::new(AtomicU64::new(0));
        (Self { one_in: config.one_in, queue, dropped: dropped.clone() }, queued, dropped)
    }

    /// Takes some rows of a complete answer, each by its own chance. Never waits: what does not fit into the queue is
    /// counted and dropped.
    pub(crate) fn sample(
        &self,
        entity: Entity,
        selection: &v1::FeatureSelection,
        header: &v1::FeatureHeader,
        rows: &[v1::FeatureRow],
    ) {
        if self.one_in == 0 {
            return;
        }
        // Most answers are not touched at all, and so nothing of them is copied.
        let mut answer = None;
        for row in rows.iter().filter(|_| rand::random_ratio(1, self.one_in)) {
            let answer = answer.get_or_insert_with(|| {
                let (purpose, expired) = (selection.purpose.clone(), selection.expired());
                Arc::new(Answer { entity, purpose, expired, header: header.clone() })
            });
            let (answer, id) = (answer.clone(), row.entity_id.clone());
            let sample = Sample { answer, id, served: row.encode_to_vec() };
            if self.queue.try_send(Queued::Sample(sample)).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until all that was taken before is written.
    pub(crate) async fn flush(&self) {
        let (written, waiting) = oneshot::channel();
        // Both fail only when the server ends, and then there is nothing to wait for.
        if self.queue.send(Queued::Flush(written)).await.is_ok() {
            let _ = waiting.await;
        }
    }
}
