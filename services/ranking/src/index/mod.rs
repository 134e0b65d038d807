//! The index: every product embedding of one catalogue, searched by inner product under a filter.
//!
//! Rows are numbered from 0 in the order given. A search is exact, or approximate where that was measured to find
//! enough and reads less: `plan` decides, and the plan goes with the hits. Whatever the plan, `k` rows come back whenever
//! `k` are let through, and an inner product is the same figure. The index knows nothing of products, users or requests.
//!
//! | file | tells |
//! |---|---|
//! | `config` | what a deployment may set |
//! | `build` | from embeddings to an index |
//! | `plan` | exact or approximate, and how |
//! | `vectors` | the vectors, and exact searches of them |
//! | `approximate` | Faiss's graphs and lists |
//! | `recall` | how much these find, measured |
//! | `side` | what has changed since they were built |
//! | `stored` | approximate indexes on disk, verified before they are read |
//! | `random` | vectors without data, for who measures |
//! | `row_set`, `best` | a filter; the best of many |
//! | `selector`, `shared`, `threads` | what is asked of Faiss and OpenMP beside their safe bindings, and all `unsafe` of this crate |

mod approximate;
mod best;
mod build;
mod config;
mod plan;
mod random;
mod recall;
mod row_set;
mod selector;
mod shared;
mod side;
mod stored;
mod threads;
mod vectors;

use std::sync::Arc;

use finrank_model::{Embedding, EmbeddingSpace};
use thiserror::Error;

use self::{approximate::Approximate, best::Best, side::Places, vectors::Vectors};
pub use self::{
    approximate::{ApproximateKind, Effort},
    build::{IndexBuilder, Unchanged},
    config::{Depth, IndexConfig, IndexKind, IndexSettings},
    plan::{Method, Plan},
    random::RandomVectors,
    recall::{Band, RecallTable, Setting, Survey},
    row_set::RowSet,
    stored::{IndexFile, IndexManifest, StoredIndex, StoredIndexError},
};

use crate::Generation;

/// A product's place in an index, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(pub usize);

/// An embedding with the space that it lives in, so that it is never searched for in another.
#[derive(Clone, Debug, PartialEq)]
pub struct SpacedEmbedding {
    /// The vector.
    pub embedding: Embedding,
    /// Names the towers that computed it.
    pub space: EmbeddingSpace,
}

/// A row that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which.
    pub row: Row,
    /// ⟨query, row⟩.
    pub inner_product: f32,
}

/// What a search found, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The rows, the largest inner product first and equal ones by row.
    pub hits: Vec<Hit>,
    /// How the search was made.
    pub plan: Plan,
}

/// Why an index cannot be built or searched.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The query is of another embedding space than the index.
    #[error("the vector is of embedding space {query}, the index of {index}")]
    OtherSpace {
        /// The query's.
        query: EmbeddingSpace,
        /// The index's.
        index: EmbeddingSpace,
    },
    /// An embedding has another number of components than the index.
    #[error("a vector has {found} components, the index has {expected}")]
    OtherDimension {
        /// The index's.
        expected: usize,
        /// The vector's.
        found: usize,
    },
    /// The query is so long that an inner product may overflow, and rows would be lost or misplaced.
    #[error("the vector's components are too large: an inner product with it may not be finite")]
    TooLong,
    /// Faiss itself failed.
    #[error(transparent)]
    Faiss(#[from] faiss::error::Error),
}

/// An inner-product index over the embeddings of one generation.
#[derive(Debug)]
pub struct ProductIndex {
    vectors: Vectors,
    generation: Generation,
    approximate: Option<Placed>,
    /// What an approximate search must have been measured to find.
    recall_target: f64,
}

/// An approximate index, shared by the catalogues that changed little since it was built, and where the rows lie in it.
#[derive(Debug)]
struct Placed {
    index: Arc<Approximate>,
    places: Places,
}

impl ProductIndex {
    /// Builds an index whose row `i` is `embeddings[i]`, and whose searches are exact. [`IndexBuilder`] builds others.
    ///
    /// # Errors
    /// [`IndexError::OtherDimension`], or when Faiss cannot have the memory.
    pub fn build(generation: Generation, embeddings: &[Embedding]) -> Result<Self, IndexError> {
        let vectors = Vectors::build(generation.dimension, embeddings)?;
        Ok(Self { vectors, generation, approximate: None, recall_target: 1.0 })
    }

    /// The `k` rows among `allowed` with the largest inner product; all of `allowed` when it has fewer. Where the plan is
    /// approximate it may miss some, but gives as many.
    ///
    /// One query runs on the calling thread: Faiss opens `min(queries, threads)` OpenMP threads, here one.
    ///
    /// # Errors
    /// When the query is of another space or dimension, or too long.
    ///
    /// # Panics
    /// When `allowed` is of another index.
    pub fn search(&self, query: &SpacedEmbedding, allowed: &RowSet, k: usize) -> Result<Found, IndexError> {
        self.check(query)?;
        assert_eq!(allowed.universe(), self.rows(), "the rows allowed are of this index");
        let query = query.embedding.as_slice();
        let eligible = allowed.len();
        let k = k.min(eligible);
        let (hits, method, expected_recall) = match self.search_approximately(query, allowed, k)? {
            Some((hits, kind, setting)) if hits.len() == k => {
                let method = Method::Approximate { kind, effort: setting.effort };
                (hits, method, setting.recall)
            }
            Some((_, kind, setting)) => {
                let method = Method::ExactAfterApproximate { kind, effort: setting.effort };
                (self.search_exactly(query, allowed, k, method), method, 1.0)
            }
            None => {
                let method = plan::exact(eligible, self.rows());
                (self.search_exactly(query, allowed, k, method), method, 1.0)
            }
        };
        let plan = Plan { method, eligible, expected_recall, returned: hits.len() };
        Ok(Found { hits, plan })
    }

    fn search_exactly(&self, query: &[f32], allowed: &RowSet, k: usize, method: Method) -> Vec<Hit> {
        let mut best = Best::of(k);
        match method {
            Method::FilteredFlat => self.vectors.scan_all(query, allowed, &mut best),
            _ => self.vectors.scan(query, allowed, &mut best),
        }
        best.into_sorted()
    }

    /// The approximate index under the filter together with a scan of what lies beside it, where that was measured to
    /// reach the target.
    fn search_approximately(
        &self,
        query: &[f32],
        allowed: &RowSet,
        k: usize,
    ) -> Result<Option<(Vec<Hit>, ApproximateKind, Setting)>, IndexError> {
        let Some(Placed { index, places }) = &self.approximate else { return Ok(None) };
        let labels = places.labels_of(allowed);
        let Some(setting) = plan::approximate(index, k, labels.len(), self.recall_target) else {
            return Ok(None);
        };
        let mut best = Best::of(k);
        // As deep as it was measured: a graph that is asked for less looks at less.
        let depth = index.recall.depth.min(labels.len());
        for label in index.search(query, &labels, depth, setting.effort)? {
            // Once more by the filter itself, since Faiss is known to have let others through.
            if let Some(row) = places.row(label)
                && allowed.contains(row)
            {
                best.offer(self.vectors.hit(query, row));
            }
        }
        let mut beside = places.side().clone();
        beside.keep(allowed);
        self.vectors.scan(query, &beside, &mut best);
        Ok(Some((best.into_sorted(), index.kind, setting)))
    }

    /// ⟨query, row⟩ of each row named, in their order: the same figures as a search gives.
    ///
    /// # Errors
    /// As [`ProductIndex::search`].
    ///
    /// # Panics
    /// When a row is not below [`ProductIndex::rows`].
    pub fn inner_products(&self, query: &SpacedEmbedding, rows: &[Row]) -> Result<Vec<f32>, IndexError> {
        self.check(query)?;
        let query = query.embedding.as_slice();
        Ok(rows.iter().map(|&row| self.vectors.hit(query, row).inner_product).collect())
    }

    /// ⟨a, b⟩ of two rows.
    ///
    /// # Panics
    /// When one is not below [`ProductIndex::rows`].
    pub(crate) fn inner_product(&self, a: Row, b: Row) -> f32 {
        self.vectors.hit(self.vectors.row(a), b).inner_product
    }

    /// Whether a row has just this embedding.
    ///
    /// # Panics
    /// When the row is not below [`ProductIndex::rows`].
    pub(crate) fn holds(&self, row: Row, embedding: &Embedding) -> bool {
        self.vectors.row(row) == embedding.as_slice()
    }

    /// The embedding of a row.
    ///
    /// # Panics
    /// When the row is not below [`ProductIndex::rows`].
    pub fn embedding(&self, row: Row) -> SpacedEmbedding {
        let values = self.vectors.row(row);
        SpacedEmbedding {
            embedding: Embedding::new(values, values.len())
                .expect("the vectors are those of the embeddings that were given"),
            space: self.generation.embedding_space.clone(),
        }
    }

    /// The kind of the approximate index, if there is one, and what was measured of it.
    pub fn approximate(&self) -> Option<(ApproximateKind, &RecallTable)> {
        self.approximate.as_ref().map(|placed| (placed.index.kind, &placed.index.recall))
    }

    /// How many rows lie beside the approximate index, or are gone from it.
    pub fn changed(&self) -> usize {
        self.approximate.as_ref().map_or(0, |placed| placed.places.changed())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.vectors.rows()
    }

    /// What it was built from.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Whether a vector may meet this index's.
    pub(crate) fn check(&self, query: &SpacedEmbedding) -> Result<(), IndexError> {
        if query.space != self.generation.embedding_space {
            return Err(IndexError::OtherSpace {
                query: query.space.clone(),
                index: self.generation.embedding_space.clone(),
            });
        }
        check_dimension(self.generation.dimension, &query.embedding)?;
        // Cauchy–Schwarz bounds every partial sum too; half the range is far more than rounding can add.
        if query.embedding.norm() * self.vectors.longest > f64::from(f32::MAX) / 2.0 {
            return Err(IndexError::TooLong);
        }
        Ok(())
    }
}

fn check_dimension(expected: usize, embedding: &Embedding) -> Result<(), IndexError> {
    let found = embedding.dimension();
    if found == expected { Ok(()) } else { Err(IndexError::OtherDimension { expected, found }) }
}

#[cfg(test)]
mod tests;
