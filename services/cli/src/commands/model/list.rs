//! `finrank model list`.

use chrono::{DateTime, Utc};
use clap::Args;
use finrank_store::models::{self, Traffic};
use serde::Serialize;

use crate::{
    commands::block_on,
    output::{Format, table},
    settings::Settings,
};

/// List the registered models, the newest first, and say which one is served.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank model list\n  finrank model list --json")]
pub(super) struct List {
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Row {
    model_version: String,
    /// `serving`, `treatment` and `shadow` (beside it), `before` (what a rollback brings back), or empty.
    role: &'static str,
    registered_at: DateTime<Utc>,
    mrr: Option<f64>,
    auc: Option<f64>,
    /// How the newest check of its gates ended; absent if there was none.
    gates: Option<String>,
}

impl List {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let rows = block_on(async {
            let store = settings.store().await?;
            let serving = models::serving(&store).await?;
            let before = models::rollback_target(&store).await?;
            let traffic = models::traffic(&store).await?;
            let experiment = traffic.as_ref().and_then(Traffic::experiment_in_force);
            let treatment = experiment.map(|experiment| &experiment.treatment);
            let shadow = traffic.as_ref().and_then(Traffic::shadow_in_force);
            let mut rows = Vec::new();
            for model in models::list(&store).await? {
                let check = models::newest_check(&store, &model.model_version).await?;
                let role = match Some(&model.model_version) {
                    version if version == serving.as_ref() => "serving",
                    version if version == treatment => "treatment",
                    version if version == shadow => "shadow",
                    version if version == before.as_ref() => "before",
                    _ => "",
                };
                rows.push(Row {
                    role,
                    registered_at: model.registered_at,
                    mrr: model.manifest["metrics"]["mrr"].as_f64(),
                    auc: model.manifest["metrics"]["auc"].as_f64(),
                    gates: check.map(|check| match check.against().count() {
                        0 => "pass".to_owned(),
                        against => format!("{against} of {} against", check.results.len()),
                    }),
                    model_version: model.model_version.into(),
                });
            }
            Ok(rows)
        })?;
        self.format.print(&rows, |rows| {
            let figure =
                |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.4}"));
            let lines = rows.iter().map(|row| {
                [
                    row.model_version.clone(),
                    row.role.to_owned(),
                    row.registered_at.format("%F %T").to_string(),
                    row.gates.clone().unwrap_or_else(|| "not checked".to_owned()),
                    figure(row.mrr),
                    figure(row.auc),
                ]
            });
            let heads = ["model version", "role", "registered (UTC)", "gates", "MRR", "AUC"];
            let note = match rows.iter().any(|row| row.role == "serving") {
                true => "",
                false => "\nnothing is promoted yet: the newest generation is served",
            };
            format!("{}{note}", table(heads, 4, lines))
        })
    }
}
