//! `finrank features history`: a training set. Rows of a file, each with an entity and a moment, joined with the
//! features as they were known at that moment.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use csv::StringRecord;
use finrank_contracts::feature::v1::{
    EntityMoment, FeatureHeader, FeatureRow, FeatureSelection, GetHistoricalFeaturesRequest,
    GetHistoricalFeaturesResponse, HistoricalEntities, HistoricalStart,
    feature_store_service_client::FeatureStoreServiceClient, get_historical_features_request::Step as Asks,
    get_historical_features_response::Step as Tells,
};
use finrank_model::{InvalidField, UserId, parse_moment};
use finrank_serving::wire;
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::selection::{Selection, cell, moment, status};
use crate::{client, output::Format, progress, settings::Settings};

/// Rows of one message, and messages that wait for the server: all that is held in memory.
const MESSAGE_ROWS: usize = 1000;
const MESSAGES_AHEAD: usize = 4;

/// Make a training set: join features to the rows of a CSV file, each as it was known at the row's own moment.
///
/// The file has a column entity_id and a column as_of (RFC 3339 or a date); every other column, labels for
/// example, is carried over. The set has these columns, then one for each feature. Amounts are in minor units.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank features history --rows labels.csv --out set.csv --service offer_ranking --purpose marketing\n  finrank features history --rows labels.csv --out set.csv --service offer_ranking --purpose marketing --known-at 2026-06-30"
)]
pub(super) struct History {
    /// The rows: entity_id, as_of, and whatever else is to be carried over.
    #[arg(long, value_name = "FILE")]
    rows: PathBuf,
    /// Where the set goes; an existing file is replaced once the set is whole.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
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
    features: usize,
    known_at: Option<String>,
    definitions_sha256: String,
    out: PathBuf,
}

impl History {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.feature_store.clone().unwrap_or_else(|| settings.feature_store_url());
        let source = Rows::open(&self.rows)?;
        let directory = match self.out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let partial = NamedTempFile::new_in(directory)
            .with_context(|| format!("cannot write into {}", directory.display()))?;
        let set = SetWriter::new(BufWriter::new(partial.as_file()), source.header.clone(), self.statuses);
        let (out, format) = (self.out.clone(), self.format);
        let mut report = super::super::block_on(self.join(&url, source, set))?;
        partial.persist(&out).with_context(|| format!("cannot write {}", out.display()))?;
        report.out = out;
        format.print(&report, |report| {
            let pinned = report
                .known_at
                .as_ref()
                .map_or_else(String::new, |moment| format!(", all known at {moment}"));
            format!(
                "{} rows with {} features{pinned} in {} (definitions {})",
                report.rows,
                report.features,
                report.out.display(),
                report.definitions_sha256.chars().take(12).collect::<String>(),
            )
        })
    }

    async fn join<W: Write>(self, url: &str, source: Rows, mut set: SetWriter<W>) -> anyhow::Result<Report> {
        let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
        let bar = progress::bar(source.bytes, "bytes", self.format);
        let (requests, sending) = mpsc::channel(MESSAGES_AHEAD);
        let (carried, mut carrying) = mpsc::channel(MESSAGES_AHEAD + 1);
        let selection: FeatureSelection = self.selection.into();
        let start =
            HistoricalStart { selection: Some(selection), known_at: self.known_at.map(wire::timestamp) };
        let reading = tokio::task::spawn_blocking(move || source.send(start, &requests, &carried));
        let answers = store.get_historical_features(ReceiverStream::new(sending)).await;
        let mut answers = answers.map_err(|status| client::refusal(&status))?.into_inner();
        let header = header(&mut answers).await?;
        set.begin(&header)?;
        let mut rows = 0;
        while let Some(step) = next(&mut answers).await? {
            let Tells::Rows(joined) = step else { bail!("the server sent a second header") };
            let Some(Carried { records, reached }) = carrying.recv().await else {
                bail!("the server answered what was not asked");
            };
            rows += records.len() as u64;
            set.write(&records, &joined.rows)?;
            bar.set_position(reached);
        }
        bar.finish_and_clear();
        // A row that cannot be read ends the stream early: that is what went wrong then.
        reading.await??;
        set.finish()?;
        Ok(Report {
            rows,
            features: header.features.len(),
            known_at: self.known_at.and(header.known_at.as_ref().map(moment)),
            definitions_sha256: header.definitions_sha256,
            out: PathBuf::new(),
        })
    }
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

/// The file of rows.
struct Rows {
    path: PathBuf,
    reader: csv::Reader<File>,
    header: StringRecord,
    entity_id: usize,
    as_of: usize,
    bytes: u64,
}

/// Rows on their way, and how far into the file they reach.
struct Carried {
    records: Vec<StringRecord>,
    reached: u64,
}

impl Rows {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let unreadable = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(unreadable)?;
        let bytes = file.metadata().with_context(unreadable)?.len();
        let mut reader = csv::Reader::from_reader(file);
        let header = reader.headers().with_context(unreadable)?.clone();
        let column = |name: &str| {
            let found = header.iter().position(|column| column.trim() == name);
            let columns = || header.iter().collect::<Vec<_>>().join(", ");
            found.with_context(|| format!("{} has no column {name}; it has {}", path.display(), columns()))
        };
        let (entity_id, as_of) = (column("entity_id")?, column("as_of")?);
        Ok(Self { path: path.to_owned(), reader, header, entity_id, as_of, bytes })
    }

    /// Sends the start and all rows, no faster than they are taken.
    fn send(
        mut self,
        start: HistoricalStart,
        requests: &mpsc::Sender<GetHistoricalFeaturesRequest>,
        carried: &mpsc::Sender<Carried>,
    ) -> anyhow::Result<()> {
        let request = |step| GetHistoricalFeaturesRequest { step: Some(step) };
        if requests.blocking_send(request(Asks::Start(start))).is_err() {
            return Ok(());
        }
        loop {
            let (records, entities) = self.next_message()?;
            if records.is_empty() {
                return Ok(());
            }
            let reached = self.reader.position().byte();
            let message = request(Asks::Entities(HistoricalEntities { entities }));
            // Whoever does not take them any more has an error of its own to tell.
            if carried.blocking_send(Carried { records, reached }).is_err()
                || requests.blocking_send(message).is_err()
            {
                return Ok(());
            }
        }
    }

    fn next_message(&mut self) -> anyhow::Result<(Vec<StringRecord>, Vec<EntityMoment>)> {
        let (mut records, mut entities) = (Vec::new(), Vec::new());
        let mut record = StringRecord::new();
        while records.len() < MESSAGE_ROWS {
            let read = self.reader.read_record(&mut record);
            if !read.with_context(|| format!("cannot read {}", self.path.display()))? {
                break;
            }
            let line = record.position().map_or(0, csv::Position::line);
            let entity =
                self.entity(&record).with_context(|| format!("{} line {line}", self.path.display()))?;
            entities.push(entity);
            records.push(record.clone());
        }
        Ok((records, entities))
    }

    fn entity(&self, record: &StringRecord) -> Result<EntityMoment, InvalidField> {
        // Product ids are held to the same rules.
        let entity_id = UserId::parse(record[self.entity_id].trim())
            .map_err(|invalid| InvalidField::new("entity_id", invalid.reason))?;
        let as_of = parse_moment("as_of", record[self.as_of].trim())?;
        Ok(EntityMoment { entity_id: entity_id.into(), as_of: Some(wire::timestamp(as_of)) })
    }
}

/// The set as a CSV file.
struct SetWriter<W: Write> {
    writer: csv::Writer<W>,
    columns: StringRecord,
    statuses: bool,
}

impl<W: Write> SetWriter<W> {
    fn new(to: W, columns: StringRecord, statuses: bool) -> Self {
        Self { writer: csv::Writer::from_writer(to), columns, statuses }
    }

    fn begin(&mut self, header: &FeatureHeader) -> anyhow::Result<()> {
        let mut columns = self.columns.clone();
        for feature in &header.features {
            columns.push_field(feature);
            if self.statuses {
                columns.push_field(&format!("{feature} status"));
                columns.push_field(&format!("{feature} event_time"));
            }
        }
        Ok(self.writer.write_record(&columns)?)
    }

    fn write(&mut self, records: &[StringRecord], rows: &[FeatureRow]) -> anyhow::Result<()> {
        if records.len() != rows.len() {
            bail!("the server answered {} rows by {}", records.len(), rows.len());
        }
        for (record, row) in records.iter().zip(rows) {
            let mut record = record.clone();
            for value in &row.values {
                record.push_field(&cell(value));
                if self.statuses {
                    record.push_field(status(value));
                    record.push_field(&value.event_time.as_ref().map(moment).unwrap_or_default());
                }
            }
            self.writer.write_record(&record)?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush()?)
    }
}
