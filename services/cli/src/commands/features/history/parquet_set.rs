//! The set as a Parquet file: a column of its own type for each feature, written row group by row group.
//!
//! | feature | column |
//! |---|---|
//! | number | double |
//! | text | string |
//! | flag | boolean |
//! | count | int64 |
//! | money | int64 in minor units; the field's metadata names the currency |
//! | time | timestamp in microseconds, UTC |
//!
//! Carried columns are text, as they stand in the file, but for `as_of`, which is a timestamp.

use std::{collections::HashMap, io::Write, sync::Arc};

use anyhow::{Context, bail};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use csv::StringRecord;
use finrank_contracts::feature::v1::{
    FeatureHeader, FeatureRow, FeatureType, FeatureValue, feature_value::Value,
};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use prost_types::Timestamp;

use super::{
    rows::AS_OF,
    set::{event_time_column, status_column},
};
use crate::commands::features::selection::status;

/// A row group is written when it has grown to this, whatever the number of columns: what is held in memory.
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;
/// UTC, as the format writes it.
const UTC: &str = "UTC";

/// Collects rows into row groups, and writes them.
pub(super) struct ParquetSet<W: Write + Send> {
    carried: StringRecord,
    statuses: bool,
    writer: Writer<W>,
}

/// Nothing can be written before the features are known.
enum Writer<W: Write + Send> {
    Waiting(W),
    Writing(Box<ArrowWriter<W>>, SchemaRef),
    Done,
}

impl<W: Write + Send> ParquetSet<W> {
    pub(super) fn new(to: W, carried: StringRecord, statuses: bool) -> Self {
        Self { carried, statuses, writer: Writer::Waiting(to) }
    }

    pub(super) fn begin(&mut self, header: &FeatureHeader, known_at: Option<&str>) -> anyhow::Result<()> {
        let schema: SchemaRef = Arc::new(self.schema(header)?);
        let told = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
        let mut about = vec![told("finrank.definitions_sha256", &header.definitions_sha256)];
        about.extend(known_at.map(|known_at| told("finrank.known_at", known_at)));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .set_key_value_metadata(Some(about))
            .build();
        self.writer = match std::mem::replace(&mut self.writer, Writer::Done) {
            Writer::Waiting(to) => {
                Writer::Writing(Box::new(ArrowWriter::try_new(to, schema.clone(), Some(properties))?), schema)
            }
            _ => bail!("the server sent a second header"),
        };
        Ok(())
    }

    pub(super) fn write(&mut self, records: &[StringRecord], rows: &[FeatureRow]) -> anyhow::Result<()> {
        let Writer::Writing(writer, schema) = &mut self.writer else { bail!("the server sent no header") };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (place, name) in self.carried.iter().enumerate() {
            columns.push(if name.trim() == AS_OF {
                micros(rows.iter().map(|row| row.as_of.as_ref()))
            } else {
                Arc::new(StringArray::from_iter_values(records.iter().map(|record| &record[place])))
            });
        }
        let features = rows.first().map_or(0, |row| row.values.len());
        for place in 0..features {
            let of_feature = || rows.iter().map(|row| row.values.get(place));
            let field =
                schema.fields().get(columns.len()).context("the server sent more values than features")?;
            columns.push(values(field, of_feature())?);
            if self.statuses {
                let statuses = of_feature().map(|value| value.map(status));
                columns.push(Arc::new(statuses.collect::<StringArray>()));
                columns.push(micros(
                    of_feature().map(|value| value.and_then(|value| value.event_time.as_ref())),
                ));
            }
        }
        Ok(writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?)
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Writer::Writing(writer, _) = self.writer else { bail!("the server sent no header") };
        Ok(writer.into_inner()?.flush()?)
    }

    fn schema(&self, header: &FeatureHeader) -> anyhow::Result<Schema> {
        let carried = self.carried.iter().map(|name| {
            let data_type = if name.trim() == AS_OF { timestamp() } else { DataType::Utf8 };
            Field::new(name, data_type, false)
        });
        let mut fields: Vec<Field> = carried.collect();
        if header.types.len() != header.features.len() {
            bail!("the server does not tell the features' types; Parquet needs a newer server");
        }
        for (feature, feature_type) in header.features.iter().zip(&header.types) {
            fields.push(field(feature, feature_type)?);
            if self.statuses {
                fields.push(Field::new(status_column(feature), DataType::Utf8, false));
                fields.push(Field::new(event_time_column(feature), timestamp(), true));
            }
        }
        let mut names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("the set would have two columns {:?}; name the carried one otherwise", twice[0]);
        }
        Ok(Schema::new(fields))
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

fn field(name: &str, feature_type: &FeatureType) -> anyhow::Result<Field> {
    let data_type = match feature_type.r#type.as_str() {
        "number" => DataType::Float64,
        "text" => DataType::Utf8,
        "flag" => DataType::Boolean,
        "count" | "money" => DataType::Int64,
        "time" => timestamp(),
        other => bail!("{name} is of the type {other:?}, which this program does not know"),
    };
    let field = Field::new(name, data_type, true);
    if feature_type.currency_code.is_empty() {
        return Ok(field);
    }
    let about = [("currency", feature_type.currency_code.as_str()), ("unit", "minor")];
    let about: HashMap<String, String> =
        about.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Ok(field.with_metadata(about))
}

/// One feature's values; nothing where there is none.
fn values<'v>(
    field: &Field,
    values: impl Iterator<Item = Option<&'v FeatureValue>>,
) -> anyhow::Result<ArrayRef> {
    let values = values.map(|value| value.and_then(|value| value.value.as_ref()));
    let column: Option<ArrayRef> = match field.data_type() {
        DataType::Float64 => all(values, |value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        })
        .map(|numbers| Arc::new(Float64Array::from(numbers)) as _),
        DataType::Utf8 => all(values, |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .map(|texts| Arc::new(StringArray::from(texts)) as _),
        DataType::Boolean => all(values, |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
        .map(|flags| Arc::new(BooleanArray::from(flags)) as _),
        DataType::Int64 => all(values, |value| match value {
            Value::Count(count) => Some(*count),
            Value::Money(money) => Some(money.minor_units),
            _ => None,
        })
        .map(|whole| Arc::new(Int64Array::from(whole)) as _),
        _ => all(values, |value| match value {
            Value::Time(time) => Some(time),
            _ => None,
        })
        .map(|times| micros(times.into_iter())),
    };
    column.with_context(|| format!("the server sent a value of {} that is not of its type", field.name()))
}

/// Every value by `pick`; nothing at all if it does not take one of them.
fn all<'v, T>(
    values: impl Iterator<Item = Option<&'v Value>>,
    pick: impl Fn(&'v Value) -> Option<T>,
) -> Option<Vec<Option<T>>> {
    values.map(|value| value.map_or(Some(None), |value| pick(value).map(Some))).collect()
}

fn micros<'t>(times: impl Iterator<Item = Option<&'t Timestamp>>) -> ArrayRef {
    let micros = times.map(|time| time.map(|time| time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone(UTC))
}
