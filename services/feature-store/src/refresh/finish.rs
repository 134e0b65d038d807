//! How a run ends: readers see it, or it says what stopped it; and what no reader needs any more goes.

use std::num::NonZeroU32;

use finrank_store::Store;

use super::RunId;
use crate::{FeatureStoreError, Result, watch::GENERATION_CHANNEL};

/// Makes the run a generation that readers see, and tells whoever listens.
pub(super) async fn complete(store: &Store, run_id: RunId) -> Result<()> {
    let mut transaction = store.pool().begin().await?;
    sqlx::query!(
        "update refresh_runs set state = 'complete', error = '', finished_at = now() where run_id = $1",
        run_id.get(),
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("select pg_notify($1, $2)", GENERATION_CHANNEL, run_id.to_string())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Says what stopped the run. Its whole partitions stay for the next start.
pub(super) async fn fail(store: &Store, run_id: RunId, reason: &FeatureStoreError) -> Result<()> {
    sqlx::query!(
        "update refresh_runs set state = 'failed', error = $2, finished_at = now() where run_id = $1",
        run_id.get(),
        reason.to_string(),
    )
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Drops all but the newest `keep` generations, and the unfinished runs that a generation has overtaken.
pub(super) async fn drop_old_generations(store: &Store, keep: NonZeroU32) -> Result<()> {
    sqlx::query!(
        "with complete as (
             select run_id from refresh_runs where state = 'complete' order by run_id desc
         ),
         kept as (
             select run_id from complete limit $1
         )
         delete from refresh_runs
         where state = 'complete' and run_id not in (select run_id from kept)
            or state = 'failed' and run_id < (select max(run_id) from complete)",
        i64::from(keep.get()),
    )
    .execute(store.pool())
    .await?;
    Ok(())
}
