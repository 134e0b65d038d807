//! What can go wrong between us and Postgres, in words that say what to do.

use std::{io, path::PathBuf};

use chrono::{DateTime, Utc};
use finrank_model::InvalidField;
use thiserror::Error;

use crate::bulk::BulkError;

/// The crate's result.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No server answers at the address, or it does not let us in.
    #[error(
        "cannot reach Postgres at {address}: {reason}; start it (`finrank postgres start` for a private one), or set DATABASE_URL to where it is"
    )]
    Unreachable {
        /// Host, port and database, without the password.
        address: String,
        /// What the attempt said.
        reason: String,
    },
    /// The database's URL cannot be read.
    #[error("DATABASE_URL is not a Postgres URL: {0}")]
    Url(String),
    /// A certificate or key that the database's URL names cannot be used.
    #[error("{word} of DATABASE_URL names {}, which cannot be used: {reason}", path.display())]
    Certificates {
        /// The parameter of the URL, `sslrootcert` for one.
        word: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Postgres refused a query or went away.
    #[error("Postgres: {0}")]
    Query(#[from] sqlx::Error),
    /// Postgres refused a bulk transfer or went away.
    #[error("Postgres: {0}")]
    Bulk(#[from] BulkError),
    /// The schema could not be brought up to date.
    #[error("cannot bring the schema up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A stored row does not hold what every writer checks.
    #[error("a stored row of {table} is not valid: {source}")]
    StoredRow {
        /// Where it is stored.
        table: &'static str,
        /// The field at fault.
        source: InvalidField,
    },
    /// A feature's value rests on statements that are too old, and may not be served then.
    #[error("{feature} of {id} rests on what was true at {event_time}, longer ago than its time to live")]
    FeatureExpired {
        /// `view:feature`.
        feature: String,
        /// Whose.
        id: String,
        /// Since when the newest statement is true.
        event_time: DateTime<Utc>,
    },
    /// A feature's value is a whole number beyond 64 bits.
    #[error("{feature} has outgrown 64 bits")]
    FeatureOverflow {
        /// `view:feature`.
        feature: String,
    },
    /// A model version is registered with another bundle.
    #[error("model version {model_version} is registered with bundle {registered}, not {offered}")]
    AnotherBundle {
        /// The version.
        model_version: String,
        /// The SHA-256 that is registered.
        registered: String,
        /// The SHA-256 that was offered.
        offered: String,
    },
    /// No such model version is registered.
    #[error("model version {model_version} is not registered")]
    UnknownModel {
        /// The one asked for.
        model_version: String,
    },
    /// A model version may not be served, or not yet.
    #[error("{model_version} is not promoted: {}", reasons.join("; "))]
    PromotionRefused {
        /// The version.
        model_version: String,
        /// Everything that stands against it.
        reasons: Vec<String>,
    },
    /// There is nothing to go back to, or it cannot be gone back to.
    #[error("nothing is rolled back: {reason}")]
    RollbackRefused {
        /// What stands against it.
        reason: String,
    },
    /// A version may not answer a share of customers or be scored in the shadow, or not yet.
    #[error("traffic stays as it is: {}", reasons.join("; "))]
    TrafficRefused {
        /// Everything that stands against it.
        reasons: Vec<String>,
    },
    /// A stored JSON document is not what every writer makes.
    #[error("a stored document cannot be read: {0}")]
    Json(#[source] serde_json::Error),
    /// A name, a reason or a moment of a check, waiver or promotion does not hold what it must.
    #[error("{0}")]
    InvalidField(#[from] InvalidField),
    /// Postgres's programs are nowhere to be found.
    #[error(
        "no Postgres programs found in {looked_in}; install Debian's `postgresql` or set postgres.bin_dir"
    )]
    NoPrograms {
        /// Where we looked.
        looked_in: String,
    },
    /// A directory is not a cluster's, and not empty either.
    #[error("{path} is not empty and holds no Postgres cluster; choose another data directory")]
    NotACluster {
        /// The directory.
        path: PathBuf,
    },
    /// Postgres does not run as root, and the user it would run as cannot get at its directory.
    #[error(
        "user {user} cannot enter {path}; make it traversable (chmod o+x) or choose another state directory"
    )]
    NotTraversable {
        /// Who.
        user: String,
        /// The directory on the way.
        path: PathBuf,
    },
    /// The port that was asked for is taken.
    #[error("port {0} is in use; choose another, or none for a free one")]
    PortTaken(u16),
    /// A program of Postgres failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: String,
        /// What it printed.
        output: String,
    },
    /// The server did not become ready, or did not stop.
    #[error("Postgres in {data_dir} {what}; its log is {log}")]
    Stuck {
        /// The cluster.
        data_dir: PathBuf,
        /// What it did not do.
        what: &'static str,
        /// Where it says why.
        log: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> Self {
        Self::Bulk(error.into())
    }
}
