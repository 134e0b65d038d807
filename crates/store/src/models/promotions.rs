//! Which version is served: a history of promotions and rollbacks, of which the last row counts.
//!
//! Whoever promotes, command line or server, comes through [`promote`], so that there is one place that decides what may
//! be served: what passed its gates or was waived, measured lately, by the policy in force, beside what is served now.

use chrono::{DateTime, Utc};
use finrank_model::{ModelVersion, Sha256Digest};
use serde::Serialize;
use sqlx::{Postgres, Transaction};

use super::{
    checks::named,
    parse_version,
    standing::{Standing, Wanted, Wholeness, alone, serving},
};
use crate::{Result, Store, StoreError};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A version passed its gates.
    Promote,
    /// The version before was brought back.
    Rollback,
}

/// A row of the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Promotion {
    /// Its number.
    pub promotion_id: i64,
    /// What is served from then on.
    pub model_version: ModelVersion,
    /// What was done.
    pub action: Action,
    /// The check that it rests on; absent for a rollback.
    pub check_id: Option<i64>,
    /// The policy of that check.
    pub policy: Option<Sha256Digest>,
    /// The waivers that counted.
    pub waiver_ids: Vec<i64>,
    /// By whom.
    pub promoted_by: String,
    /// Why; empty when nothing was said.
    pub reason: String,
    /// When.
    pub promoted_at: DateTime<Utc>,
}

/// Who wants what to be served.
#[derive(Clone, Copy, Debug)]
pub struct PromotionRequest<'a> {
    /// The version to be served.
    pub model_version: &'a ModelVersion,
    /// The policy in force.
    pub policy: Sha256Digest,
    /// By whom.
    pub promoted_by: &'a str,
    /// Why; may be empty.
    pub reason: &'a str,
}

/// Makes a version the one that is served, if nothing stands against it.
///
/// # Errors
/// [`StoreError::PromotionRefused`] with everything that does.
pub async fn promote(store: &Store, request: &PromotionRequest<'_>) -> Result<Promotion> {
    named("promoted_by", request.promoted_by)?;
    let PromotionRequest { model_version: version, policy, promoted_by, reason } = *request;
    let mut transaction = alone(store).await?;
    let serving = serving(&mut transaction).await?;
    let wanted = Wanted { version, policy, by: promoted_by };
    let Standing { check, waiver_ids, against: mut reasons } =
        Standing::of(store, wanted, serving.as_ref()).await?;
    reasons.extend(not_whole(&mut transaction, version).await?);
    let (true, Some(check)) = (reasons.is_empty(), check) else {
        return Err(StoreError::PromotionRefused { model_version: version.to_string(), reasons });
    };
    let row = NewRow {
        version,
        action: "promote",
        check_id: Some(check.check_id),
        waiver_ids: &waiver_ids,
        by: promoted_by,
        reason,
    };
    let promotion_id = row.insert(&mut transaction).await?;
    transaction.commit().await?;
    read(store, promotion_id).await
}

/// Brings back the version that was served when the serving one was promoted. Takes effect at once: its generation is
/// kept.
///
/// # Errors
/// [`StoreError::RollbackRefused`] when there is none.
pub async fn roll_back(store: &Store, by: &str, reason: &str) -> Result<Promotion> {
    named("promoted_by", by)?;
    named("reason", reason)?;
    let mut transaction = alone(store).await?;
    let Some(version) = target(&mut *transaction).await? else {
        let reason = match serving(&mut transaction).await? {
            None => "no version was promoted".to_owned(),
            Some(version) => format!("nothing was promoted before {version}"),
        };
        return Err(StoreError::RollbackRefused { reason });
    };
    if let Some(reason) = not_whole(&mut transaction, &version).await? {
        return Err(StoreError::RollbackRefused { reason: format!("of {version} {reason}") });
    }
    let row = NewRow { version: &version, action: "rollback", check_id: None, waiver_ids: &[], by, reason };
    let promotion_id = row.insert(&mut transaction).await?;
    transaction.commit().await?;
    read(store, promotion_id).await
}

/// The version that [`roll_back`] would bring back.
///
/// # Errors
/// When Postgres does not answer.
pub async fn rollback_target(store: &Store) -> Result<Option<ModelVersion>> {
    target(store.pool()).await
}

/// The history, the newest first, or what is before the row `before`.
///
/// # Errors
/// When Postgres does not answer.
pub async fn promotions(store: &Store, before: Option<i64>, limit: u32) -> Result<Vec<Promotion>> {
    let rows = sqlx::query_as!(
        PromotionRow,
        "select promotion_id, p.model_version, action, check_id, policy_sha256 as \"policy_sha256?\", waiver_ids,
                promoted_by, reason, promoted_at
         from promotions p left join gate_checks using (check_id)
         where $1::bigint is null or promotion_id < $1
         order by promotion_id desc
         limit $2",
        before,
        i64::from(limit),
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter().map(PromotionRow::parse).collect()
}

/// The last time that a version was promoted.
///
/// # Errors
/// When Postgres does not answer.
pub async fn newest_promotion_of(store: &Store, version: &ModelVersion) -> Result<Option<Promotion>> {
    let row = sqlx::query_as!(
        PromotionRow,
        "select promotion_id, p.model_version, action, check_id, policy_sha256 as \"policy_sha256?\", waiver_ids,
                promoted_by, reason, promoted_at
         from promotions p join gate_checks using (check_id)
         where p.model_version = $1
         order by promotion_id desc
         limit 1",
        version.as_str(),
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(PromotionRow::parse).transpose()
}

async fn target(asked: impl sqlx::PgExecutor<'_>) -> Result<Option<ModelVersion>> {
    let target = sqlx::query_scalar!("select rollback_version()").fetch_one(asked).await?;
    target.map(parse_version).transpose()
}

/// Why readers of the version would find no embeddings, if anybody finds any now.
async fn not_whole(
    transaction: &mut Transaction<'_, Postgres>,
    version: &ModelVersion,
) -> Result<Option<String>> {
    let whole = Wholeness::of(transaction, version).await?;
    Ok((whole.of_any && !whole.of_this).then(|| Wholeness::refusal(version)))
}

struct NewRow<'a> {
    version: &'a ModelVersion,
    action: &'static str,
    check_id: Option<i64>,
    waiver_ids: &'a [i64],
    by: &'a str,
    reason: &'a str,
}

impl NewRow<'_> {
    async fn insert(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<i64> {
        let promotion_id = sqlx::query_scalar!(
            "insert into promotions (model_version, action, check_id, waiver_ids, promoted_by, reason)
             values ($1, $2, $3, $4, $5, $6)
             returning promotion_id",
            self.version.as_str(),
            self.action,
            self.check_id,
            self.waiver_ids,
            self.by.trim(),
            self.reason.trim(),
        )
        .fetch_one(&mut **transaction)
        .await?;
        Ok(promotion_id)
    }
}

async fn read(store: &Store, promotion_id: i64) -> Result<Promotion> {
    let mut found = promotions(store, Some(promotion_id + 1), 1).await?;
    found.pop().ok_or_else(|| StoreError::Query(sqlx::Error::RowNotFound))
}

struct PromotionRow {
    promotion_id: i64,
    model_version: String,
    action: String,
    check_id: Option<i64>,
    policy_sha256: Option<String>,
    waiver_ids: Vec<i64>,
    promoted_by: String,
    reason: String,
    promoted_at: DateTime<Utc>,
}

impl PromotionRow {
    fn parse(self) -> Result<Promotion> {
        let policy = self.policy_sha256.as_deref().map(Sha256Digest::parse).transpose();
        Ok(Promotion {
            promotion_id: self.promotion_id,
            model_version: parse_version(self.model_version)?,
            // The schema allows these two and no other.
            action: if self.action == "promote" { Action::Promote } else { Action::Rollback },
            check_id: self.check_id,
            policy: policy.map_err(|source| StoreError::StoredRow { table: "gate_checks", source })?,
            waiver_ids: self.waiver_ids,
            promoted_by: self.promoted_by,
            reason: self.reason,
            promoted_at: self.promoted_at,
        })
    }
}
