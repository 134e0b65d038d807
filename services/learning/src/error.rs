//! Why a training cannot be done; each variant is something that the caller can act on.

use std::{io, path::PathBuf};

use finrank_model::{InvalidField, ModelError, ModelVersion, features::UnusableFeatures, policy::Breach};
use finrank_store::StoreError;
use thiserror::Error;

use crate::ImportError;

/// The crate's result.
pub type Result<T, E = LearningError> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LearningError {
    /// The store does not answer or holds what it should not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Postgres refused a query of this crate.
    #[error("Postgres: {0}")]
    Query(#[from] sqlx::Error),
    /// The model could not be built or its bundle not be written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A stored or computed id is not one.
    #[error("{0}")]
    InvalidField(#[from] InvalidField),
    /// Features that the user tower may not read.
    #[error("features: {0}")]
    Features(#[from] UnusableFeatures),
    /// Tensor arithmetic failed: a fault of the trainer, not of the data.
    #[error("training: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The thread that trains ended without an answer.
    #[error("the training thread ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
    /// The manifest could not be turned into JSON.
    #[error("cannot register the manifest: {0}")]
    Manifest(serde_json::Error),
    /// A chart of the report could not be drawn.
    #[error("cannot draw a chart: {0}")]
    Chart(String),
    /// There is nothing to learn from.
    #[error("there is nothing to learn from: {0}")]
    TooLittle(String),
    /// The data hold what the policy forbids a model of these products to know.
    #[error(
        "the policy forbids it: {}; `finrank train --leave-out {}` trains without",
        breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        breaches.iter().map(|breach| breach.feature.as_str()).collect::<Vec<_>>().join(","),
    )]
    Forbidden {
        /// Each feature, and for which products.
        breaches: Vec<Breach>,
    },
    /// No customer has a holding that the split could hide.
    #[error("no holding can be hidden: {0}")]
    NothingHidden(&'static str),
    /// The loss is no longer a number.
    #[error("the loss is not finite after epoch {epoch}: lower the learning rate")]
    Diverged {
        /// From 1.
        epoch: usize,
    },
    /// A setting that makes no sense.
    #[error("{name} is {value}: {reason}")]
    Setting {
        /// Which one.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it must be.
        reason: &'static str,
    },
    /// There is no checkpoint.
    #[error("there is nothing to go on from: {}: {source}", path.display())]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The checkpoint is of another training.
    #[error("{} is of another training: {}", path.display(), differences.join("; "))]
    AnotherTraining {
        /// The file.
        path: PathBuf,
        /// Each setting with its value and the checkpoint's.
        differences: Vec<String>,
    },
    /// The checkpoint is not whole, or none.
    #[error("{} cannot be gone on from: {reason}", path.display())]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The checkpoint could not be written.
    #[error("the checkpoint {} could not be written: {source}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A CSV file that cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A network that cannot be imported.
    #[error("{}: {source}", path.display())]
    Import {
        /// The file.
        path: PathBuf,
        /// What in it is at fault.
        source: ImportError,
    },
    /// A model version that is not registered.
    #[error("model version {version} is not registered")]
    NotRegistered {
        /// The version.
        version: ModelVersion,
    },
    /// A CSV file that is not one.
    #[error("{}: {source}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: csv::Error,
    },
    /// The table has no rows.
    #[error("{} has no rows below its header", path.display())]
    EmptyTable {
        /// The file.
        path: PathBuf,
    },
    /// A column that was asked for is not there.
    #[error("{} has no column {column:?}; it has {}", path.display(), columns.join(", "))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        column: String,
        /// What there is.
        columns: Vec<String>,
    },
    /// The label does not take two values.
    #[error("column {label:?} must hold two distinct values, it holds {}", describe_values(values))]
    NotBinary {
        /// The column.
        label: String,
        /// The distinct values, the first few.
        values: Vec<String>,
    },
    /// A cell that is no number, where cells are taken as they are.
    #[error("row {row}: column {column:?} is no number, and cells are taken as they are")]
    NotANumber {
        /// The column.
        column: String,
        /// The row below the header, from 1.
        row: usize,
    },
    /// No calibration can be fitted.
    #[error("calibration: {0}")]
    Calibration(String),
    /// A row without a label, or of no fold.
    #[error("line {line}: column {column:?} is empty")]
    MissingCell {
        /// The column.
        column: String,
        /// The line in the file, from 1.
        line: u64,
    },
}

fn describe_values(values: &[String]) -> String {
    match values {
        [only] => format!("only {only:?}"),
        many => {
            let quoted: Vec<String> = many.iter().map(|value| format!("{value:?}")).collect();
            format!("{} or more: {}", many.len(), quoted.join(", "))
        }
    }
}
