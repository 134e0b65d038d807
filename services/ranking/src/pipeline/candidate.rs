//! What a candidate is at each stage. A later stage's type can only be had from the one before it.

use finrank_model::Score;

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelectedCandidate(ScoredCandidate);

impl RetrievedCandidate {
    /// The same candidate, scored.
    pub fn scored(self, score: Score) -> ScoredCandidate {
        let Self { row, retrieval_score } = self;
        ScoredCandidate { row, retrieval_score, score }
    }
}

impl ScoredCandidate {
    /// The same candidate, chosen.
    pub fn selected(self) -> SelectedCandidate {
        SelectedCandidate(self)
    }
}

impl SelectedCandidate {
    /// The candidate that was chosen.
    pub fn candidate(self) -> ScoredCandidate {
        self.0
    }
}
