//! `finrank selection reload`: has the ranking server read its selection file anew.

use clap::Args;
use finrank_contracts::ranking::v1::{ReloadSelectionRequest, ReloadSelectionResponse};

use crate::{
    client::{self, RankingServer},
    commands::{block_on, reloaded::Reloaded},
    output::Format,
    settings::Settings,
};

/// Have the ranking server read its selection file anew.
///
/// A file that does not hold together is refused with everything that is wrong with it, and the rules in force stay.
/// SIGHUP to the server does the same and says it in the log.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank selection reload\n  finrank selection reload --json")]
pub(super) struct Reload {
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

impl Reload {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let reloaded = block_on(async {
            let reloaded =
                self.server.connect(settings).await?.reload_selection(ReloadSelectionRequest {}).await;
            anyhow::Ok(reloaded.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&Reloaded::from(reloaded), Reloaded::to_text)
    }
}

impl From<ReloadSelectionResponse> for Reloaded {
    fn from(reloaded: ReloadSelectionResponse) -> Self {
        let (selection, previous) =
            (reloaded.selection.unwrap_or_default(), reloaded.previous.unwrap_or_default());
        Self {
            what: "selection",
            version: selection.version,
            sha256: selection.sha256,
            previous_version: previous.version,
            previous_sha256: previous.sha256,
        }
    }
}
