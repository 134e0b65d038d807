//! A decision: what is offered, from what, by which versions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_policy::Policy;
use finrank_serving::Pseudonym;
use uuid::Uuid;

use super::{
    Ask, Basis,
    business::Business,
    candidate::ScoredCandidate,
    degradation::Degradation,
    eligibility::{Eligible, Scenario},
    recheck::OfferedItem,
    stage::StageReport,
};
use crate::{Generation, catalogue::Catalogue, index::Plan};

/// The outcome of one pass through the pipeline.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Names it; version 7, so that ids sort by time.
    pub decision_id: Uuid,
    /// The moment for which it was made.
    pub decided_at: DateTime<Utc>,
    /// How logs name whom it is for.
    pub pseudonym: Pseudonym,
    /// The embeddings and the model that made it.
    pub generation: Generation,
    /// By what the items are ranked.
    pub ranked_by: RankedBy,
    /// Why they are not by what they should be, if so.
    pub degradation: Option<Degradation>,
    /// The policy that decided.
    pub policy: Arc<Policy>,
    /// Where the products will be shown.
    pub scenario: Scenario,
    /// How many were asked for.
    pub k: usize,
    /// By which business rules it was chosen.
    pub business: Business,
    /// What could have been offered.
    pub eligible: Eligible,
    /// What was scored, in the order of retrieval.
    pub candidates: Vec<ScoredCandidate>,
    /// How they were searched for; `None` when nobody searched.
    pub plan: Option<Plan>,
    /// What each stage did, in order.
    pub stages: Vec<StageReport>,
    /// What is offered, best first.
    pub items: Vec<OfferedItem>,
}

/// How a decision came about.
pub(super) struct Course {
    pub(super) candidates: Vec<ScoredCandidate>,
    pub(super) plan: Option<Plan>,
    pub(super) business: Business,
    pub(super) stages: Vec<StageReport>,
}

/// By what items were ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankedBy {
    /// By the model, from the embedding of this refresh run.
    Profile(i64),
    /// By popularity.
    Popularity,
    /// By nothing.
    Nothing,
}

impl Decision {
    pub(super) fn new(
        catalogue: &Catalogue,
        ask: &Ask,
        eligible: Eligible,
        course: Course,
        items: Vec<OfferedItem>,
    ) -> Self {
        let ranked_by = match &ask.basis {
            Basis::Profile { generation, .. } => RankedBy::Profile(*generation),
            Basis::Popularity(Some(_)) => RankedBy::Popularity,
            Basis::Popularity(None) | Basis::Nothing => RankedBy::Nothing,
        };
        Self {
            decision_id: ask.decision_id,
            decided_at: ask.customer.moment,
            pseudonym: ask.pseudonym.clone(),
            generation: catalogue.generation().clone(),
            ranked_by,
            degradation: ask.degradation.clone(),
            policy: Arc::clone(ask.customer.policy.policy()),
            scenario: ask.terms.scenario,
            k: ask.k,
            business: course.business,
            eligible,
            candidates: course.candidates,
            plan: course.plan,
            stages: course.stages,
            items,
        }
    }

    /// The refresh run that the user's embedding comes from; 0 when none was used.
    pub fn user_generation(&self) -> i64 {
        match self.ranked_by {
            RankedBy::Profile(generation) => generation,
            RankedBy::Popularity | RankedBy::Nothing => 0,
        }
    }
}
