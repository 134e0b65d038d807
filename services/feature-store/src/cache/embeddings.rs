//! Customers' embeddings, each with the run that made the generation it was read from, and the generations.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use finrank_model::ModelVersion;

use super::{
    News,
    news::Changed,
    shelf::{Shelf, Thing},
};
use crate::{
    embeddings::{Generation, PresentEmbedding},
    refresh::RunId,
};

/// Embeddings of customers.
pub(crate) struct EmbeddingShelf {
    customers: Shelf<KeptEmbedding>,
    /// By the model version asked for; under nothing the one that is served.
    generations: RwLock<HashMap<Option<ModelVersion>, Arc<Generation>>>,
}

#[derive(Clone)]
struct KeptEmbedding {
    run_id: RunId,
    present: PresentEmbedding,
}

impl EmbeddingShelf {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { customers: Shelf::new("customer_embeddings", max_bytes), generations: RwLock::default() }
    }

    /// The generation that is read when a model version, or none, is asked for.
    pub(crate) fn generation(&self, version: Option<&ModelVersion>) -> Option<Arc<Generation>> {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        generations.get(&version.cloned()).cloned()
    }

    /// A customer's embedding in a generation, if one is known.
    pub(crate) fn get(&self, user_id: &str, generation: Option<&Generation>) -> Option<PresentEmbedding> {
        let right =
            |kept: &KeptEmbedding| generation.is_some_and(|generation| kept.run_id == generation.run_id);
        self.customers.get(user_id, right).map(|kept| kept.present)
    }

    /// Keeps the generation that was read.
    pub(crate) fn put_generation(&self, version: Option<&ModelVersion>, generation: &Arc<Generation>) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        generations.insert(version.cloned(), generation.clone());
    }

    /// Keeps a customer's embedding in a generation.
    pub(crate) fn put(&self, user_id: &str, generation: &Generation, present: PresentEmbedding) {
        self.customers.put(user_id, &KeptEmbedding { run_id: generation.run_id, present });
    }

    pub(super) fn forget(&self, news: &News) {
        if news.other_generations {
            self.generations.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
        for changed in [&news.customers, &news.recomputed] {
            match changed {
                _ if news.somebody_was_erased || news.other_generations => self.customers.forget_all(),
                Changed::Many => self.customers.forget_all(),
                Changed::These(ids) => self.customers.forget(ids),
            }
        }
    }
}

impl Thing for KeptEmbedding {
    fn replaces(&self, other: &Self) -> bool {
        self.run_id == other.run_id
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.present.embedding.as_slice())
    }
}
