//! `finrank features reload`: has the server read its file of feature views anew.

use clap::Args;
use finrank_contracts::feature::v1::{
    ReloadFeatureDefinitionsRequest, ReloadFeatureDefinitionsResponse,
    feature_store_service_client::FeatureStoreServiceClient,
};
use serde::Serialize;

use super::selection::moment;
use crate::{
    client,
    output::{Format, short},
    settings::Settings,
};

/// Have the server read its file of feature views anew, and tell what that changes.
///
/// A file that does not hold together is refused with everything that is wrong with it, and changes nothing. SIGHUP to
/// the server does the same and says it in the log.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank features reload\n  finrank features reload --json")]
pub(super) struct Reload {
    /// The feature store; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    feature_store: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// What is in force, as printed.
#[derive(Serialize)]
struct Report {
    definitions_sha256: String,
    previous_sha256: String,
    in_force_from: String,
    changes: Vec<String>,
}

impl Reload {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.feature_store.unwrap_or_else(|| settings.feature_store_url());
        let reloaded = super::super::block_on(async {
            let mut store = FeatureStoreServiceClient::new(client::connect(&url, "feature-store").await?);
            let reloaded = store.reload_feature_definitions(ReloadFeatureDefinitionsRequest {}).await;
            anyhow::Ok(reloaded.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&Report::from(reloaded), Report::to_text)
    }
}

impl From<ReloadFeatureDefinitionsResponse> for Report {
    fn from(reloaded: ReloadFeatureDefinitionsResponse) -> Self {
        Self {
            definitions_sha256: reloaded.definitions_sha256,
            previous_sha256: reloaded.previous_sha256,
            in_force_from: reloaded.in_force_from.as_ref().map(moment).unwrap_or_default(),
            changes: reloaded.changes,
        }
    }
}

impl Report {
    fn to_text(&self) -> String {
        let Self { definitions_sha256, previous_sha256, in_force_from, changes } = self;
        let definitions = short(definitions_sha256);
        if definitions_sha256 == previous_sha256 {
            return format!("nothing changes: definitions {definitions} are in force since {in_force_from}");
        }
        let changes = match changes.as_slice() {
            [] => "only words have changed".to_owned(),
            changes => changes.join("\n"),
        };
        format!("definitions {definitions} are in force since {in_force_from}\n{changes}")
    }
}
