//! How popular products are, for who objects to profiling: the same for everyone, asked of the feature store now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use finrank_decisions::{
    DecisionLogError,
    contents::{Content, ContentKind, Contents},
};
use finrank_model::Sha256Digest;
use finrank_policy::Profiling;
use tracing::warn;

use crate::{Result, catalogue::Catalogue, feature_store::FeatureStore, index::Row};

/// How old an answer may be that is used again.
const MAX_AGE: Duration = Duration::from_secs(300);

/// One number for each product of a catalogue.
#[derive(Clone, Debug)]
pub struct Popularity {
    by_row: Vec<f64>,
    digest: Sha256Digest,
}

impl Popularity {
    /// Of the products of a catalogue, in the order of their rows.
    pub fn new(by_row: Vec<f64>) -> Self {
        let digest = Sha256Digest::of(&bytes(&by_row));
        Self { by_row, digest }
    }

    /// As it is kept.
    ///
    /// # Errors
    /// [`DecisionLogError::ContentUnreadable`].
    pub fn from_kept(digest: Sha256Digest, kept: &[u8]) -> Result<Self, DecisionLogError> {
        let (numbers, rest) = kept.as_chunks();
        if !rest.is_empty() {
            return Err(DecisionLogError::unreadable(digest, "it ends within a number".to_owned()));
        }
        Ok(Self::new(numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()))
    }

    /// What names it.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When Postgres does not take it.
    pub async fn keep(&self, contents: &Contents) -> Result<(), DecisionLogError> {
        contents.keep(&[Content::new(ContentKind::Popularity, bytes(&self.by_row))]).await
    }

    /// How popular a product is; larger is more.
    pub fn of(&self, row: Row) -> f64 {
        self.by_row.get(row.0).copied().unwrap_or_default()
    }
}

/// 8 bytes a number, little-endian.
fn bytes(by_row: &[f64]) -> Vec<u8> {
    by_row.iter().flat_map(|number| number.to_le_bytes()).collect()
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
    /// How popular a catalogue's products are; `None` when the feature store does not say, or it cannot be kept where
    /// decisions are. Ranking then goes on without: it is no matter of what may be offered.
    pub(crate) async fn of(
        &self,
        catalogue: &Arc<Catalogue>,
        profiling: &Profiling,
        feature_store: &FeatureStore,
        contents: Option<&Contents>,
    ) -> Option<Arc<Popularity>> {
        if let Some(known) = self.0.load_full()
            && Arc::ptr_eq(&known.catalogue, catalogue)
            && known.profiling == *profiling
            && known.asked_at.elapsed() < MAX_AGE
        {
            return Some(Arc::clone(&known.popularity));
        }
        let asked_at = Instant::now();
        match asked(catalogue, profiling, feature_store, contents).await {
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

async fn asked(
    catalogue: &Catalogue,
    profiling: &Profiling,
    feature_store: &FeatureStore,
    contents: Option<&Contents>,
) -> Result<Popularity> {
    let popularity = feature_store.popularity(catalogue, profiling).await?;
    if let Some(contents) = contents {
        popularity.keep(contents).await?;
    }
    Ok(popularity)
}
