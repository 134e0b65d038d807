//! What a refresh takes over from live embeddings.

use postgres::Transaction as BulkTransaction;
use sqlx::{Postgres, Transaction};

use crate::{Result, refresh::RunId};

/// Raises the watermark of the run's model version to what the run knows, and makes it for the version's first run. In
/// the transaction that makes the run visible, which holds off steps (see `people`).
pub(crate) fn raise_watermark(transaction: &mut BulkTransaction<'_>, run_id: RunId) -> Result<()> {
    transaction.execute(
        "insert into live_watermarks (model_version, known_at)
         select model_version, known_at from refresh_runs where run_id = $1 and known_at is not null
         on conflict (model_version) do update
         set known_at = greatest(live_watermarks.known_at, excluded.known_at)",
        &[&run_id.get()],
    )?;
    Ok(())
}

/// Removes live rows that the runs of their model version's newest generation have computed with all that they know,
/// and all of model versions that have no generation any more.
///
/// A run that computes users or products only does not raise what its generation knows, but covers the live rows of
/// those whom it has computed all the same.
///
/// # Errors
/// When Postgres does not answer.
pub(crate) async fn forget_covered(transaction: &mut Transaction<'_, Postgres>) -> Result<()> {
    // Steps begin with this lock: none is under way, and none waits for a row that is removed here.
    sqlx::query!("select model_version from live_watermarks order by model_version for update")
        .fetch_all(&mut **transaction)
        .await?;
    sqlx::query!(
        "delete from live_watermarks
         where model_version not in (select model_version from refresh_runs where state = 'complete')",
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "with covered as (
             select g.model_version,
                    (select max(summarised_at) from refresh_runs
                     where run_id = any(g.runs) and only_entity is distinct from 'product') as until
             from generations g
             where g.run_id = (select max(run_id) from generations newest where newest.model_version = g.model_version)
         )
         delete from live_user_embeddings live
         where not exists (
             select from live_watermarks left join covered using (model_version)
             where live_watermarks.model_version = live.model_version
               and live.known_at > coalesce(until, '-infinity')
         )",
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "with covered as (
             select g.model_version,
                    (select max(summarised_at) from refresh_runs
                     where run_id = any(g.runs) and only_entity is distinct from 'user') as until
             from generations g
             where g.run_id = (select max(run_id) from generations newest where newest.model_version = g.model_version)
         )
         delete from live_product_embeddings live
         where not exists (
             select from live_watermarks left join covered using (model_version)
             where live_watermarks.model_version = live.model_version
               and live.known_at > coalesce(until, '-infinity')
         )",
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
