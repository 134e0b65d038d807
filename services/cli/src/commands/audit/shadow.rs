//! `finrank audit shadow`: how a model that is shown to nobody compares with what was served.

use chrono::{DateTime, Utc};
use clap::Args;
use finrank_contracts::ranking::v1::{MeasureShadowRequest, ShadowComparison, ShadowFit};
use finrank_model::parse_moment;
use finrank_serving::wire;
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
    commands::block_on,
    output::{Format, table},
    settings::Settings,
};

/// Compare the shadow (`finrank model traffic --shadow`) with the models that served: what both would offer, how far apart their
/// probabilities are, and, of what customers are told to have seen, how well each foretold what was applied for or taken.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank audit shadow\n  finrank audit shadow --since 2026-11-01 --json")]
pub(super) struct Shadow {
    /// Only of decisions made at this moment or later: RFC 3339 or a date.
    #[arg(long, value_name = "TIME", value_parser = |raw: &str| parse_moment("--since", raw))]
    since: Option<DateTime<Utc>>,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Compared {
    shadow_version: String,
    served_version: String,
    decisions: u64,
    overlap: f64,
    shown: u64,
    mean_absolute_difference: f64,
    seen: u64,
    taken: u64,
    /// Absent if nothing was seen.
    served: Option<Fit>,
    shadow: Option<Fit>,
}

#[derive(Serialize)]
struct Fit {
    log_loss: f64,
    /// Absent unless some were taken and some not.
    auc: Option<f64>,
}

impl Shadow {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let request = MeasureShadowRequest { since: self.since.map(wire::timestamp) };
        let compared = block_on(async {
            let compared = self.server.connect(settings).await?.measure_shadow(request).await;
            Ok(compared.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        let report: Vec<Compared> = compared.comparisons.into_iter().map(Compared::from).collect();
        self.format.print(&report, |report| text(report))
    }
}

impl From<ShadowComparison> for Compared {
    fn from(compared: ShadowComparison) -> Self {
        let fit = |fit: ShadowFit| Fit { log_loss: fit.log_loss, auc: fit.auc };
        Self {
            shadow_version: compared.shadow_version,
            served_version: compared.served_version,
            decisions: compared.decisions,
            overlap: compared.overlap,
            shown: compared.shown,
            mean_absolute_difference: compared.mean_absolute_difference,
            seen: compared.seen,
            taken: compared.taken,
            served: compared.served.map(fit),
            shadow: compared.shadow.map(fit),
        }
    }
}

fn text(report: &[Compared]) -> String {
    if report.is_empty() {
        return "nothing was ranked by a shadow".to_owned();
    }
    let figure = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.4}"));
    let both = |of: &dyn Fn(&Fit) -> Option<f64>, compared: &Compared| {
        let [served, shadow] =
            [&compared.served, &compared.shadow].map(|fit| figure(fit.as_ref().and_then(of)));
        format!("{served} / {shadow}")
    };
    let rows = report.iter().map(|compared| {
        [
            compared.shadow_version.clone(),
            compared.served_version.clone(),
            compared.decisions.to_string(),
            format!("{:.1} %", compared.overlap * 100.0),
            format!("{} ({:.4})", compared.shown, compared.mean_absolute_difference),
            format!("{} of {}", compared.taken, compared.seen),
            both(&|fit| Some(fit.log_loss), compared),
            both(&|fit| fit.auc, compared),
        ]
    });
    let heads = [
        "shadow",
        "beside",
        "decisions",
        "overlap",
        "shown (mean difference)",
        "taken of seen",
        "log loss, served / shadow",
        "AUC, served / shadow",
    ];
    table(heads, 2, rows).to_string()
}
