//! CSV files: streamed in batches, with the columns that `rows` documents.

mod rows;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use ::csv::{ByteRecord, ReaderBuilder, StringRecord};
use finrank_model::InvalidField;

use self::rows::{Columns, Row};
use super::{
    Counts, ImportError, ImportObserver, ImportReport, Result,
    load::{BATCH_ROWS, Loader},
    rejects::Rejects,
};

/// The files to import; what is absent is left alone.
#[derive(Clone, Debug, Default)]
pub struct CsvFiles {
    /// Customers: `user_id`, `event_time`, and any further column as an attribute.
    pub customers: Option<PathBuf>,
    /// Products: `product_id`, `product_class`, `name`, `event_time`; optionally `description`, `issuer`,
    /// `risk_grade`, `status`; any further column is an attribute.
    pub products: Option<PathBuf>,
    /// Events: `user_id`, `product_id`, `kind`, `event_time`; optionally `event_id`, `quantity`,
    /// `amount_minor`, `currency_code`.
    pub events: Option<PathBuf>,
}

/// Imports CSV files in the order products, customers, events.
///
/// Times are RFC 3339, or dates, which mean midnight UTC. An attribute is a number where it reads as one, a flag
/// where it is `true` or `false`, unknown where it is empty, and text otherwise. An event without an id gets
/// one made of its other columns, so that the same row is the same event.
///
/// # Errors
/// Before anything is loaded when a file lacks a column; later when Postgres goes away, and then what was loaded
/// stays. Rows that are not valid are no error: they are counted, and kept in `<file>.rejects.csv`.
pub fn import_csv(
    database_url: &str,
    files: &CsvFiles,
    observer: &mut dyn ImportObserver,
) -> Result<ImportReport> {
    // All headers are read before the first row is loaded.
    let products = files.products.as_deref().map(CsvFile::open::<finrank_model::Product>).transpose()?;
    let customers = files.customers.as_deref().map(CsvFile::open::<finrank_model::Customer>).transpose()?;
    let events = files.events.as_deref().map(CsvFile::open::<finrank_model::Event>).transpose()?;

    let mut loader = Loader::connect(database_url)?;
    let mut report = ImportReport::default();
    if let Some(file) = products {
        report.products = file.load(&mut loader, observer, Loader::products)?;
    }
    if let Some(file) = customers {
        report.customers = file.load(&mut loader, observer, Loader::customers)?;
    }
    if let Some(file) = events {
        report.events = file.load(&mut loader, observer, Loader::events)?;
    }
    Ok(report)
}

/// A file whose header has been read and found complete.
struct CsvFile {
    path: PathBuf,
    bytes: u64,
    reader: ::csv::Reader<File>,
    columns: Columns,
}

impl CsvFile {
    fn open<R: Row>(path: &Path) -> Result<Self> {
        let file_error = |source| ImportError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(file_error)?;
        let bytes = file.metadata().map_err(file_error)?.len();
        // A row of another length is a rejected row, not the end of the import.
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
        let header =
            reader.headers().map_err(|source| ImportError::NotCsv { path: path.to_owned(), source })?;
        let columns = Columns::of::<R>(path, header)?;
        Ok(Self { path: path.to_owned(), bytes, reader, columns })
    }

    /// Reads, parses and loads the file batch by batch.
    fn load<R: Row>(
        mut self,
        loader: &mut Loader,
        observer: &mut dyn ImportObserver,
        load: impl Fn(&mut Loader, &[R]) -> Result<Counts>,
    ) -> Result<Counts> {
        observer.begin(&self.path.display().to_string(), self.bytes);
        let mut rejects = Rejects::of(&self.path)?;
        let mut counts = Counts::default();
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        let mut raw = ByteRecord::new();
        while self.next(&mut raw)? {
            match self.parse(&raw) {
                Ok(row) => batch.push(row),
                Err(invalid) => {
                    let line = raw.position().map_or(0, ::csv::Position::line);
                    rejects.keep(line, &invalid, &raw)?;
                    counts.rejected += 1;
                }
            }
            if batch.len() == BATCH_ROWS {
                counts += load(loader, &batch)?;
                batch.clear();
                observer.reached(self.reader.position().byte());
            }
        }
        counts += load(loader, &batch)?;
        rejects.finish()?;
        observer.reached(self.bytes);
        Ok(counts)
    }

    fn next(&mut self, raw: &mut ByteRecord) -> Result<bool> {
        let read = self.reader.read_byte_record(raw);
        read.map_err(|source| ImportError::NotCsv { path: self.path.clone(), source })
    }

    fn parse<R: Row>(&self, raw: &ByteRecord) -> Result<R, InvalidField> {
        let text = StringRecord::from_byte_record(raw.clone());
        let row = text.map_err(|error| InvalidField::new("row", format!("is not UTF-8: {error}")))?;
        if row.len() != self.columns.len() {
            let reason = format!("has {} fields, the header has {}", row.len(), self.columns.len());
            return Err(InvalidField::new("row", reason));
        }
        R::parse(&self.columns, &row)
    }
}
