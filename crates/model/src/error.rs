//! What can go wrong with a model; each variant is something that the caller can act on.

use std::{fmt::Display, io, path::PathBuf};

use thiserror::Error;

use crate::{InvalidEmbedding, InvalidField, Sha256Digest};

/// Why a TOML file, be it of features, policies or reasons, says nothing that this program can use.
#[derive(Debug, Error)]
pub enum InvalidFile {
    /// It is not TOML, lacks a key or has an unknown one.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// What it says does not hold together: everything that is wrong, each by its path.
    #[error("{}", InvalidField::lines(.0))]
    Problems(Vec<InvalidField>),
}

/// Why a model cannot be built, read, written or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Parts that do not fit together.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Which part.
        what: String,
        /// The shape that its neighbours ask for.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A model without a part that it must have.
    #[error("{what} is empty")]
    Empty {
        /// Which part.
        what: String,
    },
    /// A weight or metric that is NaN or infinite.
    #[error("{what} holds a value that is not finite")]
    NotFinite {
        /// Which part.
        what: String,
    },
    /// A tower computed something that is no embedding.
    #[error("the embedding of row {row} {source}")]
    Encoding {
        /// The row of the batch, from 0. Not the entity's id, which does not belong in a log.
        row: usize,
        /// What is wrong with it.
        source: InvalidEmbedding,
    },
    /// A record without what the tower reads: it would be taken for a customer of whom nothing is known.
    #[error(
        "the record of row {row} comes without the features of service {service:?}, which the user tower reads"
    )]
    FeaturesMissing {
        /// The row of the batch, from 0.
        row: usize,
        /// The service.
        service: String,
    },
    /// A model version that cannot name a directory.
    #[error(
        "model version {version:?} cannot name a directory: use letters, digits, '.', '_' and '-', not '.' first"
    )]
    UnusableVersion {
        /// The version.
        version: String,
    },
    /// A bundle is there already; bundles never change.
    #[error("{} exists already, and a bundle is never overwritten", path.display())]
    BundleExists {
        /// The bundle's directory.
        path: PathBuf,
    },
    /// A file of the bundle is missing.
    #[error("{} is missing", path.display())]
    FileMissing {
        /// The file.
        path: PathBuf,
    },
    /// The manifest lists a file whose name is not a plain file name.
    #[error("the manifest lists {name:?}, which is not a plain file name")]
    UnsafeFileName {
        /// The name.
        name: String,
    },
    /// The manifest does not list exactly the files that this format has.
    #[error("the manifest lists {found:?}, expected {expected:?}")]
    FileList {
        /// The files of this format.
        expected: Vec<String>,
        /// What is listed.
        found: Vec<String>,
    },
    /// A file is not the one that was written.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which check failed.
        reason: String,
    },
    /// A file is whole but does not hold what it must.
    #[error("{file} cannot be read: {reason}")]
    Malformed {
        /// The file's name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A bundle of a format that this program does not know.
    #[error("the bundle has format version {found}, this program reads 1 to {supported}")]
    FormatVersion {
        /// The bundle's.
        found: u32,
        /// The last that this program knows.
        supported: u32,
    },
    /// A bundle other than the one registered under its version.
    #[error("the bundle's manifest has SHA-256 {found}, but {expected} is registered")]
    NotTheRegistered {
        /// As registered.
        expected: Sha256Digest,
        /// As found.
        found: Sha256Digest,
    },
    /// The parts compute something else here than where the bundle was made.
    #[error(
        "the golden vectors are not reproduced: {vector}, is {found}, expected {expected}, a difference of {difference}"
    )]
    Golden {
        /// Which vector, and which of its components.
        vector: String,
        /// As the bundle says.
        expected: f32,
        /// As computed here.
        found: f32,
        /// Between the two.
        difference: f32,
    },
    /// A bundle of an earlier version, of which nothing says what an explanation should start from.
    #[error("model {version} does not carry the mean customer that explanations start from: train it anew")]
    NoMeans {
        /// The model's version.
        version: String,
    },
    /// A network whose paths bend too often to be walked.
    #[error(
        "the path from the mean customer bends more than {most} times: it cannot be explained in bounded time"
    )]
    TooManyCrossings {
        /// How often it may.
        most: usize,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl ModelError {
    pub(crate) fn shape(what: impl Into<String>, expected: &[usize], found: &[usize]) -> Self {
        Self::Shape { what: what.into(), expected: expected.to_vec(), found: found.to_vec() }
    }

    pub(crate) fn malformed(file: impl Into<String>, reason: impl Display) -> Self {
        Self::Malformed { file: file.into(), reason: reason.to_string() }
    }

    /// For `map_err`: says which path an I/O error is about.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
