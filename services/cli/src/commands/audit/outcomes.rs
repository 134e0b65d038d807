//! `finrank audit outcomes`: what came of what was offered, by model.

use chrono::{DateTime, Utc};
use clap::Args;
use finrank_contracts::ranking::v1::{MeasureOutcomesRequest, ModelOutcomes, OutcomeRate, RankingBasis};
use finrank_model::parse_moment;
use finrank_serving::wire;
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
    commands::{block_on, recommend::basis_name},
    output::{Format, table},
    settings::Settings,
};

/// Count what customers did with what they were offered (rpc RecordOutcome), by the model that ranked it, as shares of the
/// items that they saw, with 95 % intervals.
///
/// Customers are not drawn by lot between models: that one model's share is larger than another's is no proof that the model
/// is why.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank audit outcomes\n  finrank audit outcomes --since 2026-11-01 --json"
)]
pub(super) struct Outcomes {
    /// Only of decisions made at this moment or later: RFC 3339 or a date.
    #[arg(long, value_name = "TIME", value_parser = |raw: &str| parse_moment("--since", raw))]
    since: Option<DateTime<Utc>>,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Measured {
    model_version: String,
    ranking_basis: String,
    decisions: u64,
    impressions: u64,
    clicks: Rate,
    applications: Rate,
    purchases: Rate,
    dismissals: Rate,
}

#[derive(Serialize)]
struct Rate {
    items: u64,
    rate: f64,
    low: f64,
    high: f64,
}

impl Outcomes {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let request = MeasureOutcomesRequest { since: self.since.map(wire::timestamp) };
        let measured = block_on(async {
            let measured = self.server.connect(settings).await?.measure_outcomes(request).await;
            Ok(measured.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        let report: Vec<Measured> = measured.models.into_iter().map(Measured::from).collect();
        self.format.print(&report, |report| text(report))
    }
}

impl From<ModelOutcomes> for Measured {
    fn from(measured: ModelOutcomes) -> Self {
        Self {
            model_version: measured.model_version,
            ranking_basis: RankingBasis::try_from(measured.ranking_basis).map(basis_name).unwrap_or_default(),
            decisions: measured.decisions,
            impressions: measured.impressions,
            clicks: measured.clicks.into(),
            applications: measured.applications.into(),
            purchases: measured.purchases.into(),
            dismissals: measured.dismissals.into(),
        }
    }
}

impl From<Option<OutcomeRate>> for Rate {
    fn from(measured: Option<OutcomeRate>) -> Self {
        let OutcomeRate { items, rate, low, high } = measured.unwrap_or_default();
        Self { items, rate, low, high }
    }
}

fn text(report: &[Measured]) -> String {
    if report.is_empty() {
        return "nothing is known of what customers did with what they were offered".to_owned();
    }
    let share = |rate: &Rate| {
        format!(
            "{} = {:.2} % ({:.2} to {:.2})",
            rate.items,
            rate.rate * 100.0,
            rate.low * 100.0,
            rate.high * 100.0
        )
    };
    let rows = report.iter().map(|model| {
        [
            model.model_version.clone(),
            model.ranking_basis.clone(),
            model.decisions.to_string(),
            model.impressions.to_string(),
            share(&model.clicks),
            share(&model.applications),
            share(&model.purchases),
            share(&model.dismissals),
        ]
    });
    let heads = ["model", "by", "decisions", "seen", "followed", "applied for", "taken", "waved away"];
    table(heads, 2, rows).to_string()
}
