//! How a run ends: readers see it, or it says what stopped it; and what no reader needs any more goes.

use std::num::NonZeroU32;

use finrank_store::Store;
use postgres::Transaction;
use sqlx::Postgres;

use super::run::{self, Run, RunId, RunState};
use crate::{
    FeatureStoreError, Result, live,
    people::forget_the_erased,
    statistics::{self, Breach, Summariser},
    watch::GENERATION_CHANNEL,
};

/// How a run is done with once every partition is written.
pub(super) enum Completion {
    /// Readers see it. Some features may still not be as expected.
    Served(Vec<Breach>),
    /// Its features are not as they must be, and readers stay with the generation before.
    Withheld(Vec<Breach>),
    /// Another worker was first.
    Done,
}

/// Makes the run a generation that readers see, and tells whoever listens; or withholds it. Of several workers that
/// find nothing left to do, the first one does it.
///
/// Asked on the worker's own connection, as is [`fail`]: a worker whose connection is gone has lost the lock,
/// another one may have taken the run over, and neither may be said of it any more.
///
/// Pushes, steps of live embeddings and erasures wait from [`forget_the_erased`] to the end: whatever takes its time, as the
/// more partitions' summaries there are, comes before.
///
/// # Errors
/// [`FeatureStoreError::RunEnded`] when the run was ended otherwise.
pub(super) fn complete(
    mut transaction: Transaction<'_>,
    run_id: RunId,
    summariser: Option<&Summariser>,
) -> Result<Completion> {
    let completed = transaction.execute(
        "update refresh_runs set state = 'complete', error = '', finished_at = now()
         where run_id = $1 and state = 'running'
           and not exists (select from refresh_partitions where run_id = $1 and finished_at is null)",
        &[&run_id.get()],
    )?;
    if completed == 0 {
        let whole =
            "select from refresh_runs where run_id = $1 and state in ('complete', 'merged', 'withheld')";
        return match transaction.query_opt(whole, &[&run_id.get()])? {
            Some(_) => Ok(Completion::Done),
            None => Err(FeatureStoreError::RunEnded { run_id }),
        };
    }
    let breaches = match summariser {
        Some(summariser) => statistics::keep(&mut transaction, run_id, summariser)?,
        None => Vec::new(),
    };
    forget_the_erased(&mut transaction, run_id)?;
    statistics::forget_parts(&mut transaction, run_id)?;
    if breaches.iter().any(|breach| breach.stops) {
        transaction
            .execute("update refresh_runs set state = 'withheld' where run_id = $1", &[&run_id.get()])?;
        transaction.commit()?;
        return Ok(Completion::Withheld(breaches));
    }
    live::raise_watermark(&mut transaction, run_id)?;
    transaction.execute("select pg_notify($1, $2)", &[&GENERATION_CHANNEL, &run_id.to_string()])?;
    transaction.commit()?;
    Ok(Completion::Served(breaches))
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

/// Ends a run that has not ended. Its workers see that before they write another partition. What its partitions were
/// like, rare texts included, is needed by nobody any more.
///
/// # Errors
/// [`FeatureStoreError::RunComplete`] when it has ended in another way.
pub(super) async fn cancel(store: &Store, run_id: RunId) -> Result<Run> {
    sqlx::query!(
        "with cancelled as (
             update refresh_runs set state = 'cancelled', error = '', finished_at = now()
             where run_id = $1 and state in ('running', 'failed')
             returning run_id
         ),
         -- The one that a worker is at is written by nobody any more.
         written as (
             select run_id, entity, partition
             from refresh_partitions join cancelled using (run_id)
             for update of refresh_partitions skip locked
         )
         update refresh_partitions set summaries = null
         from written
         where (refresh_partitions.run_id, refresh_partitions.entity, refresh_partitions.partition)
             = (written.run_id, written.entity, written.partition)",
        run_id.get(),
    )
    .execute(store.pool())
    .await?;
    let run = run::read(&mut *store.pool().acquire().await?, run_id).await?;
    match run.state {
        RunState::Cancelled => Ok(run),
        _ => Err(FeatureStoreError::RunComplete { run_id }),
    }
}

/// Drops what only generations before the newest `keep` are made of, and the unfinished runs that a generation has
/// overtaken. The newest generation of the version that is served is kept, and so are those of the one that a rollback
/// would bring back and of those in traffic beside it, however many of other versions are newer. A run that a kept generation still stands on is merged
/// into it: it loses the rows that later runs have written anew, and is no generation of its own any more. Live rows that
/// the newest generation covers go, too.
pub(super) async fn drop_old_generations(store: &Store, keep: NonZeroU32) -> Result<()> {
    let mut transaction = store.pool().begin().await?;
    sqlx::query!(
        "with complete as (
             select run_id, coalesce(base_run_id, run_id) as base
             from refresh_runs where state = 'complete'
             order by run_id desc
         ),
         kept as (
             (select base from complete limit $1)
             union
             select (
                 select coalesce(base_run_id, run_id) from refresh_runs
                 where state = 'complete' and model_version = wanted.version
                 order by run_id desc
                 limit 1
             )
             from (
                 values (serving_version()), (rollback_version())
                 union all
                 select unnest(array[treatment_version, shadow_version]) from traffic_in_force()
             ) as wanted (version)
         )
         delete from refresh_runs
         where state in ('complete', 'merged')
               and coalesce(base_run_id, run_id) not in (select base from kept where base is not null)
            or state in ('failed', 'cancelled', 'withheld') and run_id < (select max(run_id) from complete)",
        i64::from(keep.get()),
    )
    .execute(&mut *transaction)
    .await?;
    merge(&mut transaction, keep).await?;
    live::forget_covered(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Merges runs that are not kept into the oldest kept one that stands on them.
async fn merge(transaction: &mut sqlx::Transaction<'_, Postgres>, keep: NonZeroU32) -> Result<()> {
    // Changes up to the oldest kept generation: what lies below them is read by no generation that is kept.
    let changes = sqlx::query!(
        r#"with kept as (
               select run_id, coalesce(base_run_id, run_id) as base
               from refresh_runs where state = 'complete'
               order by run_id desc
               limit $1
           ),
           oldest as (
               select base, min(run_id) as run_id from kept group by base
           )
           select changing.run_id, oldest.base as "base!"
           from oldest join refresh_runs changing on changing.base_run_id = oldest.base
           where changing.run_id <= oldest.run_id and changing.state = 'complete'
           order by changing.run_id"#,
        i64::from(keep.get()),
    )
    .fetch_all(&mut **transaction)
    .await?;
    for changing in changes {
        sqlx::query!(
            "delete from user_embeddings using refresh_changes, refresh_runs
             where refresh_changes.run_id = $1 and entity = 'user' and user_id = id
               and user_embeddings.run_id = refresh_runs.run_id
               and coalesce(base_run_id, refresh_runs.run_id) = $2 and refresh_runs.run_id < $1",
            changing.run_id,
            changing.base,
        )
        .execute(&mut **transaction)
        .await?;
        sqlx::query!(
            "delete from product_embeddings using refresh_changes, refresh_runs
             where refresh_changes.run_id = $1 and entity = 'product' and product_id = id
               and product_embeddings.run_id = refresh_runs.run_id
               and coalesce(base_run_id, refresh_runs.run_id) = $2 and refresh_runs.run_id < $1",
            changing.run_id,
            changing.base,
        )
        .execute(&mut **transaction)
        .await?;
        sqlx::query!("delete from refresh_changes where run_id = $1", changing.run_id)
            .execute(&mut **transaction)
            .await?;
        sqlx::query!(
            "update refresh_runs set state = 'merged'
             where state = 'complete' and coalesce(base_run_id, run_id) = $2 and run_id < $1",
            changing.run_id,
            changing.base,
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}
