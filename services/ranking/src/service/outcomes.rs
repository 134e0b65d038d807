//! What is told of what customers did with answers, and what it comes to.

use finrank_contracts::ranking::v1;
use finrank_decisions::{
    counterfactual::{Explored, Greedy},
    outcome::{self, Outcome, OutcomeKind, Told},
    rates::{self, Measured, Ranker, Rate},
};
use finrank_model::{InvalidField, OutcomeId, ProductId};
use finrank_serving::wire;

use super::{RankingService, audit::decision_id};
use crate::Result;

impl RankingService {
    pub(super) async fn keep_outcome(
        &self,
        request: v1::RecordOutcomeRequest,
    ) -> Result<v1::RecordOutcomeResponse> {
        let outcome = parse(&request)?;
        let told = outcome::keep(&self.log()?.store, &outcome).await?;
        Ok(v1::RecordOutcomeResponse { duplicate: told == Told::Again })
    }

    pub(super) async fn count_outcomes(
        &self,
        request: v1::MeasureOutcomesRequest,
    ) -> Result<v1::MeasureOutcomesResponse> {
        let since = request.since.map(|since| wire::moment("since", Some(since))).transpose()?;
        let counted = rates::by_ranker(&self.log()?.store, since).await?;
        Ok(v1::MeasureOutcomesResponse { models: counted.into_iter().map(model).collect() })
    }
}

fn parse(request: &v1::RecordOutcomeRequest) -> Result<Outcome> {
    let kind = match wire::known("kind", request.kind)? {
        v1::OutcomeKind::Unspecified => return Err(InvalidField::new("kind", "is missing").into()),
        v1::OutcomeKind::Impression => OutcomeKind::Impression,
        v1::OutcomeKind::Click => OutcomeKind::Click,
        v1::OutcomeKind::Application => OutcomeKind::Application,
        v1::OutcomeKind::Purchase => OutcomeKind::Purchase,
        v1::OutcomeKind::Dismissal => OutcomeKind::Dismissal,
    };
    Ok(Outcome {
        outcome_id: OutcomeId::parse(&request.outcome_id)?,
        decision_id: decision_id(&request.decision_id)?,
        product_id: ProductId::parse(&request.product_id)?,
        kind,
        occurred_at: wire::moment("occurred_at", request.occurred_at)?,
    })
}

fn model((ranker, Measured { outcomes: counted, explored }): (Ranker, Measured)) -> v1::ModelOutcomes {
    let share = |items: u64| Some(outcome_rate(items, Rate::of(items, counted.impressions)));
    v1::ModelOutcomes {
        model_version: ranker.model_version.into(),
        ranking_basis: ranker.ranking_basis.into(),
        decisions: counted.decisions,
        impressions: counted.impressions,
        clicks: share(counted.clicks),
        applications: share(counted.applications),
        purchases: share(counted.purchases),
        dismissals: share(counted.dismissals),
        greedy: explored.is_of_use().then(|| greedy(&explored)),
    }
}

fn greedy(explored: &Explored) -> v1::GreedyOutcomes {
    let rate = |greedy: Greedy| {
        Some(v1::GreedyRate {
            observed: Some(outcome_rate(greedy.done, greedy.observed)),
            inverse_propensity: Some(estimated(greedy.inverse_propensity)),
            self_normalised: Some(estimated(greedy.self_normalised)),
        })
    };
    v1::GreedyOutcomes {
        decisions: explored.decisions,
        impressions: explored.impressions,
        open: explored.open,
        by_chance: explored.by_chance,
        effective_impressions: explored.effective_impressions(),
        clicks: rate(explored.clicks()),
        applications: rate(explored.applications()),
        purchases: rate(explored.purchases()),
    }
}

fn outcome_rate(items: u64, Rate { rate, low, high }: Rate) -> v1::OutcomeRate {
    v1::OutcomeRate { items, rate, low, high }
}

fn estimated(Rate { rate, low, high }: Rate) -> v1::EstimatedRate {
    v1::EstimatedRate { rate, low, high }
}
