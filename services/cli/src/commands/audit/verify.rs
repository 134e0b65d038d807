//! `finrank audit verify`: the whole log, computed again; or a part of it in a file, without asking anybody.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use finrank_contracts::ranking::v1::{
    LogVerification, VerifyDecisionLogRequest, log_part::Part, verify_decision_log_response::Step,
};
use finrank_decisions::{
    chain::Link,
    checkpoint::PublicKey,
    exported::{ExportCheck, parts},
    verify,
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
///
/// With --file: a part of the log that `finrank audit export` wrote. No server and no database is asked.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank audit verify\n  finrank audit verify --expect 120000 --sha256 HASH --json\n  finrank audit verify --file decisions.log --public-key 0f3a…"
)]
pub(super) struct Verify {
    /// The number that an earlier verification told: that decision must still be there.
    #[arg(long, value_name = "N", requires = "sha256")]
    expect: Option<i64>,
    /// The hash that it told: the log up to there must still have it.
    #[arg(long, value_name = "HASH", requires = "expect", value_parser = |raw: &str| Sha256Digest::parse(raw))]
    sha256: Option<Sha256Digest>,
    /// A part of the log, as `finrank audit export` wrote it.
    #[arg(long, value_name = "FILE", conflicts_with = "RankingServer")]
    file: Option<PathBuf>,
    /// The log's public key, 64 hexadecimal digits, from somebody you trust; may be repeated. Without it the file is held to
    /// the keys that it names itself.
    #[arg(long, value_name = "KEY", requires = "file", value_parser = |raw: &str| PublicKey::parse(raw))]
    public_key: Vec<PublicKey>,
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
struct FileReport {
    first: i64,
    verified: i64,
    sha256: String,
    covered: i64,
    checkpoints: u64,
    public_keys: Vec<String>,
    /// Whether these are only what the file says.
    own_keys: bool,
    fault: Option<Fault>,
}

impl FileReport {
    fn to_text(&self) -> String {
        let keys = self.public_keys.join(", ");
        let keys = match self.own_keys {
            true => {
                format!("the keys are those that the file names; hold them to the one that you trust: {keys}")
            }
            false => format!("signed by {keys}"),
        };
        let covered = match self.covered {
            0 => "no signature covers any of them yet".to_owned(),
            last => format!("up to {last} they are covered by {} signatures", self.checkpoints),
        };
        let (first, last, sha256) = (self.first, self.verified, &self.sha256);
        format!("decisions {first} to {last} are as they were written; {covered}\n{sha256}\n{keys}")
    }
}

impl From<verify::Fault> for Fault {
    fn from(fault: verify::Fault) -> Self {
        Self {
            sequence: fault.sequence,
            code: fault.kind.code().to_owned(),
            message: format!("decision {} {}", fault.sequence, fault.kind.in_words()),
        }
    }
}

/// Fails if something is not as it was written.
pub(super) fn fail_by(fault: Option<verify::Fault>) -> anyhow::Result<()> {
    match fault.map(Fault::from) {
        Some(Fault { message, code, .. }) => bail!("{message} ({code})"),
        None => Ok(()),
    }
}

#[derive(Serialize)]
struct Fault {
    sequence: i64,
    code: String,
    message: String,
}

impl Verify {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        if let Some(file) = &self.file {
            return self.verify_file(file);
        }
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

    fn verify_file(&self, file: &Path) -> anyhow::Result<()> {
        let in_file = || format!("{} does not hold", file.display());
        let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let trusted = (!self.public_key.is_empty()).then(|| self.public_key.clone());
        let own_keys = trusted.is_none();
        let expected = self.expect.zip(self.sha256).map(|(sequence, sha256)| Link { sequence, sha256 });
        let mut check = ExportCheck::new(trusted, expected);
        let bar = progress::bar(0, "decisions", self.format);
        for part in parts(BufReader::new(opened)) {
            let part = part.with_context(in_file)?;
            if matches!(part.part, Some(Part::Record(_))) {
                bar.inc(1);
            }
            check.take(&part).with_context(in_file)?;
        }
        bar.finish_and_clear();
        let found = check.finish().with_context(in_file)?;
        let report = FileReport {
            first: found.first,
            verified: found.verified.sequence,
            sha256: found.verified.sha256.to_string(),
            covered: found.covered,
            checkpoints: found.checkpoints,
            public_keys: found.keys.iter().map(ToString::to_string).collect(),
            own_keys,
            fault: found.fault.map(Fault::from),
        };
        self.format.print(&report, FileReport::to_text)?;
        fail_by(found.fault)
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
