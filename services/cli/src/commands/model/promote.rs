//! `finrank model promote`.

use clap::Args;
use finrank_contracts::feature::v1::StartRefreshRequest;
use finrank_learning::gates::{self, CheckConfig, CheckReport};
use finrank_model::ModelVersion;
use finrank_store::models::{self, Promotion, PromotionRequest};
use serde::Serialize;

use super::{By, Known, check, check_config, version};
use crate::{
    commands::{block_on, refresh},
    output::Format,
    progress::TrainingBar,
    settings::Settings,
};

/// Check a model's gates, and if nothing stands against it make it the one that is served.
///
/// Its embeddings must be whole first, unless nothing is served yet: `finrank refresh --model-version VERSION`, or
/// --refresh. Readers then switch to model, index and embeddings as one unit.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank model promote two-tower-20260105 --by alice\n  finrank model promote two-tower-20260105 --by alice --refresh --reason 'monthly training'"
)]
pub(super) struct Promote {
    /// Which.
    #[arg(value_parser = version)]
    model_version: ModelVersion,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    known: Known,
    /// For the record.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// Compute its embeddings first.
    #[arg(long)]
    refresh: bool,
    /// The feature-store server that computes them; by default the one that the settings name.
    #[arg(long, value_name = "URL", requires = "refresh")]
    feature_store: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// What was checked and done.
#[derive(Serialize)]
pub(crate) struct Promoted {
    check: CheckReport,
    promotion: Promotion,
}

impl Promote {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        if self.refresh {
            let url = self.feature_store.clone().unwrap_or_else(|| settings.feature_store_url());
            let request =
                StartRefreshRequest { model_version: self.model_version.to_string(), ..Default::default() };
            block_on(refresh::follow(&url, request, self.format))?;
        }
        let config = check_config(settings, &self.model_version, &self.known, &self.by.by)?;
        let promoted = promote(settings, &config, &self.reason, self.format)?;
        self.format.print(&promoted, text)
    }
}

/// Promotes a model that was just trained, checked by what its training knew, and says how that went.
pub(crate) fn promote_new(
    settings: &Settings,
    model_version: &ModelVersion,
    known: &Known,
    by: &str,
    format: Format,
) -> anyhow::Result<String> {
    let config = check_config(settings, model_version, known, by)?;
    Ok(text(&promote(settings, &config, "promoted by its training", format)?))
}

fn promote(
    settings: &Settings,
    config: &CheckConfig,
    reason: &str,
    format: Format,
) -> anyhow::Result<Promoted> {
    block_on(async {
        let store = settings.store().await?;
        let check = gates::check(&store, config, TrainingBar::new(format)).await?;
        let CheckConfig { model_version, policy, checked_by, .. } = config;
        let request =
            PromotionRequest { model_version, policy: policy.digest, promoted_by: checked_by, reason };
        let promotion = models::promote(&store, &request).await?;
        Ok(Promoted { check, promotion })
    })
}

fn text(promoted: &Promoted) -> String {
    let Promotion { promotion_id, model_version, promoted_by, waiver_ids, .. } = &promoted.promotion;
    let waivers = match waiver_ids.as_slice() {
        [] => String::new(),
        ids => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!(", with waivers {}", ids.join(", "))
        }
    };
    format!(
        "{}\npromotion {promotion_id}: {model_version} is served from now on, by {promoted_by}{waivers}",
        check::text(&promoted.check)
    )
}
