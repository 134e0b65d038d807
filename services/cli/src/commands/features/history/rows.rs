//! The rows that features are joined to: a CSV file, read message by message, no faster than the server takes it.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::Context;
use csv::StringRecord;
use finrank_contracts::feature::v1::{
    EntityMoment, GetHistoricalFeaturesRequest, HistoricalEntities, HistoricalStart,
    get_historical_features_request::Step as Asks,
};
use finrank_model::{InvalidField, UserId, parse_moment};
use finrank_serving::wire;
use tokio::sync::mpsc;

/// The column that says whose features.
pub(super) const ENTITY_ID: &str = "entity_id";
/// The column that says when.
pub(super) const AS_OF: &str = "as_of";
/// Rows of one message; with the messages that wait for the server, all that is held in memory.
const MESSAGE_ROWS: usize = 1000;

/// The file of rows.
pub(super) struct Rows {
    path: PathBuf,
    reader: csv::Reader<File>,
    header: StringRecord,
    entity_id: usize,
    as_of: usize,
    bytes: u64,
}

/// Rows on their way, and how far into the file they reach.
pub(super) struct Carried {
    pub(super) records: Vec<StringRecord>,
    pub(super) reached: u64,
}

impl Rows {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
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
        let (entity_id, as_of) = (column(ENTITY_ID)?, column(AS_OF)?);
        Ok(Self { path: path.to_owned(), reader, header, entity_id, as_of, bytes })
    }

    /// The names of its columns.
    pub(super) fn header(&self) -> &StringRecord {
        &self.header
    }

    /// How long it is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sends the start and all rows, no faster than they are taken.
    pub(super) fn send(
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
            .map_err(|invalid| InvalidField::new(ENTITY_ID, invalid.reason))?;
        let as_of = parse_moment(AS_OF, record[self.as_of].trim())?;
        Ok(EntityMoment { entity_id: entity_id.into(), as_of: Some(wire::timestamp(as_of)) })
    }
}
