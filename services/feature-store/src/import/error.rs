//! What stops an import as a whole; a bad row does not, it goes to the rejects file.

use std::{io, path::PathBuf};

use finrank_model::InvalidField;
use finrank_store::StoreError;
use thiserror::Error;

/// The room's result.
pub type Result<T, E = ImportError> = std::result::Result<T, E>;

/// What stops an import as a whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not CSV.
    #[error("{path} is not CSV: {source}")]
    NotCsv {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ::csv::Error,
    },
    /// Columns are missing; nothing was loaded.
    #[error("{path} lacks the columns {missing}; it has {found}. Nothing was loaded")]
    MissingColumns {
        /// Which file.
        path: PathBuf,
        /// What is missing, comma-separated.
        missing: String,
        /// What is there, comma-separated.
        found: String,
    },
    /// A column's name is no attribute's name; nothing was loaded.
    #[error("{path}: the column {source}. Nothing was loaded")]
    BadColumn {
        /// Which file.
        path: PathBuf,
        /// The column.
        source: InvalidField,
    },
    /// The Caravan file holds what it should not; nothing of that part was loaded.
    #[error("{path}, line {line}: {source}")]
    Caravan {
        /// Which file.
        path: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        /// The field at fault.
        source: InvalidField,
    },
    /// A generator's numbers make no sense.
    #[error("--synthetic: {0}")]
    Synthetic(String),
    /// Postgres cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Postgres refused the load or went away; what was loaded before stays, and a second import completes it.
    #[error("Postgres: {0}")]
    Postgres(#[from] postgres::Error),
}
