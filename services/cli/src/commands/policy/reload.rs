//! `finrank policy reload`: has the ranking server read its policy's file anew.

use clap::Args;
use finrank_contracts::ranking::v1::{ReloadPolicyRequest, ReloadPolicyResponse};
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
    output::Format,
    settings::Settings,
};

/// Have the ranking server read its policy's file anew.
///
/// A file that does not hold together is refused with everything that is wrong with it, and the policy in force stays.
/// SIGHUP to the server does the same and says it in the log.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank policy reload\n  finrank policy reload --json")]
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
            let reloaded = self.server.connect(settings).await?.reload_policy(ReloadPolicyRequest {}).await;
            anyhow::Ok(reloaded.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&Report::from(reloaded), Report::to_text)
    }
}

impl From<ReloadPolicyResponse> for Report {
    fn from(reloaded: ReloadPolicyResponse) -> Self {
        let (policy, previous) = (reloaded.policy.unwrap_or_default(), reloaded.previous.unwrap_or_default());
        Self {
            version: policy.version,
            sha256: policy.sha256,
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
            return format!("nothing changes: policy {version} ({}) is in force", short(sha256));
        }
        format!(
            "policy {version} ({}) is in force, in place of {previous_version} ({})",
            short(sha256),
            short(previous_sha256)
        )
    }
}
