//! How a run ends: readers see it, or it says what stopped it; and what no reader needs any more goes.

use std::num::NonZeroU32;

use finrank_store::Store;
use postgres::Transaction;

use super::RunId;
use crate::{FeatureStoreError, Result, people::forget_the_erased, watch::GENERATION_CHANNEL};

/// Makes the run a generation that readers see, and tells whoever listens.
///
/// Asked on the worker's own connection, as is [`fail`]: a worker whose connection is gone has lost the lock,
/// another one may have taken the run over, and neither may be said of it any more.
pub(super) fn complete(mut transaction: Transaction<'_>, run_id: RunId) -> Result<()> {
    forget_the_erased(&mut transaction, run_id)?;
    let completed = transaction.execute(
        "update refresh_runs set state = 'complete', error = '', finished_at = now()
         where run_id = $1 and state = 'running'
           and not exists (select from refresh_partitions where run_id = $1 and finished_at is null)",
        &[&run_id.get()],
    )?;
    if completed == 0 {
        return Err(FeatureStoreError::NotToBeCompleted { run_id });
    }
    transaction.execute("select pg_notify($1, $2)", &[&GENERATION_CHANNEL, &run_id.to_string()])?;
    transaction.commit()?;
    Ok(())
}

/// Says what stopped the run. Its whole partitions stay for the next start.
pub(super) fn fail(
    mut transaction: Transaction<'_>,
    run_id: RunId,
    reason: &FeatureStoreError,
) -> Result<()> {
    transaction.execute(
        "update refresh_runs set state = 'failed', error = $2, finished_at = now()
         where run_id = $1 and state = 'running'",
        &[&run_id.get(), &reason.to_string()],
    )?;
    transaction.commit()?;
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
