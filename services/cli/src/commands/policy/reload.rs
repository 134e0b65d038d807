//! `finrank policy reload`: has the ranking server read its policy's file anew.

use clap::Args;
use finrank_contracts::ranking::v1::{ReloadPolicyRequest, ReloadPolicyResponse};

use crate::{
    client::{self, RankingServer},
    commands::{block_on, reloaded::Reloaded},
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

impl Reload {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let reloaded = block_on(async {
            let reloaded = self.server.connect(settings).await?.reload_policy(ReloadPolicyRequest {}).await;
            anyhow::Ok(reloaded.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&Reloaded::from(reloaded), Reloaded::to_text)
    }
}

impl From<ReloadPolicyResponse> for Reloaded {
    fn from(reloaded: ReloadPolicyResponse) -> Self {
        let (policy, previous) = (reloaded.policy.unwrap_or_default(), reloaded.previous.unwrap_or_default());
        Self {
            what: "policy",
            version: policy.version,
            sha256: policy.sha256,
            previous_version: previous.version,
            previous_sha256: previous.sha256,
        }
    }
}
