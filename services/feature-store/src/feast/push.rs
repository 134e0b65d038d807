//! One row of a view as Feast's clients write it: columns by name, as texts or as values.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDateTime, Utc};
use finrank_contracts::feast::types::{self, value::Val};
use finrank_model::{
    Attributes, InvalidField, ProductId, UserId,
    features::{Definitions, Entity, Feature, FeatureView, Recipe, Source},
};

use super::{online::key_of, values};
use crate::{
    Result,
    ingest::{Overlay, Whose},
};

/// The column of the time since when the row is true; Feast's clients call it so unless told otherwise.
const EVENT_TIMESTAMP: &str = "event_timestamp";

/// The columns of one row.
pub(super) struct Columns {
    /// The field that they stand in.
    field: &'static str,
    by_name: BTreeMap<String, Column>,
}

/// What a column holds.
enum Column {
    Text(String),
    Value(types::Value),
}

/// Refuses a row that is not to be served.
pub(super) fn check_destination(to: &str) -> Result<()> {
    let reason = match to {
        "online" | "online_and_offline" => return Ok(()),
        "offline" => {
            "is offline: what is written is served too, and so it can only be online_and_offline".to_owned()
        }
        other => format!("is {other:?}, not online or online_and_offline"),
    };
    Err(InvalidField::new("to", reason).into())
}

/// A row's columns, which stand in one of two fields.
pub(super) fn columns(
    texts: HashMap<String, String>,
    values: HashMap<String, types::Value>,
) -> Result<Columns, InvalidField> {
    match (texts.is_empty(), values.is_empty()) {
        (false, false) => Err(InvalidField::new("typed_features", "is set beside features; one is enough")),
        (true, true) => Err(InvalidField::new("features", "is empty, and so is typed_features")),
        (false, true) => {
            let by_name = texts.into_iter().map(|(name, text)| (name, Column::Text(text)));
            Ok(Columns { field: "features", by_name: by_name.collect() })
        }
        (true, false) => {
            let by_name = values.into_iter().map(|(name, value)| (name, Column::Value(value)));
            Ok(Columns { field: "typed_features", by_name: by_name.collect() })
        }
    }
}

/// The view of this name, if rows of it can be written.
pub(super) fn writable_view<'d>(
    definitions: &'d Definitions,
    field: &str,
    name: &str,
) -> Result<&'d FeatureView, InvalidField> {
    let invalid = |reason: String| InvalidField::new(field, reason);
    let view =
        definitions.views.get(name).ok_or_else(|| invalid(format!("is {name:?}, which is not declared")))?;
    match view.source {
        Source::Attributes => Ok(view),
        Source::Events => Err(invalid(format!(
            "is {name}, which is made of events; write those by finrank.feature.v1.FeatureStoreService/WriteEvents"
        ))),
    }
}

/// What a row of a view states.
pub(super) fn overlay(view: &FeatureView, mut columns: Columns) -> Result<Overlay, InvalidField> {
    let key = key_of(view.entity);
    let id = columns.take(key, |column| match column {
        Column::Text(text) => Ok(text),
        Column::Value(value) => values::id(&value),
    })?;
    let refused = |field: &str, reason| InvalidField::new(format!("{field}[{key}]"), reason);
    let whose = match view.entity {
        Entity::Customer => UserId::parse(id).map(Whose::Customer),
        Entity::Product => ProductId::parse(id).map(Whose::Product),
    };
    let whose = whose.map_err(|invalid| refused(columns.field, invalid.reason))?;
    let event_time = columns.take(EVENT_TIMESTAMP, event_time)?;
    let mut attributes = BTreeMap::new();
    let Columns { field, by_name } = columns;
    for (name, column) in by_name {
        let at = format!("{field}[{name}]");
        let Some(Feature { recipe: Recipe::Attribute(attribute), value_type, .. }) = view.feature(&name)
        else {
            return Err(InvalidField::new(at, format!("is not a feature of {}", view.name)));
        };
        let value = match column {
            Column::Text(text) => values::attribute_from_text(text, value_type).map(Some),
            Column::Value(value) => values::attribute(value, value_type),
        };
        let value = value.map_err(|reason| InvalidField::new(&at, reason))?;
        let alone = value.clone().map(|value| (attribute.to_string(), value));
        Attributes::new(alone).map_err(|invalid| InvalidField::new(&at, invalid.reason))?;
        if attributes.insert(attribute.clone(), value).is_some() {
            let reason = format!("states the attribute {attribute}, as another column does");
            return Err(InvalidField::new(at, reason));
        }
    }
    if attributes.is_empty() {
        return Err(InvalidField::new(field, format!("has no feature of {}", view.name)));
    }
    Ok(Overlay { whose, event_time, attributes })
}

impl Columns {
    /// Takes out a column that must be there.
    fn take<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(Column) -> Result<T, String>,
    ) -> Result<T, InvalidField> {
        let column = self.by_name.remove(name).ok_or_else(|| "is missing".to_owned());
        column.and_then(parse).map_err(|reason| InvalidField::new(format!("{}[{name}]", self.field), reason))
    }
}

/// A moment: RFC 3339, the same without an offset, which is UTC then, or seconds since 1970.
fn event_time(column: Column) -> Result<DateTime<Utc>, String> {
    let time = match column {
        Column::Text(text) | Column::Value(types::Value { val: Some(Val::StringVal(text)) }) => {
            let with_offset = DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc());
            let bare = || NaiveDateTime::parse_from_str(&text.replacen('T', " ", 1), "%Y-%m-%d %H:%M:%S%.f");
            with_offset
                .or_else(|_| bare().map(|time| time.and_utc()))
                .map_err(|_| format!("is {text:?}, not a time as 2026-01-31T12:00:00Z"))?
        }
        Column::Value(types::Value {
            val: Some(Val::UnixTimestampVal(seconds) | Val::Int64Val(seconds)),
        }) => {
            DateTime::from_timestamp(seconds, 0).ok_or_else(|| format!("is {seconds}, which is no time"))?
        }
        Column::Value(types::Value { val: Some(Val::ZonedTimestampVal(zoned)) }) => {
            let seconds = zoned.unix_timestamp;
            DateTime::from_timestamp(seconds, 0).ok_or_else(|| format!("is {seconds}, which is no time"))?
        }
        Column::Value(_) => return Err("is not a unix_timestamp_val or string_val".to_owned()),
    };
    let time = finrank_model::event_time(time).map_err(|invalid| invalid.reason)?;
    // As fine as Postgres keeps it.
    Ok(DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time))
}
