//! What stops an import as a whole; a bad row does not, it goes to the rejects file.

use std::{
    io,
    path::{Path, PathBuf},
};

use finrank_model::InvalidField;
use finrank_store::{StoreError, bulk::BulkError};
use thiserror::Error;

use super::csv::MAX_ROW_BYTES;

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
    /// A row goes on and on, as after a quote that is left open; what was loaded before stays.
    #[error("{path}: the row that begins on line {line} is longer than {} MiB; is a quote left open?", MAX_ROW_BYTES >> 20)]
    EndlessRow {
        /// Which file.
        path: PathBuf,
        /// Where the row begins, counted from 1, the header included.
        line: u64,
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
    Postgres(#[from] BulkError),
}

impl From<postgres::Error> for ImportError {
    fn from(error: postgres::Error) -> Self {
        Self::Postgres(error.into())
    }
}

impl ImportError {
    /// What the CSV reader or writer says of a file: that it cannot be read or written, or that it is not CSV.
    pub(super) fn csv(path: &Path, source: ::csv::Error) -> Self {
        let path = path.to_owned();
        if !source.is_io_error() {
            return Self::NotCsv { path, source };
        }
        let source = match source.into_kind() {
            ::csv::ErrorKind::Io(source) => source,
            kind => io::Error::other(format!("{kind:?}")),
        };
        Self::File { path, source }
    }
}
