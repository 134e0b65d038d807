//! A decision: what is offered, from what, by which versions.

use chrono::{DateTime, Utc};
use finrank_serving::Pseudonym;
use uuid::Uuid;

use super::{
    Ask,
    candidate::ScoredCandidate,
    eligibility::{Eligible, Scenario},
};
use crate::{Generation, catalogue::Catalogue};

/// The outcome of one pass through the pipeline.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Names it; version 7, so that ids sort by time.
    pub decision_id: Uuid,
    /// When it was made.
    pub decided_at: DateTime<Utc>,
    /// How logs name whom it is for.
    pub customer: Pseudonym,
    /// The embeddings and the model that made it.
    pub generation: Generation,
    /// The refresh run that the user's embedding comes from.
    pub user_generation: i64,
    /// Where the products will be shown.
    pub scenario: Scenario,
    /// How many were asked for.
    pub k: usize,
    /// How many could have been offered.
    pub eligible: usize,
    /// How many were scored.
    pub candidates: usize,
    /// What is offered, best first.
    pub items: Vec<ScoredCandidate>,
}

impl Decision {
    pub(super) fn new(
        catalogue: &Catalogue,
        ask: &Ask,
        eligible: &Eligible,
        candidates: usize,
        items: Vec<ScoredCandidate>,
    ) -> Self {
        Self {
            decision_id: Uuid::now_v7(),
            decided_at: Utc::now(),
            customer: ask.customer.clone(),
            generation: catalogue.generation().clone(),
            user_generation: ask.user_generation,
            scenario: ask.terms.scenario,
            k: ask.k,
            eligible: eligible.count(),
            candidates,
            items,
        }
    }
}
