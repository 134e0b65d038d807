//! The features that a user tower reads beside attributes and holdings: training asks for them as of each example, serving
//! as of the moment that it computes, and both get them here.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_model::{
    AttributeValue, InvalidField, UserRecord,
    features::{Definitions, ExpiredPolicy, FeatureRef, FeatureRow, FeatureSet, UnusableFeatures},
};
use sqlx::PgExecutor;

use super::{Asked, FeaturePlan, FeatureStatus, FeatureValue, InRange, Value};
use crate::{Result, Store};

/// A model's feature set, compiled by definitions that give the same values as those that it was trained by.
#[derive(Clone, Debug)]
pub struct TowerFeatures {
    set: Arc<FeatureSet>,
    plan: FeaturePlan,
}

impl TowerFeatures {
    /// Compiles a set. A value that is older than its view allows is not known, whatever the view's policy: a tower has
    /// no way to say that it is old.
    ///
    /// # Errors
    /// Names what the definitions do not declare any more, declare otherwise, or do not serve for the set's purpose.
    pub fn compile(definitions: &Definitions, set: Arc<FeatureSet>) -> Result<Self, UnusableFeatures> {
        set.check_against(definitions)?;
        let features: Vec<FeatureRef> = set.names().cloned().collect();
        let plan = FeaturePlan::compile(definitions, &features, &set.purpose, Some(ExpiredPolicy::Null));
        let plan = plan.map_err(|invalid: InvalidField| UnusableFeatures(vec![invalid]))?;
        Ok(Self { set, plan })
    }

    /// What rows are of.
    pub fn set(&self) -> &Arc<FeatureSet> {
        &self.set
    }

    /// A row for each one asked, in their order.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn read(&self, store: &Store, asked: &[Asked]) -> Result<Vec<FeatureRow>> {
        let rows = self.plan.read(store, asked).await?;
        Ok(rows.iter().zip(asked).map(|(values, asked)| self.row(values, asked.as_of)).collect())
    }

    /// Completes records, each with what was known of it at `moment`.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn complete(
        &self,
        view: impl PgExecutor<'_>,
        users: &mut [UserRecord],
        moment: DateTime<Utc>,
    ) -> Result<()> {
        let asked = |user: &UserRecord| Asked {
            id: user.user_id.as_str().to_owned(),
            as_of: moment,
            known_at: moment,
        };
        let asked: Vec<Asked> = users.iter().map(asked).collect();
        let rows = self.plan.read_within(view, &asked).await?;
        self.fill(users, &rows, moment);
        Ok(())
    }

    /// The same for a page of customers in the order of their ids, which is read in one pass; the page has all that there
    /// are between its first and its last, or nearly.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn complete_page(
        &self,
        store: &Store,
        users: &mut [UserRecord],
        moment: DateTime<Utc>,
    ) -> Result<()> {
        let range: Vec<InRange<'_>> =
            users.iter().map(|user| InRange { id: user.user_id.as_str(), believed: None }).collect();
        let rows = self.plan.read_range(store, &range, moment, moment).await?;
        self.fill(users, &rows, moment);
        Ok(())
    }

    fn fill(&self, users: &mut [UserRecord], rows: &[Vec<FeatureValue>], moment: DateTime<Utc>) {
        for (user, values) in users.iter_mut().zip(rows) {
            user.features = self.row(values, moment);
        }
    }

    fn row(&self, values: &[FeatureValue], as_of: DateTime<Utc>) -> FeatureRow {
        self.set.row(values.iter().map(|value| known(value, as_of)))
    }
}

/// A value as a tower reads it: an amount in its minor unit, a moment as the days that have passed since.
fn known(value: &FeatureValue, as_of: DateTime<Utc>) -> Option<AttributeValue> {
    if value.status != FeatureStatus::Present {
        return None;
    }
    Some(match value.value.as_ref()? {
        Value::Number(number) => AttributeValue::Number(*number),
        Value::Text(text) => AttributeValue::Text(text.clone()),
        Value::Flag(flag) => AttributeValue::Flag(*flag),
        Value::Count(count) => AttributeValue::Number(*count as f64),
        Value::Money { minor_units, .. } => AttributeValue::Number(*minor_units as f64),
        Value::Time(time) => AttributeValue::Number((as_of - *time).as_seconds_f64() / SECONDS_A_DAY),
    })
}

/// So that what a model reads of a moment is a number of a usual size.
const SECONDS_A_DAY: f64 = 86_400.0;
