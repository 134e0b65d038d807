//! The set in the making, in one form or the other, with the same columns and rows.

use std::io::Write;

use csv::StringRecord;
use finrank_contracts::feature::v1::{FeatureHeader, FeatureRow};

use super::{csv_set::CsvSet, parquet_set::ParquetSet};
use crate::output::FileFormat;

/// A set in the making.
pub(super) enum Set<W: Write + Send> {
    // Boxed, for it is much the larger.
    Csv(Box<CsvSet<W>>),
    Parquet(ParquetSet<W>),
}

impl<W: Write + Send> Set<W> {
    /// With the columns that are carried over, and perhaps each value's status and event time.
    pub(super) fn new(format: FileFormat, to: W, columns: &StringRecord, statuses: bool) -> Self {
        match format {
            FileFormat::Csv => Self::Csv(Box::new(CsvSet::new(to, columns.clone(), statuses))),
            FileFormat::Parquet => Self::Parquet(ParquetSet::new(to, columns.clone(), statuses)),
        }
    }

    /// Once, first. `known_at` is what every row sees; absent if each sees what was known at its own moment.
    pub(super) fn begin(&mut self, header: &FeatureHeader, known_at: Option<&str>) -> anyhow::Result<()> {
        match self {
            Self::Csv(set) => set.begin(header),
            Self::Parquet(set) => set.begin(header, known_at),
        }
    }

    /// `rows[i]` is joined to `records[i]`.
    pub(super) fn write(&mut self, records: &[StringRecord], rows: &[FeatureRow]) -> anyhow::Result<()> {
        match self {
            Self::Csv(set) => set.write(records, rows),
            Self::Parquet(set) => set.write(records, rows),
        }
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(set) => set.finish(),
            Self::Parquet(set) => set.finish(),
        }
    }
}

/// The column of a feature's statuses.
pub(super) fn status_column(feature: &str) -> String {
    format!("{feature} status")
}

/// The column that says since when a feature's values are true.
pub(super) fn event_time_column(feature: &str) -> String {
    format!("{feature} event_time")
}
