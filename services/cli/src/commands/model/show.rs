//! `finrank model show`.

use anyhow::Context;
use clap::Args;
use finrank_learning::card;
use finrank_model::ModelVersion;
use finrank_store::models;
use serde::Serialize;

use super::version;
use crate::{commands::block_on, output::Format, settings::Settings};

/// Show one model: what it was trained on, its figures, its gates, waivers and promotions.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank model show\n  finrank model show two-tower-20260105 --card > MODEL_CARD.md"
)]
pub(super) struct Show {
    /// Which; by default the one that is served, or before the first promotion the newest.
    #[arg(value_parser = version)]
    model_version: Option<ModelVersion>,
    /// Print the whole model card, in Markdown.
    #[arg(long)]
    card: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    model_version: ModelVersion,
    is_serving: bool,
    bundle_path: String,
    bundle_sha256: String,
    manifest: serde_json::Value,
    check: Option<models::GateCheck>,
    waivers: Vec<models::Waiver>,
    promotion: Option<models::Promotion>,
    #[serde(skip)]
    card: String,
}

impl Show {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let definitions = settings.feature_store.features.load()?.0;
        let shown = block_on(async {
            let store = settings.store().await?;
            let model = match &self.model_version {
                Some(version) => {
                    let model = models::get(&store, version).await?;
                    model.with_context(|| format!("model version {version} is not registered"))?
                }
                None => models::serving_or_newest(&store)
                    .await?
                    .context("no model version is registered yet; `finrank train` makes one")?,
            };
            let version = model.model_version;
            Ok(Shown {
                is_serving: models::serving(&store).await?.as_ref() == Some(&version),
                check: models::newest_check(&store, &version).await?,
                waivers: models::waivers_of(&store, &version).await?,
                promotion: models::newest_promotion_of(&store, &version).await?,
                card: card(&store, &version, &definitions).await?,
                model_version: version,
                bundle_path: model.bundle_path,
                bundle_sha256: model.bundle_sha256,
                manifest: model.manifest,
            })
        })?;
        let whole = self.card;
        self.format.print(&shown, |shown| if whole { shown.card.clone() } else { summary(shown) })
    }
}

fn summary(shown: &Shown) -> String {
    let Shown { model_version, bundle_path, bundle_sha256, manifest, .. } = shown;
    let mut lines = vec![
        model_version.to_string(),
        format!("bundle {bundle_path} (sha256 {bundle_sha256})"),
        format!("trained {} with seed {}", manifest["created_at"].as_str().unwrap_or("–"), manifest["seed"]),
    ];
    let metrics = manifest["metrics"].as_object().into_iter().flatten();
    lines.extend(metrics.filter_map(|(name, value)| Some(format!("  {name} {:.4}", value.as_f64()?))));
    match &shown.check {
        None => lines.push("its gates were not checked".to_owned()),
        Some(check) => {
            lines.push(format!(
                "gates checked {} by {}, valid until {}",
                check.checked_at.format("%F %T"),
                check.checked_by,
                check.valid_until.format("%F %T")
            ));
            lines.extend(check.against().map(|result| {
                format!("  {}: {} ({})", result.gate, result.explanation, result.verdict.as_str())
            }));
        }
    }
    lines.extend(shown.waivers.iter().map(|waiver| {
        format!(
            "waiver {} of {} until {}, asked by {}, approved by {}: {}",
            waiver.waiver_id,
            waiver.gate,
            waiver.expires_at.format("%F %T"),
            waiver.asked_by,
            waiver.approved_by,
            waiver.reason
        )
    }));
    lines.push(if shown.is_serving { "it is served".to_owned() } else { "it is not promoted".to_owned() });
    lines.join("\n")
}
