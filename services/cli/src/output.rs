//! Printing: tables for people, JSON for programs.

use std::{
    io::{ErrorKind, Write, stdout},
    path::Path,
};

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use serde::{Deserialize, Serialize};

/// Whether a program reads the answer.
#[derive(Args, Clone, Copy)]
pub(crate) struct Format {
    /// Print one JSON document on stdout instead of a table.
    #[arg(long)]
    json: bool,
}

impl Format {
    /// The form for whoever watches the terminal.
    pub(crate) fn for_a_person() -> Self {
        Self { json: false }
    }

    /// Prints `report` as JSON, or as `text` makes it.
    pub(crate) fn print<T: Serialize>(
        self,
        report: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(report)? } else { text(report) };
        match writeln!(stdout(), "{text}") {
            // Whoever reads, `head` for one, has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }

    /// Whether progress may be drawn for a person.
    pub(crate) fn for_people(self) -> bool {
        !self.json
    }
}

/// The forms of a file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FileFormat {
    /// Text.
    Csv,
    /// Typed columns.
    Parquet,
}

impl FileFormat {
    /// The form that a file's name tells.
    pub(crate) fn of(file: &Path) -> Self {
        let parquet = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        if parquet { Self::Parquet } else { Self::Csv }
    }

    /// How names of such files end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// The beginning of a SHA-256 in hexadecimal digits: enough for people to tell files apart.
pub(crate) fn short(sha256: &str) -> String {
    sha256.chars().take(12).collect()
}

/// A value of the contract as people say it: `PRODUCT_CLASS_CREDIT_CARD` without its prefix is "credit card".
pub(crate) fn spoken(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

/// A line under the head is all that a table needs.
const RULED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table with the given heads; columns from `first_number` on are right-aligned.
pub(crate) fn table<const N: usize>(
    heads: [&str; N],
    first_number: usize,
    rows: impl IntoIterator<Item = [String; N]>,
) -> Table {
    let mut table = Table::new();
    table.load_style(RULED).set_header(heads);
    for row in rows {
        table.add_row(row);
    }
    for column in first_number..N {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
