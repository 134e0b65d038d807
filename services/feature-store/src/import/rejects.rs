//! Rows that are not valid, kept beside the file they came from: `<input>.rejects.csv`, made with the first one.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use finrank_model::InvalidField;

use super::{ImportError, Result};

/// Where rejected rows go.
pub(super) struct Rejects {
    path: PathBuf,
    writer: Option<::csv::Writer<File>>,
}

impl Rejects {
    /// Rejects of `input`. Those of an earlier import are removed, for they are about to be found again.
    pub(super) fn of(input: &Path) -> Result<Self> {
        let mut path = input.as_os_str().to_owned();
        path.push(".rejects.csv");
        let path = PathBuf::from(path);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(ImportError::File { path, source }),
            _ => Ok(Self { path, writer: None }),
        }
    }

    /// Keeps a row: its line, the field at fault, the reason, and the row's fields joined by commas.
    pub(super) fn keep(&mut self, line: u64, invalid: &InvalidField, row: &::csv::ByteRecord) -> Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let mut writer =
                    ::csv::Writer::from_path(&self.path).map_err(|source| not_csv(&self.path, source))?;
                let head = writer.write_record(["line", "field", "reason", "row"]);
                head.map_err(|source| not_csv(&self.path, source))?;
                self.writer.insert(writer)
            }
        };
        let raw: Vec<_> = row.iter().map(String::from_utf8_lossy).collect();
        let record = [line.to_string(), invalid.field.clone(), invalid.reason.clone(), raw.join(",")];
        writer.write_record(&record).map_err(|source| not_csv(&self.path, source))
    }

    /// Writes out what is buffered.
    pub(super) fn finish(self) -> Result<()> {
        let Some(mut writer) = self.writer else {
            return Ok(());
        };
        writer.flush().map_err(|source| ImportError::File { path: self.path, source })
    }
}

fn not_csv(path: &Path, source: ::csv::Error) -> ImportError {
    ImportError::NotCsv { path: path.to_owned(), source }
}
