//! Faiss's approximate indexes: they look at a part of the rows, and so may miss some. How many is measured, in
//! `recall`. Their rows are called labels here, since a catalogue may have changed since they were built.

use std::fmt;

use faiss::{
    MetricType,
    index::{Index, IndexImpl, autotune::ParameterSpace, index_factory},
};
use serde::{Deserialize, Serialize};

use super::{
    IndexError, Row, RowSet, recall::RecallTable, selector::SearchRows, shared::SharedIndex,
    threads::on_one_thread, vectors::Vectors,
};

/// Neighbours a row has in the graph, twice as many in its lowest layer; Faiss's own default.
const HNSW_NEIGHBOURS: usize = 32;
/// k-means wants so many rows a centroid; Faiss warns of fewer.
const ROWS_A_CENTROID: usize = 39;

/// The kinds of approximate index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApproximateKind {
    /// A graph of neighbours. Its effort is `efSearch`.
    Hnsw,
    /// Lists around centroids, with whole vectors. Its effort is `nprobe`.
    Ivf,
    /// Lists around centroids, with a byte a component. Its effort is `nprobe`.
    IvfSq8,
}

impl ApproximateKind {
    /// As settings and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hnsw => "hnsw",
            Self::Ivf => "ivf",
            Self::IvfSq8 => "ivf-sq8",
        }
    }
}

/// How hard an approximate search tries: `efSearch` of a graph, `nprobe` of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Effort(pub u32);

/// An approximate index with what was measured of it.
pub(super) struct Approximate {
    pub(super) kind: ApproximateKind,
    pub(super) recall: RecallTable,
    faiss: SharedIndex,
    labels: usize,
    /// Of a graph, how hard each of its searches tries.
    settled: Option<Effort>,
}

impl Approximate {
    /// Builds one whose label `i` is row `i`; the same vectors give an index that gives the same answers. Nothing is
    /// measured of it yet.
    ///
    /// # Errors
    /// When Faiss fails.
    pub(super) fn build(kind: ApproximateKind, vectors: &Vectors) -> Result<Self, IndexError> {
        let width = u32::try_from(vectors.dimension()).expect("Faiss has taken vectors of this width");
        let lists = lists(vectors.rows());
        let description = match kind {
            ApproximateKind::Hnsw => format!("HNSW{HNSW_NEIGHBOURS},Flat"),
            ApproximateKind::Ivf => format!("IVF{lists},Flat"),
            ApproximateKind::IvfSq8 => format!("IVF{lists},SQ8"),
        };
        let mut faiss = index_factory(width, description, MetricType::InnerProduct)?;
        let components = vectors.components();
        // Trained from a seed of Faiss's own; but the threads that add to a graph race for its edges.
        faiss.train(components)?;
        match kind {
            ApproximateKind::Hnsw => on_one_thread(|| faiss.add(components))?,
            ApproximateKind::Ivf | ApproximateKind::IvfSq8 => faiss.add(components)?,
        }
        Ok(Self::of(kind, faiss, RecallTable::default()))
    }

    /// One that Faiss has built or read, with what was measured of it.
    pub(super) fn of(kind: ApproximateKind, faiss: IndexImpl, recall: RecallTable) -> Self {
        let labels = usize::try_from(faiss.ntotal()).unwrap_or_default();
        Self { kind, recall, faiss: SharedIndex::of(faiss), labels, settled: None }
    }

    /// How many rows it was built of.
    pub(super) fn labels(&self) -> usize {
        self.labels
    }

    /// Of a graph, how hard each of its searches tries.
    pub(super) fn settled(&self) -> Option<Effort> {
        self.settled
    }

    /// The index itself, for what only reads it.
    pub(super) fn faiss(&self) -> &IndexImpl {
        self.faiss.faiss()
    }

    /// Some `k` of the labels allowed with large inner products, in no order. May be fewer.
    ///
    /// # Errors
    /// When Faiss fails.
    pub(super) fn search(
        &self,
        query: &[f32],
        allowed: &RowSet,
        k: usize,
        effort: Effort,
    ) -> Result<Vec<Row>, IndexError> {
        let selected = match self.kind {
            // Also for the trap that a graph searched without its bounded queue does not heed the selector: plain
            // parameters leave the queue as it is built, bounded.
            ApproximateKind::Hnsw => SearchRows::only(allowed)?,
            ApproximateKind::Ivf | ApproximateKind::IvfSq8 => {
                SearchRows::probing(allowed, effort.0 as usize)?
            }
        };
        let found = self.faiss.search(query, k, &selected)?;
        // Places that Faiss could not fill have the label -1.
        let labels = found.iter().filter_map(|label| label.get()).map(|label| Row(label as usize));
        Ok(labels.filter(|&label| allowed.contains(label)).collect())
    }

    /// The efforts worth measuring, from little to much, for searches of `depth`.
    pub(super) fn efforts(&self, depth: usize) -> Vec<Effort> {
        let (least, most) = match self.kind {
            // A graph keeps at least as many candidates as it is asked for.
            ApproximateKind::Hnsw => (depth.max(64), self.labels.min(8 * depth.max(64))),
            ApproximateKind::Ivf | ApproximateKind::IvfSq8 => (4, lists(self.labels) / 2),
        };
        let doubled = std::iter::successors(Some(least), |effort| Some(effort * 2));
        doubled.take_while(|&effort| effort <= most).map(|effort| Effort(effort as u32)).collect()
    }

    /// Makes every search of a graph try so hard; only before others can see the index. Lists take their effort with
    /// each search.
    ///
    /// # Errors
    /// When Faiss fails.
    pub(super) fn settle(&mut self, effort: Effort) -> Result<(), faiss::error::Error> {
        if self.kind == ApproximateKind::Hnsw {
            ParameterSpace::new()?.set_index_parameter(self.faiss.faiss(), "efSearch", effort.0)?;
            self.settled = Some(effort);
        }
        Ok(())
    }

    /// About how many vectors a search reads.
    pub(super) fn reads(&self, effort: Effort) -> usize {
        let effort = effort.0 as usize;
        match self.kind {
            // Each of the `efSearch` nodes that it visits names 64 others, of which about a quarter are new.
            ApproximateKind::Hnsw => effort * HNSW_NEIGHBOURS / 2,
            ApproximateKind::Ivf | ApproximateKind::IvfSq8 => {
                let lists = lists(self.labels);
                lists + self.labels * effort / lists
            }
        }
    }
}

/// Four times the root, as Faiss's guide has it, but not more than there are rows to train them with.
fn lists(rows: usize) -> usize {
    (4 * rows.isqrt()).min(rows / ROWS_A_CENTROID).max(1)
}

impl fmt::Debug for Approximate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approximate").field("kind", &self.kind).field("labels", &self.labels).finish()
    }
}
