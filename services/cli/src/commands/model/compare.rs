//! `finrank model compare`.

use std::collections::BTreeSet;

use anyhow::Context;
use clap::Args;
use finrank_model::ModelVersion;
use finrank_store::{
    Store,
    models::{self, RegisteredModel},
};
use serde::Serialize;

use super::version;
use crate::{
    commands::block_on,
    output::{Format, table},
    settings::Settings,
};

/// Compare what was measured when two models were trained.
///
/// Each was measured on what its own training hid. `finrank model check` asks both about the same customers.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank model compare two-tower-b\n  finrank model compare two-tower-b two-tower-a --json"
)]
pub(super) struct Compare {
    /// The one.
    #[arg(value_parser = version)]
    model_version: ModelVersion,
    /// The other; by default the one that is served.
    #[arg(value_parser = version)]
    other_version: Option<ModelVersion>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Comparison {
    model_version: ModelVersion,
    other_version: ModelVersion,
    metrics: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    value: Option<f64>,
    other_value: Option<f64>,
}

impl Compare {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let (one, other) = block_on(async {
            let store = settings.store().await?;
            let other = match &self.other_version {
                Some(version) => version.clone(),
                None => models::serving(&store)
                    .await?
                    .context("nothing is promoted yet to compare with; name two model versions")?,
            };
            Ok((registered(&store, &self.model_version).await?, registered(&store, &other).await?))
        })?;
        let metric = |model: &RegisteredModel, name: &str| model.manifest["metrics"][name].as_f64();
        let names: BTreeSet<&String> = [&one, &other]
            .into_iter()
            .filter_map(|model| model.manifest["metrics"].as_object())
            .flat_map(|metrics| metrics.keys())
            .collect();
        let rows = names.into_iter().map(|name| Row {
            name: name.clone(),
            value: metric(&one, name),
            other_value: metric(&other, name),
        });
        let comparison = Comparison {
            metrics: rows.collect(),
            model_version: one.model_version.clone(),
            other_version: other.model_version.clone(),
        };
        self.format.print(&comparison, text)
    }
}

fn text(comparison: &Comparison) -> String {
    let figure = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    let rows = comparison.metrics.iter().map(|row| {
        let difference =
            row.value.zip(row.other_value).map(|(value, other)| format!("{:+.4}", value - other));
        [
            row.name.clone(),
            figure(row.value),
            figure(row.other_value),
            difference.unwrap_or_else(|| "–".to_owned()),
        ]
    });
    let heads = ["", comparison.model_version.as_str(), comparison.other_version.as_str(), "difference"];
    table(heads, 1, rows).to_string()
}

async fn registered(store: &Store, version: &ModelVersion) -> anyhow::Result<RegisteredModel> {
    let model = models::get(store, version).await?;
    model.with_context(|| format!("model version {version} is not registered"))
}
