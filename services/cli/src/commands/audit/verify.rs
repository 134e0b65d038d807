//! `finrank audit verify`: the whole log, computed again.

use anyhow::{Context, bail};
use clap::Args;
use finrank_contracts::ranking::v1::{
    LogVerification, VerifyDecisionLogRequest, verify_decision_log_response::Step,
};
use finrank_model::Sha256Digest;
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
    commands::block_on,
    output::Format,
    progress,
    settings::Settings,
};

/// Compute the whole log of decisions again, and hold it to its hashes and signatures. Fails if anything is not as it was
/// written.
///
/// Keep the number and the hash that it prints elsewhere, and give them to the next run: a log that was cut off or written
/// anew together with its signatures is found out only by who knows how it was.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank audit verify\n  finrank audit verify --expect 120000 --sha256 HASH --json"
)]
pub(super) struct Verify {
    /// The number that an earlier verification told: that decision must still be there.
    #[arg(long, value_name = "N", requires = "sha256")]
    expect: Option<i64>,
    /// The hash that it told: the log up to there must still have it.
    #[arg(long, value_name = "HASH", requires = "expect", value_parser = |raw: &str| Sha256Digest::parse(raw))]
    sha256: Option<Sha256Digest>,
    #[command(flatten)]
    server: RankingServer,
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
        Ok(())
    }

    async fn ask(&self, settings: &Settings) -> anyhow::Result<LogVerification> {
        let request = VerifyDecisionLogRequest {
            expected_sequence: self.expect.unwrap_or_default(),
            expected_sha256: self.sha256.map(|sha256| sha256.as_bytes().to_vec()).unwrap_or_default(),
        };
        let answers = self.server.connect(settings).await?.verify_decision_log(request).await;
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
