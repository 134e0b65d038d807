//! `finrank evaluate --from-decisions`: what came of what was offered, and what the greedy order would have brought.

use chrono::{DateTime, Utc};
use clap::Args;
use finrank_contracts::ranking::v1::{
    EstimatedRate, GreedyOutcomes, GreedyRate, MeasureOutcomesRequest, ModelOutcomes, OutcomeRate,
    RankingBasis,
};
use finrank_model::parse_moment;
use finrank_serving::wire;
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
    commands::{block_on, recommend::basis_name},
    output::{Format, table},
    settings::Settings,
};

/// That decisions are to be measured, and which.
#[derive(Args)]
pub(super) struct Decisions {
    /// Measure what customers did with what they were offered, as the ranking server's log keeps it, by model version; nothing is
    /// trained.
    #[arg(long, conflicts_with_all = ["seeds", "out", "segments", "product_order", "jobs", "Learning"])]
    from_decisions: bool,
    /// Only of decisions made at this moment or later: RFC 3339 or a date.
    #[arg(long, value_name = "TIME", requires = "from_decisions", value_parser = |raw: &str| parse_moment("--since", raw))]
    since: Option<DateTime<Utc>>,
    #[command(flatten)]
    server: RankingServer,
}

#[derive(Serialize)]
struct Report {
    models: Vec<Model>,
    /// Why there is no estimate of a greedy order; absent if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_estimated: Option<&'static str>,
}

#[derive(Serialize)]
struct Model {
    model_version: String,
    ranking_basis: String,
    decisions: u64,
    impressions: u64,
    clicks: Rate,
    applications: Rate,
    purchases: Rate,
    /// Absent if nothing of it was explored.
    #[serde(skip_serializing_if = "Option::is_none")]
    greedy: Option<Greedy>,
}

#[derive(Serialize)]
struct Greedy {
    decisions: u64,
    impressions: u64,
    open: u64,
    by_chance: u64,
    effective_impressions: f64,
    clicks: Estimates,
    applications: Estimates,
    purchases: Estimates,
}

#[derive(Serialize)]
struct Estimates {
    observed: Rate,
    inverse_propensity: Rate,
    self_normalised: Rate,
}

#[derive(Serialize)]
struct Rate {
    rate: f64,
    low: f64,
    high: f64,
}

impl Decisions {
    pub(super) fn are_asked_for(&self) -> bool {
        self.from_decisions
    }

    pub(super) fn run(self, settings: &Settings, format: Format) -> anyhow::Result<()> {
        let request = MeasureOutcomesRequest { since: self.since.map(wire::timestamp) };
        let measured = block_on(async {
            let measured = self.server.connect(settings).await?.measure_outcomes(request).await;
            Ok(measured.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        format.print(&Report::of(measured.models), Report::to_text)
    }
}

impl Report {
    fn of(models: Vec<ModelOutcomes>) -> Self {
        let explored = models.iter().any(|model| model.greedy.is_some());
        let not_estimated = match (models.is_empty(), explored) {
            (true, _) => Some("nothing is known of what customers did with what they were offered"),
            (false, true) => None,
            (false, false) => Some(
                "what the greedy order would have brought cannot be estimated: of what customers saw nothing stood in a place \
                 that was open to chance (the selection file had no exploration rule, or it concerned no place)",
            ),
        };
        Self { models: models.into_iter().map(Model::from).collect(), not_estimated }
    }

    fn to_text(&self) -> String {
        let mut parts = Vec::new();
        if !self.models.is_empty() {
            let rows = self.models.iter().map(|model| {
                [
                    model.model_version.clone(),
                    model.ranking_basis.clone(),
                    model.decisions.to_string(),
                    model.impressions.to_string(),
                    model.clicks.to_text(),
                    model.applications.to_text(),
                    model.purchases.to_text(),
                ]
            });
            let heads = ["model", "by", "decisions", "seen", "followed", "applied for", "taken"];
            parts.push(table(heads, 2, rows).to_string());
        }
        for (model, greedy) in self.models.iter().filter_map(|model| Some((model, model.greedy.as_ref()?))) {
            parts.push(format!("{}: {}", model.model_version, greedy.to_text()));
        }
        parts.extend(self.not_estimated.map(str::to_owned));
        parts.join("\n\n")
    }
}

impl From<ModelOutcomes> for Model {
    fn from(measured: ModelOutcomes) -> Self {
        Self {
            model_version: measured.model_version,
            ranking_basis: RankingBasis::try_from(measured.ranking_basis).map(basis_name).unwrap_or_default(),
            decisions: measured.decisions,
            impressions: measured.impressions,
            clicks: measured.clicks.into(),
            applications: measured.applications.into(),
            purchases: measured.purchases.into(),
            greedy: measured.greedy.map(Greedy::from),
        }
    }
}

impl From<GreedyOutcomes> for Greedy {
    fn from(greedy: GreedyOutcomes) -> Self {
        Self {
            decisions: greedy.decisions,
            impressions: greedy.impressions,
            open: greedy.open,
            by_chance: greedy.by_chance,
            effective_impressions: greedy.effective_impressions,
            clicks: greedy.clicks.into(),
            applications: greedy.applications.into(),
            purchases: greedy.purchases.into(),
        }
    }
}

impl Greedy {
    fn to_text(&self) -> String {
        let rows =
            [("followed", &self.clicks), ("applied for", &self.applications), ("taken", &self.purchases)];
        let rows = rows.map(|(what, estimates)| {
            [
                what.to_owned(),
                estimates.observed.to_text(),
                estimates.inverse_propensity.to_text(),
                estimates.self_normalised.to_text(),
            ]
        });
        format!(
            "{} explored answers, {} items seen, {} of them in places open to chance, {} by chance; worth {:.0} shown for sure\n{}",
            self.decisions,
            self.impressions,
            self.open,
            self.by_chance,
            self.effective_impressions,
            table(["", "as shown", "greedy order (IPS)", "greedy order (SNIPS)"], 1, rows),
        )
    }
}

impl From<Option<GreedyRate>> for Estimates {
    fn from(rate: Option<GreedyRate>) -> Self {
        let GreedyRate { observed, inverse_propensity, self_normalised } = rate.unwrap_or_default();
        Self {
            observed: observed.into(),
            inverse_propensity: inverse_propensity.into(),
            self_normalised: self_normalised.into(),
        }
    }
}

impl From<Option<OutcomeRate>> for Rate {
    fn from(measured: Option<OutcomeRate>) -> Self {
        let OutcomeRate { rate, low, high, .. } = measured.unwrap_or_default();
        Self { rate, low, high }
    }
}

impl From<Option<EstimatedRate>> for Rate {
    fn from(estimated: Option<EstimatedRate>) -> Self {
        let EstimatedRate { rate, low, high } = estimated.unwrap_or_default();
        Self { rate, low, high }
    }
}

impl Rate {
    fn to_text(&self) -> String {
        format!("{:.2} % ({:.2} to {:.2})", self.rate * 100.0, self.low * 100.0, self.high * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_was_explored_the_greedy_order_is_not_estimated_and_it_is_said_why() {
        let model = ModelOutcomes { model_version: "m1".to_owned(), impressions: 3, ..Default::default() };
        let greedy = Some(GreedyOutcomes { by_chance: 2, ..Default::default() });

        let nothing = Report::of(vec![]).to_text();
        let unexplored = Report::of(vec![model.clone()]).to_text();
        let explored = Report::of(vec![model.clone(), ModelOutcomes { greedy, ..model }]).to_text();

        assert!(nothing.starts_with("nothing is known"), "{nothing}");
        assert!(unexplored.contains("m1") && unexplored.contains("cannot be estimated"), "{unexplored}");
        assert!(explored.contains("2 by chance") && !explored.contains("cannot"), "{explored}");
    }
}
