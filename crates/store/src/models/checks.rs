//! What a model version's gates said, and when: a promotion rests on one such check.

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{InvalidField, ModelVersion, Sha256Digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parse_version;
use crate::{Result, Store, StoreError};

/// How one gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What was measured is within the bound.
    Pass,
    /// It is not.
    Fail,
    /// Too little is known to say; that is no pass.
    Insufficient,
    /// There is nothing to measure, such as a difference to a model that does not exist.
    NotApplicable,
}

impl Verdict {
    /// Whether it stands against a promotion.
    pub fn stands_against(self) -> bool {
        matches!(self, Self::Fail | Self::Insufficient)
    }

    /// The printed form, for example `insufficient`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Insufficient => "insufficient",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// What one gate said of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// Which gate, and of what: `quality`, or `selection-ratio/loan/age/under 30`. A waiver names it so.
    pub gate: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was measured, in the gate's unit; absent where nothing could be.
    pub measured: Option<f64>,
    /// What the policy allows: the most, or of a ratio or a difference in quality the least.
    pub bound: Option<f64>,
    /// The metric, the group, and by how much, in words.
    pub explanation: String,
    /// Whether a waiver may stand in for it.
    pub waivable: bool,
}

/// A check to be recorded.
#[derive(Clone, Debug)]
pub struct NewCheck<'a> {
    /// Whose gates.
    pub model_version: &'a ModelVersion,
    /// The bundle that was measured.
    pub bundle: Sha256Digest,
    /// What it was compared with; absent when nothing was served.
    pub compared_with: Option<&'a ModelVersion>,
    /// The policy's file.
    pub policy: &'a str,
    /// What each gate said.
    pub results: &'a [GateResult],
    /// What was measured, for the model card.
    pub tables: Value,
    /// Who asked for it.
    pub checked_by: &'a str,
    /// For how long it may be promoted on.
    pub valid_for: TimeDelta,
}

/// A check as recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateCheck {
    /// Its number.
    pub check_id: i64,
    /// Whose gates.
    pub model_version: ModelVersion,
    /// The bundle that was measured.
    pub bundle: Sha256Digest,
    /// What it was compared with; absent when nothing was served.
    pub compared_with: Option<ModelVersion>,
    /// The policy's SHA-256.
    pub policy: Sha256Digest,
    /// What each gate said.
    pub results: Vec<GateResult>,
    /// What was measured, for the model card.
    pub tables: Value,
    /// Who asked for it.
    pub checked_by: String,
    /// When.
    pub checked_at: DateTime<Utc>,
    /// Until when it may be promoted on.
    pub valid_until: DateTime<Utc>,
}

impl GateCheck {
    /// What stands against a promotion.
    pub fn against(&self) -> impl Iterator<Item = &GateResult> {
        self.results.iter().filter(|result| result.verdict.stands_against())
    }
}

/// Records a check, with its policy, and returns its number.
///
/// # Errors
/// When nobody is named, or Postgres does not answer.
pub async fn record_check(store: &Store, check: &NewCheck<'_>) -> Result<i64> {
    named("checked_by", check.checked_by)?;
    let policy = Sha256Digest::of(check.policy.as_bytes()).to_string();
    let mut transaction = store.pool().begin().await?;
    sqlx::query!(
        "insert into promotion_policies (policy_sha256, policy) values ($1, $2) on conflict do nothing",
        policy,
        check.policy,
    )
    .execute(&mut *transaction)
    .await?;
    let check_id = sqlx::query_scalar!(
        "insert into gate_checks
             (model_version, bundle_sha256, compared_with, policy_sha256, results, tables, checked_by, valid_until)
         values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))
         returning check_id",
        check.model_version.as_str(),
        check.bundle.to_string(),
        check.compared_with.map(ModelVersion::as_str),
        policy,
        serde_json::to_value(check.results).map_err(StoreError::Json)?,
        check.tables,
        check.checked_by.trim(),
        check.valid_for.as_seconds_f64(),
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(check_id)
}

/// The checks of a model version, the newest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn checks_of(store: &Store, version: &ModelVersion) -> Result<Vec<GateCheck>> {
    let rows = sqlx::query_as!(
        CheckRow,
        "select check_id, model_version, bundle_sha256, compared_with, policy_sha256, results, tables, checked_by,
                checked_at, valid_until
         from gate_checks
         where model_version = $1
         order by check_id desc",
        version.as_str(),
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter().map(CheckRow::parse).collect()
}

/// The newest check of a model version, if there is one.
///
/// # Errors
/// When Postgres does not answer.
pub async fn newest_check(store: &Store, version: &ModelVersion) -> Result<Option<GateCheck>> {
    let row = sqlx::query_as!(
        CheckRow,
        "select check_id, model_version, bundle_sha256, compared_with, policy_sha256, results, tables, checked_by,
                checked_at, valid_until
         from gate_checks
         where model_version = $1
         order by check_id desc
         limit 1",
        version.as_str(),
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(CheckRow::parse).transpose()
}

/// A name or a reason that somebody gave.
pub(super) fn named(field: &'static str, given: &str) -> Result<(), InvalidField> {
    match given.trim() {
        "" => Err(InvalidField::new(field, "is empty")),
        given if given.chars().any(char::is_control) => {
            Err(InvalidField::new(field, "holds a control character"))
        }
        _ => Ok(()),
    }
}

struct CheckRow {
    check_id: i64,
    model_version: String,
    bundle_sha256: String,
    compared_with: Option<String>,
    policy_sha256: String,
    results: Value,
    tables: Value,
    checked_by: String,
    checked_at: DateTime<Utc>,
    valid_until: DateTime<Utc>,
}

impl CheckRow {
    fn parse(self) -> Result<GateCheck> {
        let invalid = |source| StoreError::StoredRow { table: "gate_checks", source };
        Ok(GateCheck {
            check_id: self.check_id,
            model_version: parse_version(self.model_version)?,
            bundle: Sha256Digest::parse(&self.bundle_sha256).map_err(invalid)?,
            compared_with: self.compared_with.map(parse_version).transpose()?,
            policy: Sha256Digest::parse(&self.policy_sha256).map_err(invalid)?,
            results: serde_json::from_value(self.results).map_err(StoreError::Json)?,
            tables: self.tables,
            checked_by: self.checked_by,
            checked_at: self.checked_at,
            valid_until: self.valid_until,
        })
    }
}
