//! `finrank audit export`: a part of the log as a file, for whoever verifies it without the database.

use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::Args;
use finrank_contracts::ranking::v1::{ExportDecisionLogRequest, log_part::Part};
use finrank_decisions::exported::{ExportCheck, ExportVerification};
use prost::Message;
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
    commands::block_on,
    output::Format,
    progress,
    settings::Settings,
    whole_file::WholeFile,
};

/// Write a part of the log of decisions into a file: records, signatures, and the public key. Who gets it verifies it by
/// `finrank audit verify --file`, without the database. It holds nothing that names a customer.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank audit export --out decisions.log\n  finrank audit export --first 120001 --last 130000 --out november.log"
)]
pub(super) struct Export {
    /// The first decision, by its number in the log; by default the log's first.
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: i64,
    /// The last one; by default the log's last.
    #[arg(long, value_name = "N")]
    last: Option<i64>,
    /// Where the file goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    first: i64,
    last: i64,
    sha256: String,
    /// The last of them that a signature covers.
    covered: i64,
    checkpoints: u64,
    public_keys: Vec<String>,
    out: PathBuf,
}

impl Export {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let exported = block_on(self.write(settings))?;
        let fault = exported.fault;
        let report = Report {
            first: exported.first,
            last: exported.verified.sequence,
            sha256: exported.verified.sha256.to_string(),
            covered: exported.covered,
            checkpoints: exported.checkpoints,
            public_keys: exported.keys.iter().map(ToString::to_string).collect(),
            out: self.out,
        };
        self.format.print(&report, |report| {
            format!(
                "decisions {} to {} are in {}, covered up to {} by {} signatures\n{}\npublic key {}",
                report.first,
                report.last,
                report.out.display(),
                report.covered,
                report.checkpoints,
                report.sha256,
                report.public_keys.join(", ")
            )
        })?;
        super::verify::fail_by(fault)
    }

    /// Writes the file as it comes, and holds it to its hashes meanwhile.
    async fn write(&self, settings: &Settings) -> anyhow::Result<ExportVerification> {
        let request = ExportDecisionLogRequest { first: self.first, last: self.last.unwrap_or_default() };
        let parts = self.server.connect(settings).await?.export_decision_log(request).await;
        let mut parts = parts.map_err(|status| client::refusal(&status))?.into_inner();
        let file = WholeFile::create(&self.out)?;
        let mut writer = file.writer()?;
        let mut check = ExportCheck::new(None, None);
        let bar = progress::bar(0, "decisions", self.format);
        while let Some(answer) = parts.message().await.map_err(|status| client::refusal(&status))? {
            let part = answer.part.context("the server sent an empty message")?;
            match &part.part {
                Some(Part::Head(head)) => bar.set_length((head.last - head.first + 1).unsigned_abs()),
                Some(Part::Record(_)) => bar.inc(1),
                _ => {}
            }
            check.take(&part)?;
            writer.write_all(&part.encode_length_delimited_to_vec())?;
        }
        let exported = check.finish()?;
        writer.flush()?;
        file.keep()?;
        bar.finish_and_clear();
        Ok(exported)
    }
}
