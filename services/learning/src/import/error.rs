//! Why a network cannot be imported; each variant names what in the file is at fault.

use thiserror::Error;

/// What is wrong with a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is not what its name says.
    #[error("{0}")]
    Malformed(String),
    /// More of something than any scorer has.
    #[error("{what} is more than {at_most}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        at_most: usize,
    },
    /// A tensor that cannot be read as it is meant.
    #[error("tensor {name:?} {reason}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A node that cannot be run faithfully.
    #[error("{node} {reason}")]
    Node {
        /// Its name and operator.
        node: String,
        /// Why not.
        reason: String,
    },
}

impl ImportError {
    pub(super) fn tensor(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Tensor { name: name.into(), reason: reason.into() }
    }
}
