//! `finrank features`: what is declared, and the values of it.

mod declared;
mod get;
mod history;
mod reload;
mod selection;
mod statistics;
mod verify;
mod view;

use clap::{Args, Subcommand};

pub(crate) use self::{
    selection::{json, moment},
    statistics::breach_in_words,
};
use crate::settings::Settings;

/// Look at feature views, check and compare their files, and get features: online and as training sets.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features list\n  finrank features validate features.toml\n  finrank features get user-0000001 --service offer_ranking --purpose marketing"
)]
pub(crate) struct Features {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(declared::List),
    Describe(declared::Describe),
    Validate(declared::Validate),
    Diff(declared::Diff),
    Reload(reload::Reload),
    Get(get::Get),
    History(history::History),
    Statistics(statistics::Statistics),
    Verify(verify::Verify),
}

impl Features {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self.command {
            Command::List(list) => list.run(settings),
            Command::Describe(describe) => describe.run(settings),
            Command::Validate(validate) => validate.run(),
            Command::Diff(diff) => diff.run(settings),
            Command::Reload(reload) => reload.run(settings),
            Command::Get(get) => get.run(settings),
            Command::History(history) => history.run(settings),
            Command::Statistics(statistics) => statistics.run(settings),
            Command::Verify(verify) => verify.run(settings),
        }
    }
}
