//! `finrank model rollback`.

use clap::Args;
use finrank_store::models;

use super::By;
use crate::{commands::block_on, output::Format, settings::Settings};

/// Bring back the model that was served when the serving one was promoted.
///
/// Takes effect at once: its embeddings are kept, and kept fresh.
#[derive(Args)]
#[command(after_help = "Example:\n  finrank model rollback --by alice --reason 'complaints about loans'")]
pub(super) struct Rollback {
    #[command(flatten)]
    by: By,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    format: Format,
}

impl Rollback {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let promotion = block_on(async {
            let store = settings.store().await?;
            Ok(models::roll_back(&store, &self.by.by, &self.reason).await?)
        })?;
        self.format.print(&promotion, |promotion| {
            format!(
                "promotion {}: {} is served again, by {}",
                promotion.promotion_id, promotion.model_version, promotion.promoted_by
            )
        })
    }
}
