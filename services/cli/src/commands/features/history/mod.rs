//! `finrank features history`: a training set. Rows of a file, each with an entity and a moment, joined with the
//! features as they were known at that moment.

mod csv_set;
mod parquet_set;
mod rows;
mod set;

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use finrank_contracts::feature::v1::{
    FeatureHeader, FeatureRow, FeatureSelection, FeatureStatus, GetHistoricalFeaturesResponse,
    HistoricalStart, feature_store_service_client::FeatureStoreServiceClient,
    get_historical_features_response::Step as Tells,
};
use finrank_model::parse_moment;
use finrank_serving::wire;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use self::{
    rows::{Carried, Rows},
    set::Set,
};
use super::selection::{Selection, moment};
use crate::{
    client,
    output::{FileFormat, Format, short},
    progress,
    settings::Settings,
    whole_file::WholeFile,
};

/// Messages that wait for the server.
const MESSAGES_AHEAD: usize = 4;

/// Make a training set: join features to the rows of a CSV file, each as it was known at the row's own moment.
///
/// The file has a column entity_id and a column as_of (RFC 3339 or a date); every other column, labels for
/// example, is carried over. The set has these columns, then one for each feature. Amounts are in minor units.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features history --rows labels.csv --out set.parquet --service offer_ranking --purpose marketing\n  finrank features history --rows labels.csv --out set.csv --service offer_ranking --purpose marketing --known-at 2026-06-30"
)]
pub(super) struct History {
    /// The rows: entity_id, as_of, and whatever else is to be carried over.
    #[arg(long, value_name = "FILE")]
    rows: PathBuf,
    /// Where the set goes; an existing file is replaced once the set is whole.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The set's form; by default Parquet if the file's name ends in .parquet, and CSV otherwise.
    #[arg(long = "format", value_enum)]
    file_format: Option<FileFormat>,
    #[command(flatten)]
    selection: Selection,
    /// Let every row see what was known at this moment, later corrections included, instead of at its own.
    #[arg(long, value_name = "TIME", value_parser = |raw: &str| parse_moment("--known-at", raw))]
    known_at: Option<DateTime<Utc>>,
    /// Also write each value's status and event time.
    #[arg(long)]
    statuses: bool,
    /// The feature store; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    feature_store: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// What was made.
#[derive(Serialize)]
struct Report {
    rows: u64,
    /// Rows of whose entity nothing was known at their moment.
    unknown: u64,
    features: usize,
    /// Of them, those that the purpose does not allow: their columns are empty.
    denied: Vec<String>,
    known_at: Option<String>,
    definitions_sha256: String,
    out: PathBuf,
}

impl History {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.feature_store.clone().unwrap_or_else(|| settings.feature_store_url());
        if self.out == Path::new("-") {
            bail!(
                "--out is a file, which gets its name once the set is whole; to read it elsewhere, name a file and read that"
            );
        }
        let source = Rows::open(&self.rows)?;
        let file = WholeFile::create(&self.out)?;
        let file_format = self.file_format.unwrap_or_else(|| FileFormat::of(&self.out));
        let set = Set::new(file_format, file.writer()?, source.header(), self.statuses);
        let (out, format) = (self.out.clone(), self.format);
        let mut report = super::super::block_on(self.join(&url, source, set))?;
        file.keep()?;
        report.out = out;
        format.print(&report, |report| {
            let pinned = report
                .known_at
                .as_ref()
                .map_or_else(String::new, |moment| format!(", all known at {moment}"));
            let unknown = match report.unknown {
                0 => String::new(),
                unknown => format!(
                    "\nof {unknown} rows nothing was known at their moment; what was imported later is seen with --known-at"
                ),
            };
            let denied = match report.denied.as_slice() {
                [] => String::new(),
                denied => format!("\nempty, since the purpose does not allow them: {}", denied.join(", ")),
            };
            format!(
                "{} rows with {} features{pinned} in {} (definitions {}){unknown}{denied}",
                report.rows,
                report.features,
                report.out.display(),
                short(&report.definitions_sha256),
            )
        })
    }

    async fn join(self, url: &str, source: Rows, mut set: Set<BufWriter<File>>) -> anyhow::Result<Report> {
        let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
        let bar = progress::bar(source.bytes(), "bytes", self.format);
        let (requests, sending) = mpsc::channel(MESSAGES_AHEAD);
        let (carried, mut carrying) = mpsc::channel(MESSAGES_AHEAD + 1);
        let selection: FeatureSelection = self.selection.into();
        let start =
            HistoricalStart { selection: Some(selection), known_at: self.known_at.map(wire::timestamp) };
        let reading = tokio::task::spawn_blocking(move || source.send(start, &requests, &carried));
        let answers = store.get_historical_features(ReceiverStream::new(sending)).await;
        let mut answers = answers.map_err(|status| client::refusal(&status))?.into_inner();
        let header = header(&mut answers).await?;
        let known_at = self.known_at.and(header.known_at.as_ref().map(moment));
        set.begin(&header, known_at.as_deref())?;
        let (mut rows, mut unknown) = (0, 0);
        while let Some(step) = next(&mut answers).await? {
            let Tells::Rows(joined) = step else { bail!("the server sent a second header") };
            let Some(Carried { records, reached }) = carrying.recv().await else {
                bail!("the server answered what was not asked");
            };
            if records.len() != joined.rows.len() {
                bail!("the server answered {} rows by {}", records.len(), joined.rows.len());
            }
            rows += records.len() as u64;
            unknown += joined.rows.iter().filter(|row| is_unknown(row)).count() as u64;
            set.write(&records, &joined.rows)?;
            bar.set_position(reached);
        }
        bar.finish_and_clear();
        // A row that cannot be read ends the stream early: that is what went wrong then.
        reading.await??;
        set.finish()?;
        Ok(Report {
            rows,
            unknown,
            features: header.features.len(),
            denied: header.denials.iter().map(|denial| denial.feature.clone()).collect(),
            known_at,
            definitions_sha256: header.definitions_sha256,
            out: PathBuf::new(),
        })
    }
}

fn is_unknown(row: &FeatureRow) -> bool {
    !row.values.is_empty() && row.values.iter().all(|value| value.status() == FeatureStatus::NotFound)
}

async fn header(answers: &mut Streaming<GetHistoricalFeaturesResponse>) -> anyhow::Result<FeatureHeader> {
    match next(answers).await? {
        Some(Tells::Header(header)) => Ok(header),
        _ => bail!("the server sent no header"),
    }
}

async fn next(answers: &mut Streaming<GetHistoricalFeaturesResponse>) -> anyhow::Result<Option<Tells>> {
    let answer = answers.message().await.map_err(|status| client::refusal(&status))?;
    answer.map(|answer| answer.step.context("the server sent an empty message")).transpose()
}
