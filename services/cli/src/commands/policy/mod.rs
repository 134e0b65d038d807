//! `finrank policy`: who may be offered what, and why not.

mod check;
mod explain;
mod reload;
mod test;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use finrank_policy::Policy;

pub(crate) use self::explain::Against;
use crate::{settings::Settings, written_file};

/// Check and test policy files, have the server read its own anew, and ask it why a product is not offered.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank policy check policy.toml\n  finrank policy test policy.cases.toml\n  finrank policy explain user-0000001 product-000007\n  finrank policy reload"
)]
pub(crate) struct PolicyCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Check),
    Test(test::Test),
    Explain(explain::Explain),
    Reload(reload::Reload),
}

impl PolicyCommand {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self.command {
            Command::Check(check) => check.run(),
            Command::Test(test) => test.run(),
            Command::Explain(explain) => explain.run(settings),
            Command::Reload(reload) => reload.run(settings),
        }
    }
}

/// A file's policy.
fn load(path: &Path) -> anyhow::Result<Policy> {
    written_file::parsed(path, Policy::parse)
}

/// A file that is named beside another.
fn beside(file: &Path, named: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(named)
}
