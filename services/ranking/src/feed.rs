//! The catalogue as the stream of product embeddings tells it: a snapshot, then batches of changes, each taken in when
//! it is whole. What is held outlives a connection, and goes on from its resume token on the next one.

use std::{collections::HashMap, mem};

use finrank_contracts::feature::v1::{GenerationChanged, watch_product_embeddings_response::Step};
use finrank_model::{Embedding, ProductId, Sha256Digest};

use crate::{
    Generation,
    catalogue::CatalogueProduct,
    snapshot::{Snapshot, SnapshotError, SnapshotReader, generation_of, product_of},
};

/// Follows the stream, step by step.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    held: Option<Held>,
    snapshot: SnapshotReader,
    /// Of the batch that has not ended yet.
    batch: Vec<Change>,
}

/// What a step made of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A snapshot, which replaces it.
    Snapshot,
    /// A batch of changes.
    Changes,
    /// Nothing: the feature store says that it still holds.
    Heartbeat,
}

#[derive(Debug)]
struct Held {
    generation: Generation,
    bundle: Sha256Digest,
    products: HashMap<ProductId, (CatalogueProduct, Embedding)>,
    resume_token: Vec<u8>,
}

#[derive(Debug)]
enum Change {
    Upsert(CatalogueProduct, Embedding),
    Delete(ProductId),
    Generation(Generation),
}

impl Feed {
    /// Gives up what a broken connection has begun to send. Returns the token to go on by; empty to begin with a
    /// snapshot.
    pub(crate) fn resume(&mut self) -> Vec<u8> {
        self.snapshot = SnapshotReader::default();
        self.batch.clear();
        self.held.as_ref().map(|held| held.resume_token.clone()).unwrap_or_default()
    }

    /// Takes the next step.
    ///
    /// # Errors
    /// When the step does not fit. Nothing that was held is of use then.
    pub(crate) fn take(&mut self, step: Option<Step>) -> Result<Option<News>, SnapshotError> {
        match step {
            Some(Step::Upsert(entry)) => {
                let (product, embedding) = product_of(entry, &self.held("an upsert")?.generation)?;
                self.batch.push(Change::Upsert(product, embedding));
            }
            Some(Step::Delete(deleted)) => {
                self.held("a delete")?;
                self.batch.push(Change::Delete(ProductId::parse(deleted.product_id)?));
            }
            Some(Step::GenerationChanged(changed)) => {
                let generation = self.held("a generation")?.following(changed)?;
                self.batch.push(Change::Generation(generation));
            }
            Some(Step::Progress(progress)) => {
                let batch = mem::take(&mut self.batch);
                self.held("progress")?.apply(batch, progress.resume_token);
                return Ok(Some(News::Changes));
            }
            Some(Step::Heartbeat(heartbeat)) => {
                let Some(held) = &mut self.held else {
                    return Ok(None);
                };
                // Empty while a snapshot is waited for.
                if !heartbeat.resume_token.is_empty() {
                    held.resume_token = heartbeat.resume_token;
                }
                return Ok(Some(News::Heartbeat));
            }
            step => {
                if let Some((snapshot, resume_token)) = self.snapshot.take(step)? {
                    self.batch.clear();
                    self.held = Some(Held::new(snapshot, resume_token));
                    return Ok(Some(News::Snapshot));
                }
            }
        }
        Ok(None)
    }

    /// All that is held, once there was a snapshot.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let Held { generation, bundle, products, .. } = self.held.as_ref()?;
        let products = products.values().cloned().collect();
        Some(Snapshot { generation: generation.clone(), bundle: *bundle, products })
    }

    fn held(&mut self, step: &'static str) -> Result<&mut Held, SnapshotError> {
        self.held.as_mut().ok_or(SnapshotError::NotStarted { step })
    }
}

impl Held {
    fn new(snapshot: Snapshot, resume_token: Vec<u8>) -> Self {
        let Snapshot { generation, bundle, products } = snapshot;
        let by_id = |(product, embedding): (CatalogueProduct, Embedding)| {
            (product.product_id.clone(), (product, embedding))
        };
        Self { generation, bundle, products: products.into_iter().map(by_id).collect(), resume_token }
    }

    /// A newer generation, whose embeddings must be of the same model.
    fn following(&self, changed: GenerationChanged) -> Result<Generation, SnapshotError> {
        let (generation, bundle) = generation_of(changed.generation)?;
        let same_model = Generation { run_id: self.generation.run_id, ..generation.clone() };
        if same_model == self.generation && bundle == self.bundle {
            return Ok(generation);
        }
        Err(SnapshotError::OtherModelFollows {
            held: self.generation.model_version.clone(),
            came: generation.model_version,
        })
    }

    fn apply(&mut self, batch: Vec<Change>, resume_token: Vec<u8>) {
        for change in batch {
            match change {
                Change::Upsert(product, embedding) => {
                    self.products.insert(product.product_id.clone(), (product, embedding));
                }
                Change::Delete(product_id) => {
                    self.products.remove(&product_id);
                }
                Change::Generation(generation) => self.generation = generation,
            }
        }
        self.resume_token = resume_token;
    }
}

#[cfg(test)]
mod tests {
    use finrank_contracts::feature::v1::{self, Heartbeat, ProductDeleted, Progress};

    use super::*;
    use crate::{
        fixtures::generation,
        snapshot::tests::{chunk, complete, entry, generation_message, started},
    };

    fn after_a_snapshot_of(product_ids: &[&str]) -> Feed {
        let mut feed = Feed::default();
        let products = product_ids.iter().map(|id| entry(id, vec![1.0; 4])).collect();
        for step in [started(product_ids.len() as u64), chunk(products), complete(7)] {
            feed.take(Some(step)).unwrap();
        }
        feed
    }

    fn deleted(product_id: &str) -> Step {
        Step::Delete(ProductDeleted { product_id: product_id.to_owned() })
    }

    fn progress(token: &[u8]) -> Step {
        Step::Progress(Progress { resume_token: token.to_vec() })
    }

    fn held(feed: &Feed) -> Vec<(String, f32)> {
        let products = feed.snapshot().unwrap().products;
        let mut held: Vec<_> = products
            .iter()
            .map(|(product, embedding)| (product.product_id.to_string(), embedding.as_slice()[0]))
            .collect();
        held.sort_by(|a, b| a.0.cmp(&b.0));
        held
    }

    #[test]
    fn a_batch_counts_as_a_whole_and_only_once_it_has_ended() {
        let mut feed = after_a_snapshot_of(&["a", "b"]);

        feed.take(Some(Step::Upsert(entry("b", vec![2.0; 4])))).unwrap();
        feed.take(Some(Step::Upsert(entry("c", vec![3.0; 4])))).unwrap();
        feed.take(Some(deleted("a"))).unwrap();
        feed.take(Some(deleted("never seen"))).unwrap();
        let before = held(&feed);
        let news = feed.take(Some(progress(b"next"))).unwrap();

        assert_eq!(before, [("a".to_owned(), 1.0), ("b".to_owned(), 1.0)]);
        assert_eq!(news, Some(News::Changes));
        assert_eq!(held(&feed), [("b".to_owned(), 2.0), ("c".to_owned(), 3.0)]);
        assert_eq!(feed.resume(), b"next");
    }

    #[test]
    fn what_a_broken_connection_has_begun_is_given_up() {
        let mut feed = after_a_snapshot_of(&["a"]);
        feed.take(Some(deleted("a"))).unwrap();
        feed.take(Some(started(9))).unwrap();

        let token = feed.resume();
        feed.take(Some(progress(b"next"))).unwrap();

        assert_eq!(token, b"of the snapshot");
        assert_eq!(held(&feed), [("a".to_owned(), 1.0)]);
        assert!(feed.take(Some(complete(7))).is_err(), "no snapshot is under way");
    }

    #[test]
    fn heartbeats_move_the_token_and_nothing_else() {
        let mut feed = after_a_snapshot_of(&["a"]);
        let heartbeat = |token: &[u8]| Heartbeat { resume_token: token.to_vec(), ..Heartbeat::default() };

        feed.take(Some(Step::Heartbeat(heartbeat(b"later")))).unwrap();
        let news = feed.take(Some(Step::Heartbeat(heartbeat(b"")))).unwrap();

        assert_eq!(news, Some(News::Heartbeat));
        assert_eq!(feed.resume(), b"later");
        assert_eq!(held(&feed), [("a".to_owned(), 1.0)]);
    }

    #[test]
    fn a_newer_generation_of_the_model_keeps_every_product() {
        let mut feed = after_a_snapshot_of(&["a"]);
        let changed =
            GenerationChanged { generation: Some(v1::Generation { run_id: 8, ..generation_message(7) }) };

        feed.take(Some(Step::GenerationChanged(changed))).unwrap();
        feed.take(Some(progress(b"next"))).unwrap();

        let snapshot = feed.snapshot().unwrap();
        assert_eq!(snapshot.generation, Generation { run_id: 8, ..generation(7) });
        assert_eq!(snapshot.products.len(), 1);
    }

    #[test]
    fn a_generation_or_a_product_of_another_model_is_refused() {
        let changed = GenerationChanged { generation: Some(generation_message(8)) };
        let mut elsewhere = entry("a", vec![1.0; 4]);
        elsewhere.embedding.as_mut().unwrap().model_version = "m8".to_owned();

        let generation = after_a_snapshot_of(&["a"]).take(Some(Step::GenerationChanged(changed)));
        let product = after_a_snapshot_of(&["a"]).take(Some(Step::Upsert(elsewhere)));

        assert_eq!(generation.unwrap_err().to_string(), "a generation of model m8 follows one of m7");
        assert!(matches!(product, Err(SnapshotError::OtherModel { .. })));
    }

    #[test]
    fn changes_without_a_snapshot_are_refused() {
        for step in [deleted("a"), Step::Upsert(entry("a", vec![1.0; 4])), progress(b"next")] {
            let refusal = Feed::default().take(Some(step));

            assert!(matches!(refusal, Err(SnapshotError::NotStarted { .. })), "{refusal:?}");
        }
    }
}
