//! `finrank index`: the approximate indexes that ranking keeps, built, looked at and measured without it.

mod build;
mod inspect;
mod recall;
mod source;

use clap::{Args, Subcommand};

use crate::settings::Settings;

/// Build, look at and measure the indexes in which ranking finds products.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank index build\n  finrank index inspect\n  finrank index recall --k 200"
)]
pub(crate) struct Index {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(build::Build),
    Inspect(inspect::Inspect),
    Recall(recall::Recall),
}

impl Index {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self.command {
            Command::Build(build) => build.run(settings),
            Command::Inspect(inspect) => inspect.run(settings),
            Command::Recall(recall) => recall.run(settings),
        }
    }
}
