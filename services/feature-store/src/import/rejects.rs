//! Rows that are not valid, kept in a CSV file of their own, which is made with the first one.

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
    /// The file that keeps the rejects of `input` when none is given: `<input>.rejects.csv`.
    pub(super) fn beside(input: &Path) -> PathBuf {
        let mut path = input.as_os_str().to_owned();
        path.push(".rejects.csv");
        path.into()
    }

    /// Rejects into a file. Those of an earlier import are removed, for they are about to be found again.
    pub(super) fn into_file(path: PathBuf) -> Result<Self> {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(ImportError::File { path, source }),
            _ => Ok(Self { path, writer: None }),
        }
    }

    /// Keeps a row: its line, the field at fault, the reason, and the row as it stands in the file; bytes that
    /// are not UTF-8 become U+FFFD, so that the rejects can be opened anywhere.
    pub(super) fn keep(&mut self, line: u64, invalid: &InvalidField, row: &[u8]) -> Result<()> {
        let failed = |source| ImportError::csv(&self.path, source);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let mut writer = ::csv::Writer::from_path(&self.path).map_err(failed)?;
                writer.write_record(["line", "field", "reason", "row"]).map_err(failed)?;
                self.writer.insert(writer)
            }
        };
        let row = String::from_utf8_lossy(row);
        writer.write_record([&line.to_string(), &invalid.field, &invalid.reason, &*row]).map_err(failed)
    }

    /// Writes out what is buffered. Returns the file, if a row was kept.
    pub(super) fn finish(self) -> Result<Option<PathBuf>> {
        let Some(mut writer) = self.writer else {
            return Ok(None);
        };
        match writer.flush() {
            Ok(()) => Ok(Some(self.path)),
            Err(source) => Err(ImportError::File { path: self.path, source }),
        }
    }
}
