//! The vectors of an index, one a row, and the exact ways to search them. Every inner product that leaves the index is
//! computed here, by one function, so that a figure does not depend on how its row was found.

use std::fmt;

use faiss::index::{Index, flat::FlatIndexImpl};
use finrank_model::{Embedding, Sha256Digest};

use super::{Hit, IndexError, Row, RowSet, best::Best, check_dimension};

/// Sums kept side by side: two registers of eight, so that additions need not wait for one another.
const LANES: usize = 16;

/// Vectors of one dimension.
pub(super) struct Vectors {
    flat: FlatIndexImpl,
    dimension: usize,
    rows: usize,
    /// The longest row's Euclidean norm, by which an overflow is ruled out before a search.
    pub(super) longest: f64,
}

impl Vectors {
    /// # Errors
    /// [`IndexError::OtherDimension`], or when Faiss cannot have the memory.
    pub(super) fn build(dimension: usize, embeddings: &[Embedding]) -> Result<Self, IndexError> {
        let mut components = Vec::with_capacity(embeddings.len() * dimension);
        for embedding in embeddings {
            check_dimension(dimension, embedding)?;
            components.extend_from_slice(embedding.as_slice());
        }
        let width = u32::try_from(dimension)
            .map_err(|_| IndexError::OtherDimension { expected: u32::MAX as usize, found: dimension })?;
        let mut flat = FlatIndexImpl::new_ip(width)?;
        if !embeddings.is_empty() {
            flat.add(&components)?;
        }
        let longest = embeddings.iter().map(Embedding::norm).fold(0.0, f64::max);
        Ok(Self { flat, dimension, rows: embeddings.len(), longest })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// All components, row after row.
    pub(super) fn components(&self) -> &[f32] {
        // Faiss's pointer is null when there is no row, and `xb` would make a slice of it.
        if self.rows == 0 { &[] } else { self.flat.xb() }
    }

    /// # Panics
    /// When there is no such row.
    pub(super) fn row(&self, row: Row) -> &[f32] {
        assert!(row.0 < self.rows, "row {} of {}", row.0, self.rows);
        &self.components()[row.0 * self.dimension..][..self.dimension]
    }

    /// ⟨query, row⟩, with the row.
    pub(super) fn hit(&self, query: &[f32], row: Row) -> Hit {
        Hit { row, inner_product: inner_product(query, self.row(row)) }
    }

    /// Offers each of the rows allowed, read one by one.
    pub(super) fn scan(&self, query: &[f32], allowed: &RowSet, best: &mut Best) {
        for row in allowed.iter() {
            best.offer(self.hit(query, row));
        }
    }

    /// As [`Vectors::scan`], but reads every row, one after the other, and asks of the good ones whether they are allowed:
    /// memory is read ahead, and no branch waits for a filter that nobody can predict.
    pub(super) fn scan_all(&self, query: &[f32], allowed: &RowSet, best: &mut Best) {
        for (row, components) in self.components().chunks_exact(self.dimension).enumerate() {
            let hit = Hit { row: Row(row), inner_product: inner_product(query, components) };
            if best.would_take(&hit) && allowed.contains(hit.row) {
                best.offer(hit);
            }
        }
    }

    /// Of all components, by which an index kept on disk is known to be of these vectors.
    pub(super) fn digest(&self) -> Sha256Digest {
        let bytes: Vec<u8> = self.components().iter().flat_map(|component| component.to_le_bytes()).collect();
        Sha256Digest::of(&bytes)
    }
}

impl fmt::Debug for Vectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vectors").field("rows", &self.rows).field("dimension", &self.dimension).finish()
    }
}

/// Σ aᵢ·bᵢ in f32, in an order of additions that depends on the dimension alone.
pub(super) fn inner_product(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(0.0, |sum: f32, (a, b)| a.mul_add(*b, sum));
    sums.iter().sum::<f32>() + rest
}
