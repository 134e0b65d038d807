//! How popular products are, for who objects to profiling: the same for everyone, asked of the feature store now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use finrank_policy::Profiling;
use tracing::warn;

use crate::{catalogue::Catalogue, feature_store::FeatureStore, index::Row};

/// How old an answer may be that is used again.
const MAX_AGE: Duration = Duration::from_secs(300);

/// One number for each product of a catalogue.
#[derive(Clone, Debug)]
pub struct Popularity(Vec<f64>);

impl Popularity {
    /// Of the products of a catalogue, in the order of their rows.
    pub fn new(by_row: Vec<f64>) -> Self {
        Self(by_row)
    }

    /// How popular a product is; larger is more.
    pub fn of(&self, row: Row) -> f64 {
        self.0.get(row.0).copied().unwrap_or_default()
    }
}

/// The popularity that was asked for last.
#[derive(Debug, Default)]
pub(crate) struct KnownPopularity(ArcSwapOption<Known>);

#[derive(Debug)]
struct Known {
    catalogue: Arc<Catalogue>,
    profiling: Profiling,
    asked_at: Instant,
    popularity: Arc<Popularity>,
}

impl KnownPopularity {
    /// How popular a catalogue's products are; `None` when the feature store does not say. Ranking then goes on without:
    /// it is no matter of what may be offered.
    pub(crate) async fn of(
        &self,
        catalogue: &Arc<Catalogue>,
        profiling: &Profiling,
        feature_store: &FeatureStore,
    ) -> Option<Arc<Popularity>> {
        if let Some(known) = self.0.load_full()
            && Arc::ptr_eq(&known.catalogue, catalogue)
            && known.profiling == *profiling
            && known.asked_at.elapsed() < MAX_AGE
        {
            return Some(Arc::clone(&known.popularity));
        }
        let asked_at = Instant::now();
        match feature_store.popularity(catalogue, profiling).await {
            Ok(popularity) => {
                let popularity = Arc::new(popularity);
                self.0.store(Some(Arc::new(Known {
                    catalogue: Arc::clone(catalogue),
                    profiling: profiling.clone(),
                    asked_at,
                    popularity: Arc::clone(&popularity),
                })));
                Some(popularity)
            }
            Err(error) => {
                warn!(%error, "nobody knows how popular products are; they are ranked by their ids");
                None
            }
        }
    }
}
