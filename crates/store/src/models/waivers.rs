//! Waivers: somebody asked, somebody else agreed, and why, that a gate need not be passed, until a day.

use chrono::{DateTime, Utc};
use finrank_model::{InvalidField, ModelVersion};
use serde::Serialize;

use super::{checks::named, parse_version};
use crate::{Result, Store, StoreError};

/// A waiver to be granted.
#[derive(Clone, Debug)]
pub struct NewWaiver<'a> {
    /// For which model.
    pub model_version: &'a ModelVersion,
    /// The gate as its result calls it.
    pub gate: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Who wants it.
    pub asked_by: &'a str,
    /// Who agrees; another one.
    pub approved_by: &'a str,
    /// From when on it does not count any more.
    pub expires_at: DateTime<Utc>,
}

/// A waiver as recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waiver {
    /// Its number.
    pub waiver_id: i64,
    /// For which model.
    pub model_version: ModelVersion,
    /// The gate as its result calls it.
    pub gate: String,
    /// Why.
    pub reason: String,
    /// Who wanted it.
    pub asked_by: String,
    /// Who agreed.
    pub approved_by: String,
    /// When.
    pub granted_at: DateTime<Utc>,
    /// From when on it does not count any more.
    pub expires_at: DateTime<Utc>,
}

impl Waiver {
    /// Whether it counts when `promoter` promotes at `now`: nobody waives a gate for themselves.
    pub fn counts(&self, promoter: &str, now: DateTime<Utc>) -> bool {
        now < self.expires_at && !same_name(&self.approved_by, promoter)
    }
}

/// Records a waiver.
///
/// # Errors
/// Names what is missing: a reason, a second name, a later moment; or the model version is not registered.
pub async fn grant(store: &Store, waiver: &NewWaiver<'_>) -> Result<i64> {
    let NewWaiver { model_version, gate, reason, asked_by, approved_by, expires_at } = *waiver;
    for (field, given) in
        [("gate", gate), ("reason", reason), ("asked_by", asked_by), ("approved_by", approved_by)]
    {
        named(field, given)?;
    }
    if same_name(asked_by, approved_by) {
        return Err(InvalidField::new("approved_by", "is the one who asks; a second name is needed").into());
    }
    if expires_at <= Utc::now() {
        return Err(InvalidField::new("expires_at", "is over already").into());
    }
    if super::get(store, model_version).await?.is_none() {
        return Err(StoreError::UnknownModel { model_version: model_version.to_string() });
    }
    let waiver_id = sqlx::query_scalar!(
        "insert into gate_waivers (model_version, gate, reason, asked_by, approved_by, expires_at)
         values ($1, $2, $3, $4, $5, $6)
         returning waiver_id",
        model_version.as_str(),
        gate,
        reason.trim(),
        asked_by.trim(),
        approved_by.trim(),
        expires_at,
    )
    .fetch_one(store.pool())
    .await?;
    Ok(waiver_id)
}

/// Every waiver of a model version, expired ones included, the newest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn waivers_of(store: &Store, version: &ModelVersion) -> Result<Vec<Waiver>> {
    let rows = sqlx::query!(
        "select waiver_id, model_version, gate, reason, asked_by, approved_by, granted_at, expires_at
         from gate_waivers
         where model_version = $1
         order by waiver_id desc",
        version.as_str(),
    )
    .fetch_all(store.pool())
    .await?;
    let waivers = rows.into_iter().map(|row| {
        Ok(Waiver {
            waiver_id: row.waiver_id,
            model_version: parse_version(row.model_version)?,
            gate: row.gate,
            reason: row.reason,
            asked_by: row.asked_by,
            approved_by: row.approved_by,
            granted_at: row.granted_at,
            expires_at: row.expires_at,
        })
    });
    waivers.collect()
}

fn same_name(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}
