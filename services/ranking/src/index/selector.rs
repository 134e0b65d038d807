//! The rows that one search may find, in the form that Faiss takes.
//!
//! The `faiss` crate leaves two things to its caller. `IdSelector::bitmap` keeps a raw pointer to the bytes it
//! is given but no lifetime: once they are freed, a search reads freed memory. `SearchParameters::new` forgets
//! the selector it is given, and Faiss's parameters do not own theirs, so nobody frees it: 32 bytes are lost
//! per search, some 3 GB a day at 1,000 searches a second. [`SearchRows`] borrows the bytes for as long as it
//! lives and frees both objects when it ends.

use std::{marker::PhantomData, mem::ManuallyDrop, ptr};

use faiss::{
    error::Error,
    search_params::{SearchParameters, SearchParametersIVF},
    selector::IdSelector,
};

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
    pub(super) fn only(rows: &'rows RowSet) -> Result<Self, Error> {
        Self::made(rows, SearchParameters::new)
    }

    /// Lets a search of lists find only `rows`, and read so many lists.
    pub(super) fn probing(rows: &'rows RowSet, lists: usize) -> Result<Self, Error> {
        // No limit on how many rows it reads in them.
        Self::made(rows, |selector| Ok(SearchParametersIVF::new_with(selector, lists, 0)?.upcast()))
    }

    /// `make` forgets the selector when it succeeds, and drops it when it fails.
    fn made(
        rows: &'rows RowSet,
        make: impl FnOnce(IdSelector) -> Result<SearchParameters, Error>,
    ) -> Result<Self, Error> {
        let selector = ManuallyDrop::new(IdSelector::bitmap(rows.bits())?);
        // SAFETY: `IdSelector` is one pointer with a destructor. The copy is either forgotten by `make` when it
        // succeeds, and then the original below frees the selector; or dropped by it when it fails, and then the
        // original, in its `ManuallyDrop`, does not. So it is freed once. Both functions that are given as `make`, of
        // the `faiss` crate, do just that.
        let parameters = make(unsafe { ptr::read(&*selector) })?;
        Ok(Self { parameters, _selector: ManuallyDrop::into_inner(selector), _rows: PhantomData })
    }

    /// What to give to `search_with_params`.
    pub(super) fn parameters(&self) -> &SearchParameters {
        &self.parameters
    }
}
