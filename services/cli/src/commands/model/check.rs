//! `finrank model check`.

use anyhow::bail;
use clap::Args;
use finrank_learning::gates::{self, CheckReport};
use finrank_model::ModelVersion;
use finrank_store::models::GateResult;

use super::{By, Known, check_config, version};
use crate::{
    commands::block_on,
    output::{Format, table},
    progress::TrainingBar,
    settings::Settings,
};

/// Hold a model to the promotion policy, and record what each gate says.
///
/// It is asked about the holdings that its training hid, beside the model that is served, or beside popularity while none
/// is. Fails if a gate does not pass; a waiver may stand in for it when the model is promoted.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank model check two-tower-20260105\n  finrank model check two-tower-20260105 --by ci --json\n  finrank model check two-tower-20260105 --known-at now"
)]
pub(super) struct Check {
    /// Which.
    #[arg(value_parser = version)]
    model_version: ModelVersion,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    known: Known,
    #[command(flatten)]
    format: Format,
}

impl Check {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let config = check_config(settings, &self.model_version, &self.known, &self.by.by)?;
        let report = block_on(async {
            let store = settings.store().await?;
            Ok(gates::check(&store, &config, TrainingBar::new(self.format)).await?)
        })?;
        self.format.print(&report, text)?;
        match report.results.iter().filter(|result| result.verdict.stands_against()).count() {
            0 => Ok(()),
            against => bail!("{against} of {} gates stand against a promotion", report.results.len()),
        }
    }
}

/// What each gate says.
pub(super) fn text(report: &CheckReport) -> String {
    let beside = match &report.compared_with {
        Some(version) => format!("beside {version}"),
        None => "while nothing is promoted".to_owned(),
    };
    let rows = report.results.iter().map(|GateResult { gate, verdict, explanation, .. }| {
        [gate.clone(), verdict.as_str().to_owned(), explanation.clone()]
    });
    format!(
        "{}\ncheck {} of {}, {beside}, by policy {}",
        table(["gate", "verdict", "because"], 3, rows),
        report.check_id,
        report.model_version,
        report.policy
    )
}
