//! CSV files: streamed in batches, with the columns that `rows` reads.

mod amount;
mod event_id;
mod rows;
mod tape;

use std::{
    fs::{self, File},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use ::csv::{ByteRecord, ReaderBuilder, StringRecord};
use finrank_model::{Customer, Event, InvalidField, Product, Statement};

pub(super) use self::tape::MAX_ROW_BYTES;
use self::{
    rows::{Columns, Row},
    tape::Tape,
};
use super::{
    Counts, ImportError, ImportObserver, ImportReport, Result,
    load::{BATCH_ROWS, Loader},
    rejects::Rejects,
};

/// Bytes of a batch: rows may have hundreds of long attributes, and the memory is to hold a batch of those too.
const BATCH_BYTES: u64 = 8 << 20;
/// Bytes read at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// The files to import; what is absent is left alone.
#[derive(Clone, Debug, Default)]
pub struct CsvFiles {
    /// Customers: `user_id`, `event_time`, and any further column as an attribute.
    pub customers: Option<PathBuf>,
    /// Products: `product_id`, `product_class`, `name`, `event_time`; optionally `description`, `issuer`,
    /// `risk_grade`, `status`; any further column is an attribute.
    pub products: Option<PathBuf>,
    /// Events: `user_id`, `product_id`, `kind`, `event_time`; optionally `event_id`, `quantity`, and an amount:
    /// `amount`, a decimal in the major unit as 12.50, or else `amount_minor`, a whole number of minor units,
    /// with `currency` (or `currency_code`), an ISO 4217 code. Further columns are passed over.
    pub events: Option<PathBuf>,
}

/// Imports CSV files in the order products, customers, events.
///
/// Times are RFC 3339, or dates, which mean midnight UTC. An attribute is a number where it reads as one, a flag
/// where it is `true` or `false`, unknown where it is empty, and text otherwise. An event without an id gets
/// one made of all its other columns, so that the same row is the same event.
///
/// # Errors
/// Before anything is loaded when a file lacks a column; later when Postgres goes away or a row does not end,
/// and then what was loaded stays. Rows that are not valid are no error: they are counted, and kept in
/// `<file>.rejects.csv`.
pub fn import_csv(
    database_url: &str,
    files: &CsvFiles,
    observer: &mut dyn ImportObserver,
) -> Result<ImportReport> {
    import(database_url, files, |input, _| Rejects::beside(input), observer)
}

/// As [`import_csv`], but keeps rejected rows in a folder, as `customers.rejects.csv`, `products.rejects.csv` and
/// `events.rejects.csv`: for files that lie where nothing can be written.
///
/// # Errors
/// As [`import_csv`]; also when the folder cannot be made, or a file to import lies where rejects would go.
pub fn import_csv_with_rejects_in(
    database_url: &str,
    files: &CsvFiles,
    folder: &Path,
    observer: &mut dyn ImportObserver,
) -> Result<ImportReport> {
    fs::create_dir_all(folder).map_err(|source| ImportError::File { path: folder.to_owned(), source })?;
    import(database_url, files, |_, kind| folder.join(format!("{kind}.rejects.csv")), observer)
}

fn import(
    database_url: &str,
    files: &CsvFiles,
    rejects: impl Fn(&Path, &str) -> PathBuf,
    observer: &mut dyn ImportObserver,
) -> Result<ImportReport> {
    // All headers are read before the first row is loaded.
    let products = open::<Product>(files.products.as_deref(), &rejects)?;
    let customers = open::<Customer>(files.customers.as_deref(), &rejects)?;
    let events = open::<Event>(files.events.as_deref(), &rejects)?;

    let mut loader = Loader::connect(database_url)?;
    let mut report = ImportReport::default();
    if let Some(file) = products {
        report.products = file.load(&mut loader, observer, &mut report.rejects, Loader::products)?;
    }
    if let Some(file) = customers {
        report.customers = file.load(&mut loader, observer, &mut report.rejects, Loader::customers)?;
    }
    if let Some(file) = events {
        report.events = file.load(&mut loader, observer, &mut report.rejects, Loader::events)?;
    }
    Ok(report)
}

fn open<R: Row>(path: Option<&Path>, rejects: impl Fn(&Path, &str) -> PathBuf) -> Result<Option<CsvFile>> {
    path.map(|path| CsvFile::open::<R>(path, rejects(path, R::KIND))).transpose()
}

/// A file whose header has been read and found complete.
struct CsvFile {
    path: PathBuf,
    rejects: PathBuf,
    bytes: u64,
    reader: ::csv::Reader<Tape<File>>,
    columns: Columns,
}

impl CsvFile {
    fn open<R: Row>(path: &Path, rejects: PathBuf) -> Result<Self> {
        let unreadable = |source| ImportError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        if fs::canonicalize(&rejects)
            .is_ok_and(|rejects| fs::canonicalize(path).is_ok_and(|path| path == rejects))
        {
            return Err(unreadable(io::Error::other("is where its own rejected rows would go")));
        }
        // A row of another length is a rejected row, not the end of the import.
        let mut reader =
            ReaderBuilder::new().flexible(true).buffer_capacity(BUFFER_BYTES).from_reader(Tape::new(file));
        let header = reader.headers().cloned().map_err(|source| match reader.get_ref().is_full() {
            true => ImportError::EndlessRow { path: path.to_owned(), line: 1 },
            false => ImportError::csv(path, source),
        })?;
        let columns = Columns::of::<R>(path, &header)?;
        Ok(Self { path: path.to_owned(), rejects, bytes, reader, columns })
    }

    /// Reads, parses and loads the file batch by batch.
    fn load<R: Row>(
        mut self,
        loader: &mut Loader,
        observer: &mut dyn ImportObserver,
        rejects_of_all: &mut Vec<PathBuf>,
        load: impl Fn(&mut Loader, &[Statement<R>]) -> Result<Counts>,
    ) -> Result<Counts> {
        observer.begin(&self.path.display().to_string(), self.bytes);
        let mut rejects = Rejects::into_file(self.rejects.clone())?;
        let mut counts = Counts::default();
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        let mut batch_begins = self.reader.position().byte();
        let mut fields = ByteRecord::new();
        while let Some(row) = self.next(&mut fields)? {
            match self.parse(&row, &fields) {
                Ok(row) => batch.push(row),
                Err(invalid) => {
                    rejects.keep(row.line, &invalid, self.text(&row))?;
                    counts.rejected += 1;
                }
            }
            if batch.len() == BATCH_ROWS || row.bytes.end - batch_begins >= BATCH_BYTES {
                counts += load(loader, &batch)?;
                batch.clear();
                batch_begins = row.bytes.end;
                observer.reached(batch_begins);
            }
        }
        counts += load(loader, &batch)?;
        rejects_of_all.extend(rejects.finish()?);
        observer.reached(self.bytes);
        Ok(counts)
    }

    /// Reads the next row's fields; `None` at the end of the file.
    fn next(&mut self, fields: &mut ByteRecord) -> Result<Option<RowInFile>> {
        let begins = self.reader.position().clone();
        self.reader.get_mut().begin_row(begins.byte());
        let read = self.reader.read_byte_record(fields);
        let row = |bytes: Range<u64>| {
            let text = self.reader.get_ref().given(bytes.clone());
            let between = text.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
            let newlines = between.filter(|byte| **byte == b'\n').count() as u64;
            RowInFile { line: begins.line() + newlines, bytes }
        };
        let row = row(begins.byte()..self.reader.position().byte());
        match read {
            Ok(true) => Ok(Some(row)),
            Ok(false) => Ok(None),
            Err(_) if self.reader.get_ref().is_full() => {
                Err(ImportError::EndlessRow { path: self.path.clone(), line: row.line })
            }
            Err(source) => Err(ImportError::csv(&self.path, source)),
        }
    }

    fn parse<R: Row>(&self, row: &RowInFile, fields: &ByteRecord) -> Result<Statement<R>, InvalidField> {
        if fields.len() != self.columns.len() {
            let mut reason = format!("has {} fields, the header has {}", fields.len(), self.columns.len());
            let further_lines = self.text(row).iter().filter(|byte| **byte == b'\n').count() as u64;
            if further_lines > 0 {
                let last = row.line + further_lines;
                reason.push_str(&format!("; it goes on to line {last}: is a quote left open?"));
            }
            return Err(InvalidField::new("row", reason));
        }
        let fields = StringRecord::from_byte_record(fields.clone()).map_err(|error| {
            InvalidField::new(self.columns.name(error.utf8_error().field()), "is not UTF-8")
        })?;
        self.columns.statement(&fields)
    }

    /// A row as it stands in the file, without the line ends around it.
    fn text(&self, row: &RowInFile) -> &[u8] {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let text = self.reader.get_ref().given(row.bytes.clone());
        let begins = text.iter().position(|byte| !is_line_end(byte)).unwrap_or(text.len());
        let ends = text.iter().rposition(|byte| !is_line_end(byte)).map_or(begins, |last| last + 1);
        &text[begins..ends]
    }
}

/// Where a row stands.
struct RowInFile {
    /// Where it begins, counted from 1, the header included.
    line: u64,
    /// Its bytes, with the line ends around it.
    bytes: Range<u64>,
}
