//! The rows that one search may find, in the form that Faiss takes, and the only `unsafe` of this crate.
//!
//! The `faiss` crate leaves two things to its caller. `IdSelector::bitmap` keeps a raw pointer to the bytes it
//! is given but no lifetime: once they are freed, a search reads freed memory. `SearchParameters::new` forgets
//! the selector it is given, and Faiss's parameters do not own theirs, so nobody frees it: 32 bytes are lost
//! per search, some 3 GB a day at 1,000 searches a second. [`SearchRows`] borrows the bytes for as long as it
//! lives and frees both objects when it ends.

use std::{marker::PhantomData, mem::ManuallyDrop, ptr};

use faiss::{search_params::SearchParameters, selector::IdSelector};

use super::RowSet;

/// Faiss's search parameters over a borrowed [`RowSet`].
pub(super) struct SearchRows<'rows> {
    // Dropped in the order of their declaration: first what points to the selector, then the selector.
    parameters: SearchParameters,
    _selector: IdSelector,
    _rows: PhantomData<&'rows RowSet>,
}

impl<'rows> SearchRows<'rows> {
    /// Lets a search find only `rows`.
    pub(super) fn only(rows: &'rows RowSet) -> Result<Self, faiss::error::Error> {
        let selector = ManuallyDrop::new(IdSelector::bitmap(rows.bits())?);
        // SAFETY: `IdSelector` is one pointer with a destructor. The copy is either forgotten by
        // `SearchParameters::new` when it succeeds, and then the original below frees the selector; or dropped
        // by it when it fails, and then the original, in its `ManuallyDrop`, does not. So it is freed once.
        let parameters = SearchParameters::new(unsafe { ptr::read(&*selector) })?;
        Ok(Self { parameters, _selector: ManuallyDrop::into_inner(selector), _rows: PhantomData })
    }

    /// What to give to `search_with_params`.
    pub(super) fn parameters(&self) -> &SearchParameters {
        &self.parameters
    }
}
