//! Values of many entities at one moment: all customers of a page, say, whose features are to be summarised.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use finrank_model::{
    Attributes,
    features::{Aggregate, Entity},
};
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};

use super::{
    Asked, FeatureValue,
    plan::FeaturePlan,
    read::{SourceRow, Values},
    sql,
};
use crate::{Result, Store, StoreError, records};

/// Where a row's values begin, behind its id and the time of the newest event.
const FIRST_VALUE: usize = 2;

/// One of many entities, in the order of their ids.
#[derive(Clone, Copy, Debug)]
pub struct InRange<'a> {
    /// The customer's or product's id.
    pub id: &'a str,
    /// A customer's newest statement, if whoever asks has just read it for other ends; if not, it is read.
    pub believed: Option<Believed<'a>>,
}

/// What is believed of a customer, by the view `customers`.
#[derive(Clone, Copy, Debug)]
pub struct Believed<'a> {
    /// What is stated.
    pub attributes: &'a Attributes,
    /// Since when it is true.
    pub event_time: DateTime<Utc>,
}

impl FeaturePlan {
    /// Reads values of many entities at one moment, as [`FeaturePlan::read`] does: their events in one pass over all that
    /// lies between the first id and the last, which is several times as fast if that is little more than what is asked,
    /// and their attributes not at all where they are known. The ids are in ascending order, and what was learned before
    /// `known_at` could be seen when `believed` was read.
    ///
    /// # Errors
    /// As [`FeaturePlan::read`].
    pub async fn read_range(
        &self,
        store: &Store,
        range: &[InRange<'_>],
        as_of: DateTime<Utc>,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<Vec<FeatureValue>>> {
        let (Some(first), Some(last)) = (range.first(), range.last()) else {
            return Ok(Vec::new());
        };
        let mut believed: Vec<Option<Believed<'_>>> = range.iter().map(|entity| entity.believed).collect();
        let mut apart = HashMap::new();
        if !self.recipes.attributes.is_empty() {
            self.keep_what_was_believed(store, range, &mut believed, [as_of, known_at]).await?;
            apart = self.read_apart(store, range, &believed, [as_of, known_at]).await?;
        }
        let events = self.events_between(store, [first.id, last.id], [as_of, known_at]).await?;
        let mut events = events.iter().peekable();
        let mut rows = Vec::with_capacity(range.len());
        for (place, entity) in range.iter().enumerate() {
            while events.next_if(|(id, _)| id.as_str() < entity.id).is_some() {}
            let happened = events.next_if(|(id, _)| id == entity.id);
            if let Some(row) = apart.remove(&place) {
                rows.push(row);
                continue;
            }
            let stated = match believed[place] {
                Some(Believed { attributes, event_time }) => SourceRow {
                    event_time: Some(event_time),
                    values: Values::Stated(attributes, &self.recipes.attributes),
                },
                None => SourceRow::empty(),
            };
            let happened = match happened {
                Some((_, row)) => self.happened(row)?,
                None => SourceRow::empty(),
            };
            let sources = [stated, happened];
            let values = self.columns.iter().map(|column| column.value(&sources, entity.id, as_of));
            rows.push(values.collect::<Result<_>>()?);
        }
        Ok(rows)
    }

    /// Leaves out what is believed now, but may not have been believed at the moment. A statement that was true and known
    /// by then, of an entity of which nothing was learned since, was the newest one by then, too.
    async fn keep_what_was_believed(
        &self,
        store: &Store,
        range: &[InRange<'_>],
        believed: &mut [Option<Believed<'_>>],
        [as_of, known_at]: [DateTime<Utc>; 2],
    ) -> Result<()> {
        if self.entity() != Entity::Customer {
            believed.fill(None);
            return Ok(());
        }
        let (first, last) = (range[0].id, range[range.len() - 1].id);
        let changed = records::learned_of_since(store, known_at, [first, last]).await?;
        for (entity, believed) in range.iter().zip(believed) {
            *believed = believed.filter(|now| now.event_time <= as_of && !changed.contains(entity.id));
        }
        Ok(())
    }

    /// Rows of the entities of whom it is not known what was believed, by their places.
    async fn read_apart(
        &self,
        store: &Store,
        range: &[InRange<'_>],
        believed: &[Option<Believed<'_>>],
        [as_of, known_at]: [DateTime<Utc>; 2],
    ) -> Result<HashMap<usize, Vec<FeatureValue>>> {
        let places: Vec<usize> = (0..range.len()).filter(|&place| believed[place].is_none()).collect();
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        let asked = |&place: &usize| Asked { id: range[place].id.to_owned(), as_of, known_at };
        let rows = self.read(store, &places.iter().map(asked).collect::<Vec<_>>()).await?;
        Ok(places.into_iter().zip(rows).collect())
    }

    /// A row of values over events for each entity between two ids that has any, in the order of their ids.
    async fn events_between(
        &self,
        store: &Store,
        [first, last]: [&str; 2],
        [as_of, known_at]: [DateTime<Utc>; 2],
    ) -> Result<Vec<(String, PgRow)>> {
        if !self.recipes.has_events() {
            return Ok(Vec::new());
        }
        let mut transaction = store.pool().begin().await?;
        // Whoever reads whole ranges shares them out among workers. Parallel to itself, a scan loses the order of the
        // index, and a sort to get it back takes more than all the rest.
        sqlx::raw_sql("set local max_parallel_workers_per_gather = 0").execute(&mut *transaction).await?;
        // Compiled from checked definitions; ids and moments are bound.
        let rows = sqlx::query(AssertSqlSafe(sql::range_statement(self.entity(), &self.recipes)))
            .bind(as_of)
            .bind(known_at)
            .bind(first)
            .bind(last)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        rows.into_iter().map(|row| Ok((row.try_get(0)?, row))).collect()
    }

    fn happened(&self, row: &PgRow) -> Result<SourceRow<'static>> {
        let value = |(place, aggregate)| match aggregate {
            Aggregate::Amount => {
                let sum: &str = row.try_get(FIRST_VALUE + place)?;
                sum.parse().map(Some).map_err(|_| self.overflow(place))
            }
            Aggregate::Count | Aggregate::Quantity | Aggregate::Distinct | Aggregate::LatestTime => {
                Ok(row.try_get(FIRST_VALUE + place)?)
            }
        };
        let values = self.recipes.aggregates().enumerate().map(value).collect::<Result<_>>()?;
        Ok(SourceRow { event_time: row.try_get(1)?, values: Values::Whole(values) })
    }

    fn overflow(&self, place: usize) -> StoreError {
        let of_events = |column: &&super::plan::Column| column.is_over_events_at(place);
        let feature = self.columns.iter().find(of_events).map(|column| column.reference.to_string());
        StoreError::FeatureOverflow { feature: feature.unwrap_or_default() }
    }
}
