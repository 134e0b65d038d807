//! What is told of what customers did with answers, and what it comes to.

use finrank_contracts::ranking::v1;
use finrank_decisions::{
    outcome::{self, Outcome, OutcomeKind, Told},
    rates::{self, Outcomes, Ranker, Rate},
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

fn model((ranker, counted): (Ranker, Outcomes)) -> v1::ModelOutcomes {
    let share = |items: u64| {
        let Rate { rate, low, high } = Rate::of(items, counted.impressions);
        Some(v1::OutcomeRate { items, rate, low, high })
    };
    v1::ModelOutcomes {
        model_version: ranker.model_version.into(),
        ranking_basis: ranker.ranking_basis.into(),
        decisions: counted.decisions,
        impressions: counted.impressions,
        clicks: share(counted.clicks),
        applications: share(counted.applications),
        purchases: share(counted.purchases),
        dismissals: share(counted.dismissals),
    }
}
