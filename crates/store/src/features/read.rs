//! Asking the compiled statement, and what its values mean.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{
    AttributeName, AttributeValue, Attributes,
    features::{ExpiredPolicy, FeatureRef, Source, ValueType},
};
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, PgExecutor, Row, postgres::PgRow};

use super::plan::{Column, FeaturePlan};
use crate::{Result, Store, StoreError};

/// The column that says how long a row's values last.
const LASTS_UNTIL: usize = 4;

/// Whose values, when, and by whose knowledge.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The customer's or product's id; one that was never heard of has no values.
    pub id: String,
    /// The moment whose values are wanted, itself included.
    pub as_of: DateTime<Utc>,
    /// Statements learned before this moment count.
    pub known_at: DateTime<Utc>,
}

/// What is known of one feature.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureValue {
    /// How to take it.
    pub status: FeatureStatus,
    /// Since when the newest statement is true that its source has of the entity.
    pub event_time: Option<DateTime<Utc>>,
    /// Absent unless the status is `Present`, or `OutsideMaxAge` under the policy `Flag`.
    pub value: Option<Value>,
}

/// How to take a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureStatus {
    /// It is there.
    Present,
    /// The entity is known, this of it is not.
    Null,
    /// The source has no statement of the entity.
    NotFound,
    /// The newest statement is older than the view's time to live.
    OutsideMaxAge,
    /// The purpose does not allow it.
    Denied,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// A category or free text.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// How many.
    Count(i64),
    /// An amount.
    Money {
        /// ISO 4217.
        currency_code: String,
        /// In the minor unit.
        minor_units: i64,
    },
    /// A moment.
    Time(DateTime<Utc>),
}

/// An entity's values, and how long they last.
#[derive(Clone, Debug, PartialEq)]
pub struct LastingRow {
    /// A value for each feature, in their order; shared with whoever keeps the row.
    pub values: Arc<[FeatureValue]>,
    /// The moment from which on time alone may change them, be it that an event leaves its window, that a value becomes
    /// too old, or that a statement made ahead of its time comes true. Before it they stay as they are unless something
    /// is learned of the entity. Absent if that is for ever.
    pub until: Option<DateTime<Utc>>,
}

impl FeaturePlan {
    /// Reads values: a row for each entity asked, in their order, with a value for each feature, in theirs. One round
    /// trip.
    ///
    /// # Errors
    /// When Postgres does not answer; when a value is too old and the policy is to refuse such requests; when a sum
    /// has outgrown 64 bits.
    pub async fn read(&self, store: &Store, asked: &[Asked]) -> Result<Vec<Vec<FeatureValue>>> {
        let rows = self.ask(store, asked, false).await?;
        rows.iter().zip(asked).map(|(row, asked)| self.values(row, &asked.id, asked.as_of)).collect()
    }

    /// Reads values as [`FeaturePlan::read`] does, by the pool or within a transaction.
    ///
    /// # Errors
    /// As [`FeaturePlan::read`].
    pub async fn read_within(
        &self,
        view: impl PgExecutor<'_>,
        asked: &[Asked],
    ) -> Result<Vec<Vec<FeatureValue>>> {
        let (ids, as_of, known_at) = columns(asked);
        let query =
            sqlx::query(AssertSqlSafe(self.sql.clone())).bind(ids).bind(as_of).bind(known_at).bind(false);
        let rows = query.fetch_all(view).await?;
        rows.iter().zip(asked).map(|(row, asked)| self.values(row, &asked.id, asked.as_of)).collect()
    }

    /// Reads values as [`FeaturePlan::read`] does, and how long they last.
    ///
    /// # Errors
    /// As [`FeaturePlan::read`].
    pub async fn read_lasting(&self, store: &Store, asked: &[Asked]) -> Result<Vec<LastingRow>> {
        let rows = self.ask(store, asked, true).await?;
        let lasting = |(row, asked): (&PgRow, &Asked)| {
            let values: Arc<[FeatureValue]> = self.values(row, &asked.id, asked.as_of)?.into();
            let next: Option<DateTime<Utc>> = row.try_get(LASTS_UNTIL)?;
            let too_old = self.columns.iter().zip(&*values).filter_map(|(column, value)| {
                let too_old = value.event_time?.checked_add_signed(TimeDelta::from_std(column.ttl?).ok()?)?;
                (too_old >= asked.as_of).then_some(too_old)
            });
            Ok(LastingRow { until: too_old.chain(next).min(), values })
        };
        rows.iter().zip(asked).map(lasting).collect()
    }

    async fn ask(&self, store: &Store, asked: &[Asked], lasting: bool) -> Result<Vec<PgRow>> {
        let (ids, as_of, known_at) = columns(asked);
        let rows = store.ask(|pool| {
            let (ids, as_of, known_at) = (ids.as_slice(), as_of.as_slice(), known_at.as_slice());
            // Compiled from checked definitions; ids and moments are bound.
            let query = sqlx::query(AssertSqlSafe(self.sql.clone()))
                .bind(ids)
                .bind(as_of)
                .bind(known_at)
                .bind(lasting);
            async move { query.fetch_all(&pool).await }
        });
        Ok(rows.await?)
    }

    fn values(&self, row: &PgRow, id: &str, as_of: DateTime<Utc>) -> Result<Vec<FeatureValue>> {
        let sources = [SourceRow::of(row, 0)?, SourceRow::of(row, 2)?];
        self.columns.iter().map(|column| column.value(&sources, id, as_of)).collect()
    }
}

/// What is asked, column by column, as Postgres takes it.
fn columns(asked: &[Asked]) -> (Vec<&str>, Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) {
    let ids = asked.iter().map(|asked| asked.id.as_str()).collect();
    let as_of = asked.iter().map(|asked| asked.as_of).collect();
    (ids, as_of, asked.iter().map(|asked| asked.known_at).collect())
}

/// What one source has of one entity.
pub(super) struct SourceRow<'a> {
    /// Absent if it has no statement of it.
    pub(super) event_time: Option<DateTime<Utc>>,
    pub(super) values: Values<'a>,
}

/// A source's values in the order of their recipes, as they were read.
pub(super) enum Values<'a> {
    Json(Vec<Json>),
    /// Of a statement, those with these names.
    Stated(&'a Attributes, &'a [AttributeName]),
    /// Of events.
    Whole(Vec<Option<i64>>),
}

impl SourceRow<'_> {
    /// Of a source that is not asked, or knows nothing.
    pub(super) fn empty() -> Self {
        Self { event_time: None, values: Values::Whole(Vec::new()) }
    }

    fn of(row: &PgRow, column: usize) -> Result<Self> {
        let values: Option<sqlx::types::Json<Vec<Json>>> = row.try_get(column + 1)?;
        let values = Values::Json(values.map(|json| json.0).unwrap_or_default());
        Ok(Self { event_time: row.try_get(column)?, values })
    }
}

impl Values<'_> {
    fn get(&self, index: usize) -> Option<Cow<'_, Json>> {
        match self {
            Self::Json(values) => values.get(index).map(Cow::Borrowed),
            Self::Whole(values) => values.get(index)?.map(|whole| Cow::Owned(Json::from(whole))),
            Self::Stated(attributes, names) => {
                let json = match attributes.get(names.get(index)?.as_str())? {
                    AttributeValue::Number(number) => Json::from(*number),
                    AttributeValue::Flag(flag) => Json::from(*flag),
                    AttributeValue::Text(text) => Json::from(text.as_str()),
                };
                Some(Cow::Owned(json))
            }
        }
    }
}

impl Column {
    pub(super) fn value(
        &self,
        sources: &[SourceRow<'_>; 2],
        id: &str,
        as_of: DateTime<Utc>,
    ) -> Result<FeatureValue> {
        let nothing = |status| FeatureValue { status, event_time: None, value: None };
        let Some(place) = self.place else {
            return Ok(nothing(FeatureStatus::Denied));
        };
        let source = &sources[match place.source {
            Source::Attributes => 0,
            Source::Events => 1,
        }];
        let Some(event_time) = source.event_time else {
            return Ok(nothing(FeatureStatus::NotFound));
        };
        let value = match source.values.get(place.index) {
            None => None,
            Some(json) if json.is_null() => None,
            Some(json) => typed(&json, &self.value_type, &self.reference)?,
        };
        let age = as_of - event_time;
        let too_old = self.ttl.is_some_and(|ttl| age.to_std().is_ok_and(|age| age > ttl));
        let (status, value) = match (too_old, self.expired) {
            (true, ExpiredPolicy::Reject) => {
                return Err(StoreError::FeatureExpired {
                    feature: self.reference.to_string(),
                    id: id.to_owned(),
                    event_time,
                });
            }
            (true, ExpiredPolicy::Null) => (FeatureStatus::OutsideMaxAge, None),
            (true, ExpiredPolicy::Flag) => (FeatureStatus::OutsideMaxAge, value),
            (false, _) if value.is_none() => (FeatureStatus::Null, None),
            (false, _) => (FeatureStatus::Present, value),
        };
        Ok(FeatureValue { status, event_time: Some(event_time), value })
    }
}

/// A value of its feature's type. An attribute that someone wrote with another type is as good as none.
fn typed(json: &Json, value_type: &ValueType, feature: &FeatureRef) -> Result<Option<Value>> {
    let whole = || json.as_i64().ok_or_else(|| StoreError::FeatureOverflow { feature: feature.to_string() });
    Ok(match value_type {
        ValueType::Number => json.as_f64().map(Value::Number),
        ValueType::Text => json.as_str().map(|text| Value::Text(text.to_owned())),
        ValueType::Flag => json.as_bool().map(Value::Flag),
        ValueType::Count => Some(Value::Count(whole()?)),
        ValueType::Money(currency) => {
            Some(Value::Money { currency_code: currency.clone(), minor_units: whole()? })
        }
        ValueType::Time => DateTime::from_timestamp_micros(whole()?).map(Value::Time),
    })
}
