//! The `finrank` command: a thin face over the services. It parses, calls one of them, and prints.

mod client;
mod commands;
mod demo;
mod output;
mod progress;
mod settings;
mod whole_file;
mod written_file;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use finrank_serving::telemetry;

use crate::settings::Settings;

/// A feature store and ranking service for financial products.
///
/// Settings come from defaults, then the file given by --config, then the environment
/// (FINRANK__SECTION__KEY), then flags; the later wins.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  finrank demo                      everything once, from import to recommendations\n  finrank postgres start            start the private Postgres\n  finrank serve all                 run both gRPC servers\n  finrank recommend caravan-0001    ask for recommendations"
)]
struct Cli {
    /// A TOML file of settings; see docs/operations.md.
    #[arg(long, global = true, env = "FINRANK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Import(commands::import::Import),
    Train(commands::train::Train),
    Evaluate(commands::evaluate::Evaluate),
    TrainScorer(commands::train_scorer::TrainScorer),
    Model(commands::model::Model),
    Refresh(commands::refresh::Refresh),
    Serve(commands::serve::Serve),
    Recommend(commands::recommend::Recommend),
    BatchRecommend(commands::batch_recommend::BatchRecommend),
    Explain(commands::explain::Explain),
    Audit(commands::audit::Audit),
    Features(commands::features::Features),
    Policy(commands::policy::PolicyCommand),
    Selection(commands::selection::SelectionCommand),
    Index(commands::index::Index),
    Customer(commands::customer::Customer),
    Postgres(commands::postgres::Postgres),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes; what a cause only repeats is said once.
fn in_words(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let settings = Settings::load(cli.config.as_deref())?;
    telemetry::init(&settings.log)?;
    // Launching Postgres, training and drawing progress block, so each command decides where it needs tokio.
    match cli.command {
        Command::Demo(demo) => demo.run(&settings),
        Command::Import(import) => import.run(&settings),
        Command::Train(train) => train.run(&settings),
        Command::Evaluate(evaluate) => evaluate.run(&settings),
        Command::TrainScorer(train_scorer) => train_scorer.run(&settings),
        Command::Model(model) => model.run(&settings),
        Command::Refresh(refresh) => refresh.run(&settings),
        Command::Serve(serve) => serve.run(settings),
        Command::Recommend(recommend) => recommend.run(&settings),
        Command::BatchRecommend(batch) => batch.run(&settings),
        Command::Explain(explain) => explain.run(&settings),
        Command::Audit(audit) => audit.run(&settings),
        Command::Features(features) => features.run(&settings),
        Command::Policy(policy) => policy.run(&settings),
        Command::Selection(selection) => selection.run(&settings),
        Command::Index(index) => index.run(&settings),
        Command::Customer(customer) => customer.run(&settings),
        Command::Postgres(postgres) => postgres.run(settings),
    }
}
