//! Erasing a person: every row that names them, in one transaction.
//!
//! A refresh that runs meanwhile has perhaps read the person before and writes an embedding after. It removes the
//! embeddings of whoever is not known any more before its run becomes visible (see [`forget_the_erased`]). Both take
//! [`LOCK`] first, so that the one sees all that the other did. So does whoever writes samples of what was served (see
//! [`wait_for_erasures`]) or what decisions were made from. A step of live embeddings shares it from its beginning to its end (see
//! [`hold_off_erasures`]), and so writes nobody who was erased meanwhile.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use finrank_model::UserId;
use finrank_store::Store;
use postgres::Transaction;
use sqlx::{PgConnection, Postgres, types::Json};
use uuid::Uuid;

use crate::{FeatureStoreError, Result, refresh::RunId};

/// The bytes of "finr" and "eras".
const LOCK: &str = "select pg_advisory_xact_lock(1718185586, 1701994867)";
const SHARED_LOCK: &str = "select pg_advisory_xact_lock_shared(1718185586, 1701994867)";

/// As whoever writes statements, which holds back the horizon. Whatever is read up to a moment after an erasure was read
/// without the erased.
const ANNOUNCE: &str = "select announce()";

/// That somebody was erased; it does not tell whom.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) erasure_id: Uuid,
    pub(crate) erased_at: DateTime<Utc>,
    /// Rows by table.
    pub(crate) removed: Vec<(&'static str, u64)>,
}

/// Erases a customer.
///
/// # Errors
/// When nothing is held on such a customer, or Postgres does not answer; then nothing is erased.
pub(crate) async fn erase(store: &Store, user_id: &UserId) -> Result<Receipt> {
    let mut transaction = store.pool().begin().await?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    sqlx::query(ANNOUNCE).execute(&mut *transaction).await?;
    // What was served of products that they dealt with counts them, and cannot be computed again.
    let samples = sqlx::query!(
        "delete from served_samples
         where entity = 'user' and id = $1
            or entity = 'product'
               and id in (select product_id from event_statements where user_id = $1)",
        user_id.as_str(),
    )
    .execute(&mut *transaction)
    .await?;
    let statements = sqlx::query!("delete from customer_statements where user_id = $1", user_id.as_str())
        .execute(&mut *transaction)
        .await?;
    let events = sqlx::query!("delete from event_statements where user_id = $1", user_id.as_str())
        .execute(&mut *transaction)
        .await?;
    let live = sqlx::query!("delete from live_user_embeddings where user_id = $1", user_id.as_str())
        .execute(&mut *transaction)
        .await?;
    // Run by run, as the key leads with the run.
    let embeddings = sqlx::query!(
        "delete from user_embeddings
         where run_id = any(array(select run_id from refresh_runs)) and user_id = $1",
        user_id.as_str(),
    )
    .execute(&mut *transaction)
    .await?;
    let changes =
        sqlx::query!("delete from refresh_changes where entity = 'user' and id = $1", user_id.as_str(),)
            .execute(&mut *transaction)
            .await?;
    // A partition begins with somebody's id; with the next one's it holds the same people. U+10FFFF sorts last.
    let bounds = sqlx::query!(
        "update refresh_partitions
         set first_id = coalesce(
             (select min(user_id) from customer_statements where user_id > $1), chr(1114111)
         )
         where entity = 'user' and first_id = $1",
        user_id.as_str(),
    )
    .execute(&mut *transaction)
    .await?;
    let outliers =
        sqlx::query!("delete from feature_outliers where entity = 'user' and id = $1", user_id.as_str())
            .execute(&mut *transaction)
            .await?;
    let decisions = sqlx::query!("delete from decision_inputs where user_id = $1", user_id.as_str())
        .execute(&mut *transaction)
        .await?;
    let outcomes = sqlx::query!("delete from decision_outcomes where user_id = $1", user_id.as_str())
        .execute(&mut *transaction)
        .await?;
    let shadows = sqlx::query!("delete from shadow_decisions where user_id = $1", user_id.as_str())
        .execute(&mut *transaction)
        .await?;
    let removed = vec![
        ("customer_statements", statements.rows_affected()),
        ("event_statements", events.rows_affected()),
        ("user_embeddings", embeddings.rows_affected()),
        ("live_user_embeddings", live.rows_affected()),
        ("refresh_changes", changes.rows_affected()),
        ("refresh_partitions", bounds.rows_affected()),
        ("feature_outliers", outliers.rows_affected()),
        ("served_samples", samples.rows_affected()),
        ("decision_inputs", decisions.rows_affected()),
        ("decision_outcomes", outcomes.rows_affected()),
        ("shadow_decisions", shadows.rows_affected()),
    ];
    if removed.iter().all(|(_, rows)| *rows == 0) {
        return Err(FeatureStoreError::CustomerNotFound { user_id: user_id.clone() });
    }
    let erasure_id = Uuid::now_v7();
    let by_table: BTreeMap<&str, u64> = removed.iter().copied().collect();
    let erased_at = sqlx::query_scalar!(
        "insert into erasures (erasure_id, removed) values ($1, $2) returning erased_at",
        erasure_id,
        Json(by_table) as _,
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Receipt { erasure_id, erased_at, removed })
}

/// Waits until nobody is being erased, and lets no erasure begin before the transaction's end: all that was erased is
/// seen by it, and all that it writes by whoever erases then.
pub(crate) async fn wait_for_erasures(transaction: &mut sqlx::Transaction<'_, Postgres>) -> Result<()> {
    sqlx::query(SHARED_LOCK).execute(&mut **transaction).await?;
    Ok(())
}

/// Shares the lock until the transaction ends, and returns whether it could: while somebody is erased, or waits to be,
/// or a run is about to become visible, it cannot.
///
/// # Errors
/// When Postgres does not answer.
pub(crate) async fn hold_off_erasures(transaction: &mut PgConnection) -> Result<bool> {
    let shared = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock_shared(1718185586, 1701994867) as "shared!""#
    )
    .fetch_one(transaction)
    .await?;
    Ok(shared)
}

/// Removes a run's embeddings and outliers of people who are not known any more, if anybody was erased since the run began. The
/// transaction must be the one that makes the run visible.
pub(crate) fn forget_the_erased(transaction: &mut Transaction<'_>, run_id: RunId) -> Result<()> {
    transaction.execute(LOCK, &[])?;
    let of_the_erased = [
        "delete from user_embeddings
         where run_id = $1
           and exists (
               select from erasures join refresh_runs on erased_at >= started_at where refresh_runs.run_id = $1
           )
           and not exists (
               select from customer_statements where customer_statements.user_id = user_embeddings.user_id
           )",
        "delete from feature_outliers
         where run_id = $1 and entity = 'user'
           and not exists (select from customer_statements where user_id = id)",
    ];
    for statement in of_the_erased {
        transaction.execute(statement, &[&run_id.get()])?;
    }
    Ok(())
}
