//! What a candidate is at each stage. A later stage's type can only be had from the one before it.

use finrank_model::Score;
use finrank_selection::Placement;

use crate::index::Row;

/// A product that retrieval found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrievedCandidate {
    /// Which.
    pub row: Row,
    /// The inner product with the query.
    pub retrieval_score: f32,
}

/// A candidate with the scorer's word on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredCandidate {
    /// Which.
    pub row: Row,
    /// The inner product with the user.
    pub retrieval_score: f32,
    /// The probability that the customer takes it.
    pub score: Score,
}

/// A candidate that is to be offered, in its place. Only selection makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectedCandidate {
    candidate: ScoredCandidate,
    placing: Placing,
}

/// How a candidate came to its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Placing {
    /// By what.
    pub placement: Placement,
    /// By what boosts multiplied its odds in the order; 1 without one.
    pub boosted_by: f64,
    /// With which probability it stands there, given the candidates.
    pub propensity: f64,
}

impl RetrievedCandidate {
    /// The same candidate, scored.
    pub fn scored(self, score: Score) -> ScoredCandidate {
        let Self { row, retrieval_score } = self;
        ScoredCandidate { row, retrieval_score, score }
    }
}

impl ScoredCandidate {
    /// The same candidate, chosen.
    pub(super) fn selected(self, placing: Placing) -> SelectedCandidate {
        SelectedCandidate { candidate: self, placing }
    }
}

impl SelectedCandidate {
    /// The candidate that was chosen.
    pub fn candidate(&self) -> ScoredCandidate {
        self.candidate
    }

    /// How it came to its place.
    pub fn placing(&self) -> &Placing {
        &self.placing
    }
}
