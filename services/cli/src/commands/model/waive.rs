//! `finrank model waive`.

use chrono::{DateTime, Utc};
use clap::Args;
use finrank_model::{ModelVersion, parse_moment};
use finrank_store::models::{self, NewWaiver};
use serde_json::json;

use super::{By, version};
use crate::{commands::block_on, output::Format, settings::Settings};

/// Record that a gate need not be passed by a model, why, who agreed, and until when.
///
/// It counts when the model is promoted by anybody but the one who approved it, and not after it has expired. The names are
/// taken as given: who may run this command decides what they are worth.
#[derive(Args)]
#[command(
    after_help = "Example:\n  finrank model waive two-tower-20260105 group-size/region/abroad --by alice --approved-by bob \\\n    --reason 'forty customers, looked at by hand' --expires 2026-12-31"
)]
pub(super) struct Waive {
    /// Which model.
    #[arg(value_parser = version)]
    model_version: ModelVersion,
    /// Which gate, as `finrank model check` calls it.
    gate: String,
    #[command(flatten)]
    by: By,
    /// Who agrees; another one.
    #[arg(long, value_name = "NAME")]
    approved_by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// From when on it does not count any more, for example 2026-12-31.
    #[arg(long, value_name = "TIME", value_parser = |raw: &str| parse_moment("--expires", raw))]
    expires: DateTime<Utc>,
    #[command(flatten)]
    format: Format,
}

impl Waive {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let waiver = NewWaiver {
            model_version: &self.model_version,
            gate: &self.gate,
            reason: &self.reason,
            asked_by: &self.by.by,
            approved_by: &self.approved_by,
            expires_at: self.expires,
        };
        let waiver_id = block_on(async {
            let store = settings.store().await?;
            Ok(models::grant(&store, &waiver).await?)
        })?;
        self.format.print(&json!({ "waiver_id": waiver_id }), |_| {
            format!("waiver {waiver_id} of {} for {}, until {}", self.gate, self.model_version, self.expires)
        })
    }
}
