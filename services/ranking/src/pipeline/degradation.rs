//! The ladder's rungs: how an answer says that it is not ranked as it should be. Only what ranks degrades: what may be offered
//! is decided on every rung by the same stage, from the same facts.

use std::time::Duration;

/// On which rung an answer stands, and why not above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degradation {
    /// By what it is ranked instead.
    pub rung: Rung,
    /// What stood in the way.
    pub reason: Reason,
    /// The rungs above, from above.
    pub passed: Vec<Passed>,
}

/// What an answer is ranked by in place of the customer's embedding, from above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// The customer's last known embedding, of the catalogue's model.
    Stale {
        /// How long ago the feature store last told it.
        age: Duration,
    },
    /// What most people hold.
    Fallback,
    /// Nothing is offered.
    Empty,
}

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The customer has no embedding yet.
    NewCustomer,
    /// The feature store could not give it.
    EmbeddingUnavailable,
    /// It did not in time.
    EmbeddingLate,
    /// It has none of the catalogue's model any more.
    ModelOutdated,
    /// There are no products.
    CatalogueEmpty,
}

/// A rung that was passed over, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// The settings allow no last known embedding.
    StaleNotAllowed,
    /// Nothing is known of a new customer from before.
    StaleOfNewCustomer,
    /// No embedding of this model is kept that is young enough.
    StaleNotKept,
    /// The settings do not allow what most people hold.
    FallbackNotAllowed,
    /// Nobody knows what most people hold.
    FallbackUnknown,
}

impl Rung {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stale { .. } => "stale",
            Self::Fallback => "fallback",
            Self::Empty => "empty",
        }
    }
}

impl Reason {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NewCustomer => "new_customer",
            Self::EmbeddingUnavailable => "embedding_unavailable",
            Self::EmbeddingLate => "embedding_late",
            Self::ModelOutdated => "model_outdated",
            Self::CatalogueEmpty => "catalogue_empty",
        }
    }
}
