//! Where one product stands in a decision, and how it came to it: by what stands against it, or else by its scores.

use finrank_contracts::ranking::v1::{self, EligibilityVerdict, ItemStanding};

use super::{explanation::judged, response::count};
use crate::{
    Result,
    catalogue::Catalogue,
    index::Row,
    pipeline::{Ask, Basis, Decision, Pipeline, ScoredCandidate},
};

/// A product's place in a decision.
pub(super) struct Standing {
    /// In the contract's words.
    pub(super) place: v1::ItemPlace,
    /// What the model says of it, if it may be offered and the model ranks.
    pub(super) scored: Option<ScoredCandidate>,
}

impl Standing {
    /// Of the product in a row, by the pipeline that made the decision.
    ///
    /// # Errors
    /// As [`Pipeline::score`].
    pub(super) fn of(
        pipeline: &Pipeline,
        catalogue: &Catalogue,
        ask: &Ask,
        decision: &Decision,
        row: Row,
    ) -> Result<Self> {
        let eligibility = judged(catalogue, &ask.customer, &ask.customer.holdings(catalogue), row);
        let left_out_by = pipeline.leaves_out(catalogue, &ask.terms, row);
        let retrieved = decision.candidates.iter().position(|candidate| candidate.row == row);
        let rank = decision.items.iter().position(|item| item.candidate().row == row);
        let standing = match (rank, eligibility.verdict()) {
            (Some(_), _) => ItemStanding::Offered,
            _ if !left_out_by.is_empty() => ItemStanding::Excluded,
            (None, EligibilityVerdict::HumanReview) => ItemStanding::HumanReview,
            (None, EligibilityVerdict::Excluded | EligibilityVerdict::Unspecified) => ItemStanding::Excluded,
            (None, EligibilityVerdict::Eligible) => match &ask.basis {
                Basis::Profile { .. } if retrieved.is_none() => ItemStanding::NotRetrieved,
                _ => ItemStanding::NotChosen,
            },
        };
        let scored = match (&ask.basis, retrieved) {
            (Basis::Popularity(_) | Basis::Nothing, _) => None,
            _ if matches!(standing, ItemStanding::Excluded | ItemStanding::HumanReview) => None,
            (Basis::Profile { .. }, Some(retrieved)) => Some(decision.candidates[retrieved]),
            (Basis::Profile { user, .. }, None) => pipeline.score(catalogue, user, &[row])?.pop(),
        };
        let place = v1::ItemPlace {
            standing: standing.into(),
            rank: rank.map_or(0, |rank| count(rank + 1)),
            eligibility: Some(eligibility),
            left_out_by: left_out_by.into_iter().map(str::to_owned).collect(),
            score: scored.map(|scored| score(&decision.candidates, &scored, retrieved)),
        };
        Ok(Self { place, scored })
    }

    /// Whether something stands against the product that no score can help.
    pub(super) fn is_ruled_out(&self) -> bool {
        matches!(self.place.standing(), ItemStanding::Excluded | ItemStanding::HumanReview)
    }
}

/// What the model says, and the places among the candidates.
fn score(
    candidates: &[ScoredCandidate],
    scored: &ScoredCandidate,
    retrieved: Option<usize>,
) -> v1::ItemScore {
    // As selection orders them where nothing but scores counts.
    let better = |candidate: &&ScoredCandidate| {
        candidate.score.cmp(&scored.score).reverse().then(candidate.row.cmp(&scored.row)).is_lt()
    };
    let place = |place: usize| retrieved.map_or(0, |_| count(place + 1));
    v1::ItemScore {
        score: scored.score.get().into(),
        logit: scored.score.logit().into(),
        retrieval_score: scored.retrieval_score.into(),
        score_place: place(candidates.iter().filter(better).count()),
        retrieval_place: place(retrieved.unwrap_or_default()),
    }
}
