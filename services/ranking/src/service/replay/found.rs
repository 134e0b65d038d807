//! Why a decision is not made again as it was.

use std::fmt::Display;

use finrank_contracts::ranking::v1::{Divergence, ReplayOutcome};
use finrank_decisions::DecisionLogError;

use crate::RankingError;

/// What stands in the way of an exact replay.
pub(super) enum Found {
    /// What it was made from was erased.
    InputErased,
    /// Something that it was made by is gone.
    Missing(ReplayOutcome, String),
    /// Something differs.
    Diverged(Box<Divergence>),
    /// It could not be tried.
    Failed(Box<RankingError>),
}

impl Found {
    /// Something is not what the decision was made from, or by.
    #[allow(clippy::needless_pass_by_value, reason = "errors are handed over as they come")]
    pub(super) fn other(stage: &str, what: impl Display) -> Self {
        let (stage, message) = (stage.to_owned(), what.to_string());
        Self::Diverged(Box::new(Divergence { stage, message, ..Divergence::default() }))
    }

    /// Contents that are kept, but not as they were.
    pub(super) fn content(stage: &'static str) -> impl Fn(DecisionLogError) -> Self {
        move |error| match error {
            DecisionLogError::ContentChanged(_) | DecisionLogError::ContentUnreadable { .. } => {
                Self::other(stage, error)
            }
            error => RankingError::from(error).into(),
        }
    }
}

impl From<RankingError> for Found {
    fn from(error: RankingError) -> Self {
        Self::Failed(Box::new(error))
    }
}
