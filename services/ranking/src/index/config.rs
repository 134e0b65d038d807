//! How an index is built: of which kind, how exact, and where it is kept.

use std::{num::NonZeroUsize, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::ApproximateKind;

/// Fewer products than this are scanned whatever the settings say: an approximate index of so few has lists of a
/// handful, and a scan of them all takes some 10 µs.
const FEWEST_ROWS: usize = 1_000;

/// How the indexes of a catalogue are built and searched.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexConfig {
    /// The kind of index.
    pub kind: IndexKind,
    /// Up to how many products `auto` means `flat`: an exact scan of 50,000 takes some 0.4 ms.
    pub flat_up_to: usize,
    /// The share of the best candidates that an approximate search must have been measured to find, above 0 and up to
    /// 1. Where no setting reaches it, the search is exact.
    pub recall_target: f64,
    /// Up to which share of an approximate index may have changed before it is built anew; until then what has changed
    /// is searched beside it, exactly.
    pub side_share: f64,
    /// Where approximate indexes are kept, so that the next start need not build them; nowhere by default.
    pub directory: Option<PathBuf>,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            kind: IndexKind::Auto,
            flat_up_to: 50_000,
            recall_target: 0.98,
            side_share: 0.05,
            directory: None,
        }
    }
}

impl IndexConfig {
    /// The approximate kind for so many products, if any.
    pub(super) fn approximate_kind(&self, rows: usize) -> Option<ApproximateKind> {
        if rows < FEWEST_ROWS {
            return None;
        }
        match self.kind {
            IndexKind::Auto => (rows > self.flat_up_to).then_some(ApproximateKind::Ivf),
            IndexKind::Flat => None,
            IndexKind::Hnsw => Some(ApproximateKind::Hnsw),
            IndexKind::Ivf => Some(ApproximateKind::Ivf),
            IndexKind::IvfSq8 => Some(ApproximateKind::IvfSq8),
        }
    }
}

/// The kinds of index, as settings name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexKind {
    /// Flat for few products, IVF for many.
    #[default]
    Auto,
    /// Exact scans alone.
    Flat,
    /// A graph. Its one setting is chosen when it is built, since Faiss's C interface takes none with a search.
    Hnsw,
    /// Lists around centroids, of which a search reads some.
    Ivf,
    /// The same with one byte a component, for a quarter of the memory; what it finds is scored by the whole vectors.
    IvfSq8,
}

/// What an index is built by.
#[derive(Clone, Debug, Default)]
pub struct IndexSettings {
    /// The deployment's settings.
    pub config: IndexConfig,
    /// How many candidates a search is measured for; one for more is exact. The default is 500.
    pub depth: Depth,
}

/// How many candidates a search is measured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth(pub NonZeroUsize);

impl Default for Depth {
    fn default() -> Self {
        Self(const { NonZeroUsize::new(500).expect("500 is not zero") })
    }
}
