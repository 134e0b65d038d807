//! `finrank selection`: the business rules by which candidates are chosen.

mod check;
mod reload;

use clap::{Args, Subcommand};

use crate::settings::Settings;

/// Check selection files, and have the server read its own anew.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank selection check selection.toml\n  finrank selection reload")]
pub(crate) struct SelectionCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Check),
    Reload(reload::Reload),
}

impl SelectionCommand {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self.command {
            Command::Check(check) => check.run(),
            Command::Reload(reload) => reload.run(settings),
        }
    }
}
