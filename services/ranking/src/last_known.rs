//! The embeddings that the feature store gave lately, for when it cannot give one. Bounded in number and in age, and of nobody
//! who objects to profiling or is not known any more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use finrank_model::{ModelVersion, UserId};
use moka::sync::Cache;

use crate::{DegradationConfig, Generation, feature_store::UserEmbedding};

/// Customers' last known embeddings; none if the settings allow none to be used.
#[derive(Debug)]
pub(crate) struct LastKnown(Option<Cache<UserId, Arc<Kept>>>);

#[derive(Debug)]
struct Kept {
    user: UserEmbedding,
    model_version: ModelVersion,
    told_at: Instant,
}

impl LastKnown {
    /// Keeps as many as configured, each for as long as it may be used.
    pub(crate) fn new(config: &DegradationConfig) -> Self {
        let allowed = config.stale_embedding_up_to > Duration::ZERO;
        Self(allowed.then(|| {
            Cache::builder()
                .max_capacity(config.kept_embeddings)
                .time_to_live(config.stale_embedding_up_to)
                .build()
        }))
    }

    /// Whether any is kept at all.
    pub(crate) fn is_allowed(&self) -> bool {
        self.0.is_some()
    }

    /// Keeps what was just told of a customer, in the place of what was told before.
    pub(crate) fn keep(&self, user_id: &UserId, user: &UserEmbedding, catalogue: &Generation) {
        let Some(cache) = &self.0 else { return };
        let model_version = catalogue.model_version.clone();
        let kept = Kept { user: user.clone(), model_version, told_at: Instant::now() };
        cache.insert(user_id.clone(), Arc::new(kept));
        metrics::gauge!("finrank_ranking_kept_embeddings").set(cache.entry_count() as f64);
    }

    /// A customer's last known embedding, if it is of a catalogue's model and space, and how long ago it was told.
    pub(crate) fn of(&self, user_id: &UserId, catalogue: &Generation) -> Option<(UserEmbedding, Duration)> {
        let kept = self.0.as_ref()?.get(user_id)?;
        let fits = kept.model_version == catalogue.model_version
            && kept.user.embedding.space == catalogue.embedding_space;
        fits.then(|| (kept.user.clone(), kept.told_at.elapsed()))
    }

    /// Forgets a customer: who is not known any more, is new, or objects.
    pub(crate) fn forget(&self, user_id: &UserId) {
        if let Some(cache) = &self.0 {
            cache.invalidate(user_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;
    use crate::fixtures::{DIMENSION, generation, spaced};

    fn user_id(raw: &str) -> UserId {
        UserId::parse(raw).unwrap()
    }

    fn embedding() -> UserEmbedding {
        UserEmbedding { embedding: spaced(&generation(1), [1.0; DIMENSION]), run_id: 1 }
    }

    fn kept(config: &DegradationConfig) -> LastKnown {
        let last_known = LastKnown::new(config);
        last_known.keep(&user_id("a"), &embedding(), &generation(1));
        last_known
    }

    #[test]
    fn an_embedding_is_told_again_to_its_own_model_and_space_only() {
        let last_known = kept(&DegradationConfig::default());
        let other_model = Generation { model_version: generation(2).model_version, ..generation(1) };
        let other_space = Generation { embedding_space: generation(2).embedding_space, ..generation(1) };

        let (user, _) = last_known.of(&user_id("a"), &generation(1)).unwrap();

        assert_eq!((user.run_id, user.embedding), (1, embedding().embedding));
        for elsewhere in [other_model, other_space] {
            assert!(last_known.of(&user_id("a"), &elsewhere).is_none(), "{elsewhere:?}");
        }
        assert!(last_known.of(&user_id("b"), &generation(1)).is_none());
    }

    #[test]
    fn who_is_forgotten_or_was_told_too_long_ago_is_not_told_again() {
        let forgotten = kept(&DegradationConfig::default());
        let brief = Duration::from_millis(1);
        let old = kept(&DegradationConfig { stale_embedding_up_to: brief, ..DegradationConfig::default() });

        forgotten.forget(&user_id("a"));
        sleep(brief);

        for last_known in [forgotten, old] {
            assert!(last_known.of(&user_id("a"), &generation(1)).is_none());
        }
    }

    #[test]
    fn nothing_is_kept_where_nothing_may_be_used() {
        let never =
            DegradationConfig { stale_embedding_up_to: Duration::ZERO, ..DegradationConfig::default() };

        let last_known = kept(&never);

        assert!(last_known.of(&user_id("a"), &generation(1)).is_none());
        assert!(!last_known.is_allowed());
    }
}
