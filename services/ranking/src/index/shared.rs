//! A Faiss index that many threads search at once.
//!
//! The `faiss` crate lets an index of unknown kind be searched only by who has it alone, since it may be one on a GPU.
//! [`SharedIndex`] is one of those that this crate builds, on the CPU, whose search changes nothing.

use std::mem::ManuallyDrop;

use faiss::{
    error::Error,
    index::{FromInnerPtr as _, Idx, IndexImpl, SearchWithParamsMut as _},
};

use super::selector::SearchRows;

/// A graph or lists, built or read, that will not be changed any more.
pub(super) struct SharedIndex(IndexImpl);

impl SharedIndex {
    /// Takes an index; of the kinds that `approximate` builds, HNSW and IVF on the CPU.
    pub(super) fn of(index: IndexImpl) -> Self {
        Self(index)
    }

    /// The labels found for one query; places that could not be filled have none.
    pub(super) fn search(&self, query: &[f32], k: usize, rows: &SearchRows<'_>) -> Result<Vec<Idx>, Error> {
        // SAFETY: the pointer is that of an index which lives as long as `self`. The second owner is never dropped, so
        // that the index is freed once, by the first; it is only searched, which in C++ is a `const` method that writes
        // to nothing but the query's own buffers (and to counters that nobody reads) for the kinds held here: Faiss's
        // guide, "Threads and asynchronous calls", allows concurrent searches of CPU indexes.
        let mut index = ManuallyDrop::new(unsafe { IndexImpl::from_inner_ptr(self.0.inner_ptr()) });
        Ok(index.search_with_params(query, k, rows.parameters())?.labels)
    }

    /// The index itself, for what only reads it.
    pub(super) fn faiss(&self) -> &IndexImpl {
        &self.0
    }
}
