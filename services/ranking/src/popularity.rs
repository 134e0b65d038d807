//! How popular products are, for who objects to profiling and for whom nothing better is known: the same for
//! everyone, asked of the feature store now and then.

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

use crate::{catalogue::Catalogue, deadline::Deadline, feature_store::FeatureStore, index::Row};

/// How old an answer may be that is used again.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How long what was known before serves on when the feature store does not answer, before it is asked again.
const PAUSE: Duration = Duration::from_secs(10);

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

#[derive(Clone, Debug)]
struct Known {
    catalogue: Arc<Catalogue>,
    profiling: Profiling,
    ask_again: Instant,
    popularity: Arc<Popularity>,
}

impl KnownPopularity {
    /// How popular a catalogue's products are, from before if the feature store does not say; `None` when it never did, or it
    /// cannot be kept where decisions are. It is no matter of what may be offered.
    pub(crate) async fn of(
        &self,
        catalogue: &Arc<Catalogue>,
        profiling: &Profiling,
        feature_store: &FeatureStore,
        contents: Option<&Contents>,
        deadline: Deadline,
    ) -> Option<Arc<Popularity>> {
        let before = self.0.load_full().filter(|known| known.profiling == *profiling);
        if let Some(known) = &before
            && Arc::ptr_eq(&known.catalogue, catalogue)
            && Instant::now() < known.ask_again
        {
            return Some(Arc::clone(&known.popularity));
        }
        let asked = match &before {
            Some(known) if Instant::now() < known.ask_again => Ok(known.over(catalogue)),
            _ => feature_store.popularity(catalogue, profiling, deadline).await.map(|popularity| Known {
                catalogue: Arc::clone(catalogue),
                profiling: profiling.clone(),
                ask_again: Instant::now() + MAX_AGE,
                popularity: Arc::new(popularity),
            }),
        };
        let known = match (asked, before) {
            (Ok(known), _) => known,
            (Err(error), before) => {
                let known = before.is_some();
                warn!(%error, known, "the feature store does not say how popular products are");
                Known { ask_again: Instant::now() + PAUSE, ..before?.over(catalogue) }
            }
        };
        self.keep(known, contents).await
    }

    async fn keep(&self, known: Known, contents: Option<&Contents>) -> Option<Arc<Popularity>> {
        let popularity = Arc::clone(&known.popularity);
        if let Some(contents) = contents
            && let Err(error) = popularity.keep(contents).await
        {
            warn!(%error, "how popular products are cannot be kept where decisions are, and plays no part in them");
            return None;
        }
        self.0.store(Some(Arc::new(known)));
        Some(popularity)
    }
}

impl Known {
    /// The same numbers over another catalogue. What has come since is not popular yet.
    fn over(&self, catalogue: &Arc<Catalogue>) -> Self {
        if Arc::ptr_eq(&self.catalogue, catalogue) {
            return self.clone();
        }
        let of = |product_id| self.catalogue.row(product_id).map_or(0.0, |row| self.popularity.of(row));
        let by_row = catalogue.products().iter().map(|product| of(&product.product_id)).collect();
        Self {
            catalogue: Arc::clone(catalogue),
            popularity: Arc::new(Popularity::new(by_row)),
            ..self.clone()
        }
    }
}
