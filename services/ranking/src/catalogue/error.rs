//! Why a catalogue cannot be built. None of these stops a server: the catalogue in service stays.

use finrank_model::{ModelError, ProductId, reasons::WithoutReason};
use thiserror::Error;

use crate::index::IndexError;

/// What is wrong with a snapshot or with the bundle that goes with it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The bundle and the embeddings do not belong together.
    #[error("the bundle's {what} is {bundle}, the embeddings' is {embeddings}")]
    OtherBundle {
        /// What differs.
        what: &'static str,
        /// In the bundle.
        bundle: String,
        /// In the snapshot.
        embeddings: String,
    },
    /// One product came twice.
    #[error("product {0} is in the snapshot twice")]
    DuplicateProduct(ProductId),
    /// The bundle is missing, damaged or of no use.
    #[error("the bundle cannot be used: {0}")]
    Bundle(#[from] ModelError),
    /// The model reads what no customer could be told of.
    #[error("the model cannot be explained: {0}")]
    Reasons(#[from] WithoutReason),
    /// Faiss cannot take the embeddings.
    #[error("the index cannot be built: {0}")]
    Index(#[from] IndexError),
}
