//! What a refresh can be asked for.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use finrank_model::{ModelVersion, features};

/// Which embeddings to compute, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRequest {
    /// The model whose towers run; absent for the one that is served, or before the first
    /// promotion for the newest registered one.
    pub version: Option<ModelVersion>,
    /// How much is computed.
    pub scope: Scope,
    /// Of whom; absent for users and products.
    pub only: Option<Entity>,
    /// Workers of this process; absent for as many as it is configured with.
    pub workers: Option<NonZeroU32>,
    /// Whether to plan only, and write nothing.
    pub dry_run: bool,
}

/// How much of what is asked for is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every embedding.
    Full,
    /// What has changed; everything, if the model version has no generation yet.
    Changes {
        /// Learned since then; absent for since the newest generation.
        since: Option<DateTime<Utc>>,
    },
}

impl Scope {
    /// The stored form.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Changes { .. } => "changes",
        }
    }

    /// Since when, if that was asked for.
    pub(super) fn since(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Full => None,
            Self::Changes { since } => since,
        }
    }
}

/// Whose embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// Customers.
    User,
    /// Products.
    Product,
}

impl Entity {
    /// Whose features.
    pub(super) fn of_features(self) -> features::Entity {
        match self {
            Self::User => features::Entity::Customer,
            Self::Product => features::Entity::Product,
        }
    }

    /// The stored form.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
        }
    }

    /// The schema allows these two and no other.
    pub(super) fn from_stored(stored: &str) -> Self {
        if stored == "user" { Self::User } else { Self::Product }
    }
}
