//! `finrank audit`: what was decided, and whether the log of it is as it was written.

mod check;
mod export;
mod inputs;
mod outcomes;
mod prove;
mod replay;
mod shadow;
mod show;
mod verify;

use clap::{Args, Subcommand};

pub(crate) use self::inputs::Inputs;
use crate::settings::Settings;

/// Look at decisions as they were recorded, prove them, make them again, verify the whole log, and see what came of them.
/// docs/decisions.md explains it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank audit show 0198f3c2-7d1e-7c11-9a53-0242ac120002\n  finrank audit verify\n  finrank audit export --out decisions.log\n  finrank audit verify --file decisions.log --public-key KEY\n  finrank audit prove 0198f3c2-7d1e-7c11-9a53-0242ac120002 --out proof.bin\n  finrank audit check proof.bin --public-key KEY\n  finrank audit replay --last 1000\n  finrank audit outcomes --since 2026-11-01\n  finrank audit shadow"
)]
pub(crate) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Show(show::Show),
    Verify(verify::Verify),
    Prove(prove::Prove),
    Check(check::Check),
    Export(export::Export),
    Replay(replay::Replay),
    Outcomes(outcomes::Outcomes),
    Shadow(shadow::Shadow),
}

impl Audit {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self.command {
            Command::Show(show) => show.run(settings),
            Command::Verify(verify) => verify.run(settings),
            Command::Prove(prove) => prove.run(settings),
            Command::Check(check) => check.run(),
            Command::Export(export) => export.run(settings),
            Command::Replay(replay) => replay.run(settings),
            Command::Outcomes(outcomes) => outcomes.run(settings),
            Command::Shadow(shadow) => shadow.run(settings),
        }
    }
}
