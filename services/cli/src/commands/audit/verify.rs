//! `finrank audit verify`: the whole log, computed again.

use anyhow::{Context, bail};
use clap::Args;
use finrank_contracts::ranking::v1::{
    LogVerification, VerifyDecisionLogRequest, verify_decision_log_response::Step,
};
use serde::Serialize;

use super::Server;
use crate::{client, commands::block_on, output::Format, progress, settings::Settings};

/// Compute the whole log of decisions again, and hold it to its hashes and signatures. Fails if anything is not as it was
/// written.
///
/// Keep the number and the hash that it prints elsewhere: a log that is cut off behind the last signature is found out
/// only by who knows how long it was.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank audit verify\n  finrank audit verify --at-least 120000 --json")]
pub(super) struct Verify {
    /// Fail if the log holds fewer decisions than this.
    #[arg(long, value_name = "N", default_value_t = 0)]
    at_least: i64,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    verified: i64,
    sha256: String,
    covered: i64,
    checkpoints: i64,
    inputs_erased: i64,
    fault: Option<Fault>,
}

#[derive(Serialize)]
struct Fault {
    sequence: i64,
    code: String,
    message: String,
}

impl Verify {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let summary = block_on(self.ask(settings))?;
        let report = Report {
            verified: summary.verified,
            sha256: hex::encode(&summary.sha256),
            covered: summary.covered,
            checkpoints: summary.checkpoints,
            inputs_erased: summary.inputs_erased,
            fault: summary.fault.map(|fault| Fault {
                sequence: fault.sequence,
                code: fault.code,
                message: fault.message,
            }),
        };
        self.format.print(&report, |report| {
            format!(
                "{} decisions are as they were written; {} of them are covered by {} signatures; of {} the inputs were \
                 erased\n{}",
                report.verified, report.covered, report.checkpoints, report.inputs_erased, report.sha256
            )
        })?;
        if let Some(fault) = report.fault {
            bail!("{} ({})", fault.message, fault.code);
        }
        if report.verified < self.at_least {
            bail!("the log holds {} decisions, not {} as it should at least", report.verified, self.at_least);
        }
        Ok(())
    }

    async fn ask(&self, settings: &Settings) -> anyhow::Result<LogVerification> {
        let answers =
            self.server.connect(settings).await?.verify_decision_log(VerifyDecisionLogRequest {}).await;
        let mut answers = answers.map_err(|status| client::refusal(&status))?.into_inner();
        let bar = progress::bar(0, "decisions", self.format);
        while let Some(answer) = answers.message().await.map_err(|status| client::refusal(&status))? {
            match answer.step.context("the server sent an empty message")? {
                Step::Verified(verified) => bar.set_position(verified.unsigned_abs()),
                Step::Summary(summary) => {
                    bar.finish_and_clear();
                    return Ok(summary);
                }
            }
        }
        bail!("the server stopped before it had verified all")
    }
}
