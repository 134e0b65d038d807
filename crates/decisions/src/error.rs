//! What can go wrong with the log.

use std::time::Duration;

use finrank_model::{InvalidField, ProductId, Sha256Digest};
use thiserror::Error;
use uuid::Uuid;

/// What the log answers with.
pub type Result<T, E = DecisionLogError> = std::result::Result<T, E>;

/// Why the log cannot do what it was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecisionLogError {
    /// No such decision.
    #[error("there is no decision {0} in the log")]
    NotFound(Uuid),
    /// No checkpoint covers the decision yet.
    #[error("decision {0} is not signed yet: the next checkpoint will cover it")]
    NotSignedYet(Uuid),
    /// The decision did not offer the product.
    #[error("decision {decision_id} did not offer {product_id}")]
    NotOffered {
        /// The decision.
        decision_id: Uuid,
        /// The product.
        product_id: ProductId,
    },
    /// The customer of the decision was erased.
    #[error("whom decision {0} was for was erased, and nothing more is kept of them")]
    InputsErased(Uuid),
    /// An outcome does not hold what it must.
    #[error("{0}")]
    InvalidOutcome(InvalidField),
    /// The writer has ended, and nothing more is kept.
    #[error("the decision log is closed")]
    Closed,
    /// Postgres took too long.
    #[error("the decision log's database did not answer within {0:?}")]
    Slow(Duration),
    /// A row does not hold what it must.
    #[error("decision {sequence} of the log {reason}")]
    Damaged {
        /// Its place.
        sequence: i64,
        /// What is wrong.
        reason: String,
    },
    /// What is kept under a digest has another.
    #[error("what is kept as {0} is not what was kept")]
    ContentChanged(Sha256Digest),
    /// What is kept under a digest cannot be read.
    #[error("what is kept as {sha256} cannot be read: {reason}")]
    ContentUnreadable {
        /// Its digest.
        sha256: Sha256Digest,
        /// What is wrong.
        reason: String,
    },
    /// A proof proves nothing.
    #[error("the proof does not hold: {0}")]
    NoProof(String),
    /// The log does not reach so far.
    #[error("decisions {first} to {last} are not all in the log, which ends with {end}")]
    NoSuchPart {
        /// The first that is asked for.
        first: i64,
        /// The last.
        last: i64,
        /// The last of the log; 0 if it is empty.
        end: i64,
    },
    /// A file is no whole part of a log.
    #[error("this is no whole part of a log: {0}")]
    NoExport(String),
    /// A key is none.
    #[error(transparent)]
    Key(#[from] InvalidField),
    /// Postgres does not answer.
    #[error("the decision log's database: {0}")]
    Database(#[from] sqlx::Error),
}

impl DecisionLogError {
    /// What is wrong with a row, after "decision 7 of the log".
    pub(crate) fn damaged(sequence: i64, reason: &str) -> Self {
        Self::Damaged { sequence, reason: reason.to_owned() }
    }

    /// What is wrong with a content that has its digest.
    pub fn unreadable(sha256: Sha256Digest, reason: String) -> Self {
        Self::ContentUnreadable { sha256, reason }
    }
}
