//! Kept samples, read again page by page, the newest first.

use chrono::{DateTime, Utc};
use finrank_model::{InvalidField, Sha256Digest, features::ExpiredPolicy};
use finrank_store::Store;
use sqlx::types::Json;

use crate::{FeatureStoreError, Result};

/// A row as it was served, and what it takes to compute it again.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) sample_id: i64,
    pub(crate) id: String,
    pub(crate) asked: KeptRequest,
    pub(crate) known_at: DateTime<Utc>,
    /// The row as it went over the wire.
    pub(crate) served: Vec<u8>,
}

/// What was asked for, and by which definitions it was answered; rows that share it are computed again together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeptRequest {
    /// "user" or "product".
    pub(crate) entity: String,
    /// As `view:feature`, in the order of the row's values.
    pub(crate) features: Vec<String>,
    pub(crate) purpose: String,
    /// As the request said it.
    pub(crate) expired: Option<ExpiredPolicy>,
    pub(crate) definitions: Sha256Digest,
}

/// How many samples are kept of what was served since a moment.
pub(crate) async fn count(store: &Store, since: Option<DateTime<Utc>>) -> Result<u64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from served_samples where known_at >= coalesce($1::timestamptz, '-infinity')"#,
        since as _,
    )
    .fetch_one(store.pool())
    .await?;
    Ok(count.unsigned_abs())
}

/// The newest samples before one, of what was served since a moment.
pub(crate) async fn page(
    store: &Store,
    since: Option<DateTime<Utc>>,
    before: Option<i64>,
    rows: i64,
) -> Result<Vec<Kept>> {
    let rows = sqlx::query!(
        r#"select sample_id, entity, id, features as "features: Json<Vec<String>>", purpose, expired, known_at,
                  definitions_sha256, served
           from served_samples
           where known_at >= coalesce($1::timestamptz, '-infinity') and ($2::bigint is null or sample_id < $2)
           order by sample_id desc
           limit $3"#,
        since as _,
        before as _,
        rows,
    )
    .fetch_all(store.pool())
    .await?;
    let kept = rows.into_iter().map(|row| {
        let asked = KeptRequest {
            entity: row.entity,
            features: row.features.0,
            purpose: row.purpose,
            expired: row.expired.as_deref().map(policy).transpose()?,
            definitions: Sha256Digest::parse(&row.definitions_sha256)?,
        };
        let (sample_id, id, known_at) = (row.sample_id, row.id, row.known_at);
        Ok(Kept { sample_id, id, asked, known_at, served: row.served })
    });
    kept.collect::<Result<_, InvalidField>>().map_err(FeatureStoreError::StoredRow)
}

/// Which of these samples are still kept. An erasure removes a sample together with what its row rests on: of one that
/// is kept after its row was computed again, all of that was still there.
pub(crate) async fn still_kept(store: &Store, sample_ids: &[i64]) -> Result<Vec<i64>> {
    let kept =
        sqlx::query_scalar!("select sample_id from served_samples where sample_id = any($1)", sample_ids)
            .fetch_all(store.pool())
            .await?;
    Ok(kept)
}

fn policy(raw: &str) -> Result<ExpiredPolicy, InvalidField> {
    let policies = [ExpiredPolicy::Flag, ExpiredPolicy::Null, ExpiredPolicy::Reject];
    let found = policies.into_iter().find(|policy| policy.as_str() == raw);
    found.ok_or_else(|| InvalidField::new("expired", format!("is {raw:?}, which is no policy")))
}
