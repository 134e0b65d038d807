//! The set as a CSV file: values as text, nothing where there is none.

use std::io::Write;

use csv::StringRecord;
use finrank_contracts::feature::v1::{FeatureHeader, FeatureRow};

use super::set::{event_time_column, status_column};
use crate::commands::features::selection::{cell, moment, status};

/// Writes rows as they come.
pub(super) struct CsvSet<W: Write> {
    writer: csv::Writer<W>,
    columns: StringRecord,
    statuses: bool,
}

impl<W: Write> CsvSet<W> {
    pub(super) fn new(to: W, columns: StringRecord, statuses: bool) -> Self {
        Self { writer: csv::Writer::from_writer(to), columns, statuses }
    }

    pub(super) fn begin(&mut self, header: &FeatureHeader) -> anyhow::Result<()> {
        let mut columns = self.columns.clone();
        for feature in &header.features {
            columns.push_field(feature);
            if self.statuses {
                columns.push_field(&status_column(feature));
                columns.push_field(&event_time_column(feature));
            }
        }
        Ok(self.writer.write_record(&columns)?)
    }

    pub(super) fn write(&mut self, records: &[StringRecord], rows: &[FeatureRow]) -> anyhow::Result<()> {
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

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush()?)
    }
}
