//! Scoring: how likely the customer takes each candidate.

use std::fmt::Debug;

use tracing::debug_span;

use super::candidate::{RetrievedCandidate, ScoredCandidate};
use crate::{
    catalogue::Catalogue,
    index::{IndexError, Row, SpacedEmbedding},
};

/// Scores candidates.
pub trait Scorer: Debug + Send + Sync {
    /// The same candidates in the same order, scored.
    ///
    /// # Errors
    /// When the user and the catalogue are not of one space and dimension.
    fn score(
        &self,
        catalogue: &Catalogue,
        user: &SpacedEmbedding,
        candidates: Vec<RetrievedCandidate>,
    ) -> Result<Vec<ScoredCandidate>, IndexError>;
}

/// By the MLP of the catalogue's model: about 0.2 µs a candidate.
#[derive(Debug)]
pub struct MlpCandidateScorer;

impl Scorer for MlpCandidateScorer {
    fn score(
        &self,
        catalogue: &Catalogue,
        user: &SpacedEmbedding,
        candidates: Vec<RetrievedCandidate>,
    ) -> Result<Vec<ScoredCandidate>, IndexError> {
        let _stage = debug_span!("score", candidates = candidates.len()).entered();
        let rows: Vec<Row> = candidates.iter().map(|candidate| candidate.row).collect();
        let scores = catalogue.score(user, &rows)?;
        let scored = candidates.into_iter().zip(scores).map(|(candidate, score)| candidate.scored(score));
        Ok(scored.collect())
    }
}
