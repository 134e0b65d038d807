//! `finrank model`: which models there are, whether they may be served, and which one is.

mod check;
mod compare;
mod import;
mod list;
mod promote;
mod rollback;
mod show;
mod traffic;
mod waive;

use clap::{Args, Subcommand};
use finrank_learning::gates::CheckConfig;
use finrank_model::ModelVersion;

pub(crate) use self::promote::promote_new;
use super::train::KnownAt;
use crate::settings::Settings;

/// Look at registered models, take in networks that were trained elsewhere, check models by the promotion policy, and
/// decide which one is served, and which are tried beside it.
///
/// Before the first promotion the newest generation is served, whichever model it is of. From then on the promoted model
/// is, whatever is trained and refreshed. `feature_store.promotion.policy` names the policy; docs/models.md explains it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank model list\n  finrank model check two-tower-20260105\n  finrank model promote two-tower-20260105 --by alice\n  finrank model rollback --by alice --reason 'complaints about loans'\n  finrank model traffic --shadow two-tower-20260202 --by alice --reason 'new features'\n  finrank model import scorer.onnx --bundle caravan-1 --version caravan-1-keras"
)]
pub(crate) struct Model {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::List),
    Show(show::Show),
    Compare(compare::Compare),
    Import(import::Import),
    Check(check::Check),
    Waive(waive::Waive),
    Promote(promote::Promote),
    Rollback(rollback::Rollback),
    Traffic(traffic::Traffic),
}

impl Model {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self.command {
            Command::List(list) => list.run(settings),
            Command::Show(show) => show.run(settings),
            Command::Compare(compare) => compare.run(settings),
            Command::Import(import) => import.run(settings),
            Command::Check(check) => check.run(settings),
            Command::Waive(waive) => waive.run(settings),
            Command::Promote(promote) => promote.run(settings),
            Command::Rollback(rollback) => rollback.run(settings),
            Command::Traffic(traffic) => traffic.run(settings),
        }
    }
}

/// Who does it.
#[derive(Args)]
pub(crate) struct By {
    /// Who does it, for the record; by default the one who is logged in, where $USER says who that is.
    #[arg(long, env = "USER", value_name = "NAME")]
    pub(crate) by: String,
}

/// By what knowledge a model whose tower reads features is checked.
#[derive(Args)]
pub(crate) struct Known {
    /// Of a model that reads features what counts as known just before a customer acquired something: what had been written
    /// before this moment (RFC 3339, or `now`), for data that was imported after the fact. By default what had been written
    /// by then.
    #[arg(long, value_name = "TIME")]
    pub(crate) known_at: Option<KnownAt>,
}

/// A model version on the command line.
fn version(raw: &str) -> Result<ModelVersion, String> {
    ModelVersion::parse(raw).map_err(|invalid| invalid.to_string())
}

/// What a check of this version by this person needs, by the settings.
fn check_config(
    settings: &Settings,
    model_version: &ModelVersion,
    known: &Known,
    by: &str,
) -> anyhow::Result<CheckConfig> {
    Ok(CheckConfig {
        models_dir: settings.feature_store.models_dir.clone(),
        model_version: model_version.clone(),
        policy: settings.feature_store.promotion.load()?,
        definitions: settings.feature_store.features.load()?.0,
        known: KnownAt::knowledge(known.known_at),
        checked_by: by.to_owned(),
    })
}
