//! Selection: which of the scored candidates are offered, in which order.

use std::fmt::Debug;

use finrank_selection::{Candidate, InForce, SelectionCode};
use uuid::Uuid;

use super::candidate::{Placing, ScoredCandidate, SelectedCandidate};
use crate::{catalogue::Catalogue, index::Row};

/// How much is to be chosen, and how.
#[derive(Clone, Debug)]
pub struct Choice<'r> {
    /// The rules that hold.
    pub rules: InForce<'r>,
    /// At most so many.
    pub k: usize,
    /// From what chance follows.
    pub decision_id: Uuid,
}

/// What is chosen.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    /// In the order in which they are offered.
    pub items: Vec<SelectedCandidate>,
    /// What would be without chance.
    pub by_rank: Vec<Row>,
    /// Pins that a cap left no room for.
    pub capped_pins: Vec<SelectionCode>,
}

/// Chooses from scored candidates.
pub trait Selector: Debug + Send + Sync {
    /// `k` of them, or as many as there are and caps leave. Candidates of one score keep the order in which they are given.
    fn select(&self, catalogue: &Catalogue, candidates: &[ScoredCandidate], choice: &Choice<'_>) -> Selected;
}

/// By the selection file's rules (see [`finrank_selection`]), and where these ask for unlikeness by the cosines of embeddings.
#[derive(Debug)]
pub struct RuledSelector;

impl Selector for RuledSelector {
    fn select(&self, catalogue: &Catalogue, candidates: &[ScoredCandidate], choice: &Choice<'_>) -> Selected {
        let seen: Vec<Candidate<'_>> =
            candidates.iter().map(|candidate| as_rules_see(catalogue, candidate)).collect();
        let directions = catalogue.directions();
        let cosine =
            |a: usize, b: usize| directions.inner_product(candidates[a].row, candidates[b].row).into();
        let chosen = choice.rules.choose(&seen, choice.k, cosine, choice.decision_id);
        Selected {
            by_rank: chosen.places.iter().map(|placed| candidates[placed.by_rank].row).collect(),
            capped_pins: chosen.capped_pins,
            items: chosen
                .places
                .into_iter()
                .map(|placed| {
                    let (boosted_by, propensity) = (placed.boosted_by, placed.propensity);
                    let placing = Placing { placement: placed.placement, boosted_by, propensity };
                    candidates[placed.candidate].selected(placing)
                })
                .collect(),
        }
    }
}

/// A candidate as rules see it.
fn as_rules_see<'c>(catalogue: &'c Catalogue, candidate: &ScoredCandidate) -> Candidate<'c> {
    Candidate { score: candidate.score, ..catalogue.product(candidate.row).unscored() }
}
