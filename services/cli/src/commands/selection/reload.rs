//! `finrank selection reload`: has the ranking server read its selection file anew.

use clap::Args;
use finrank_contracts::ranking::v1::{ReloadSelectionRequest, ReloadSelectionResponse};
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
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

/// What is in force, as printed.
#[derive(Serialize)]
struct Report {
    version: String,
    sha256: String,
    previous_version: String,
    previous_sha256: String,
}

impl Reload {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let reloaded = super::super::block_on(async {
            let reloaded =
                self.server.connect(settings).await?.reload_selection(ReloadSelectionRequest {}).await;
            anyhow::Ok(reloaded.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&Report::from(reloaded), Report::to_text)
    }
}

impl From<ReloadSelectionResponse> for Report {
    fn from(reloaded: ReloadSelectionResponse) -> Self {
        let (selection, previous) =
            (reloaded.selection.unwrap_or_default(), reloaded.previous.unwrap_or_default());
        Self {
            version: selection.version,
            sha256: selection.sha256,
            previous_version: previous.version,
            previous_sha256: previous.sha256,
        }
    }
}

impl Report {
    fn to_text(&self) -> String {
        let Self { version, sha256, previous_version, previous_sha256 } = self;
        let short = |sha256: &str| sha256.chars().take(12).collect::<String>();
        if sha256 == previous_sha256 {
            return format!("nothing changes: selection {version} ({}) is in force", short(sha256));
        }
        format!(
            "selection {version} ({}) is in force, in place of {previous_version} ({})",
            short(sha256),
            short(previous_sha256)
        )
    }
}
