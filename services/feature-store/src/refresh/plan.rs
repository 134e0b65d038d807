//! Decides what is to be done: goes on with the unfinished run of the same request, or cuts users and products, all of
//! them or those that have changed, into partitions by ranges of their ids. Only who has the workers' lock alone may
//! plan.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use finrank_model::{InvalidField, ModelVersion, Sha256Digest};
use finrank_store::Store;
use sqlx::{Postgres, Transaction};

use super::{
    Entity, RunId, Scope,
    lock::ABANDONED,
    run::{self, Run},
};
use crate::{FeatureStoreError, Result, changes::Learned, people::wait_for_erasures};

/// Below so many rows a partition of changes is not cut smaller: its transaction would cost more than is gained.
const FEW_ROWS: i64 = 250;
/// Partitions into which changes are cut, so that workers share even a few.
const PARTITIONS_OF_CHANGES: i64 = 8;

/// A run that is ready to be worked on.
pub(super) struct Plan {
    pub(super) run: Run,
    /// Whether it goes on with an earlier run.
    pub(super) resumed: bool,
}

/// What is to be planned.
pub(super) struct Wanted<'a> {
    pub(super) version: &'a ModelVersion,
    pub(super) scope: Scope,
    /// Absent for users and products.
    pub(super) only: Option<Entity>,
    pub(super) partition_rows: NonZeroU32,
    /// The definitions by which features are summarised.
    pub(super) definitions: Sha256Digest,
    /// What was learned before this moment can be read.
    pub(super) known_at: DateTime<Utc>,
    /// Whether to write nothing.
    pub(super) dry_run: bool,
}

/// Plans a run, and says that it runs.
pub(super) async fn plan(store: &Store, wanted: &Wanted<'_>) -> Result<Plan> {
    let mut transaction = store.pool().begin().await?;
    // The ids of whoever is being erased must not be written down.
    wait_for_erasures(&mut transaction).await?;
    fail_abandoned_runs(&mut transaction).await?;
    let unfinished = unfinished_run(&mut transaction, wanted).await?;
    let run_id = match unfinished {
        Some(unfinished) => resume(&mut transaction, unfinished).await?,
        None => begin(&mut transaction, wanted).await?,
    };
    let run = run::read(&mut transaction, run_id).await?;
    let resumed = unfinished.is_some();
    if wanted.dry_run {
        transaction.rollback().await?;
        return Ok(Plan { run: Run { run_id: RunId::from(0), ..run }, resumed });
    }
    transaction.commit().await?;
    Ok(Plan { run, resumed })
}

/// Whoever has the lock alone knows that no worker lives.
async fn fail_abandoned_runs(transaction: &mut Transaction<'_, Postgres>) -> Result<()> {
    sqlx::query!(
        "update refresh_runs set state = 'failed', error = $1, finished_at = now() where state = 'running'",
        ABANDONED,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The model's run to go on with: one of the same request, or a full one where changes are wanted. One that a complete
/// run has overtaken is left alone: it would become a generation of older features under a smaller number.
async fn unfinished_run(
    transaction: &mut Transaction<'_, Postgres>,
    wanted: &Wanted<'_>,
) -> Result<Option<RunId>> {
    let unfinished = sqlx::query_scalar!(
        "select run_id from refresh_runs
         where model_version = $1 and state = 'failed'
           and (scope = $2 and only_entity is not distinct from $3 and since is not distinct from $4
                or scope = 'full' and only_entity is null and $3::text is null)
           and run_id > (select coalesce(max(run_id), 0) from refresh_runs where state = 'complete')
         order by run_id desc
         limit 1",
        wanted.version.as_str(),
        wanted.scope.as_str(),
        wanted.only.map(Entity::as_str),
        wanted.scope.since(),
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(unfinished.map(RunId::from))
}

async fn resume(transaction: &mut Transaction<'_, Postgres>, unfinished: RunId) -> Result<RunId> {
    sqlx::query!(
        "update refresh_runs set state = 'running', error = '', finished_at = null, worked_from = clock_timestamp()
         where run_id = $1",
        unfinished.get(),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(unfinished)
}

async fn begin(transaction: &mut Transaction<'_, Postgres>, wanted: &Wanted<'_>) -> Result<RunId> {
    let newest = newest(transaction, wanted.version).await?;
    let base = match (wanted.scope, wanted.only) {
        (Scope::Full, None) => None,
        (Scope::Changes { .. }, None) => newest,
        (_, Some(_)) => Some(newest.ok_or_else(|| nothing_to_add_to(wanted.version))?),
    };
    let from = match &base {
        Some(base) => changed_from(base, wanted.scope)?,
        None => None,
    };
    // What is left out now is still to be computed by the next run.
    let known_at = match &base {
        Some(base) if wanted.only.is_some() => base.known_at,
        _ => wanted.known_at,
    };
    let run_id = sqlx::query_scalar!(
        "insert into refresh_runs
             (model_version, state, features_as_of, known_at, base_run_id, scope, only_entity, since,
              definitions_sha256, summarised_at)
         values ($1, 'running', now(), $2, $3, $4, $5, $6, $7, $8)
         returning run_id",
        wanted.version.as_str(),
        known_at,
        base.as_ref().map(|base| base.run_id),
        wanted.scope.as_str(),
        wanted.only.map(Entity::as_str),
        wanted.scope.since(),
        wanted.definitions.to_string(),
        wanted.known_at,
    )
    .fetch_one(&mut **transaction)
    .await?;
    if base.is_none() {
        cut_all(transaction, run_id, wanted.partition_rows).await?;
    } else {
        match from {
            Some(from) => {
                let learned = Learned { from, below: wanted.known_at };
                note_changes(transaction, run_id, wanted.only, learned).await?;
            }
            None => note_all(transaction, run_id, wanted.only).await?,
        }
        cut_changes(transaction, run_id, wanted.partition_rows).await?;
    }
    Ok(run_id.into())
}

fn nothing_to_add_to(version: &ModelVersion) -> FeatureStoreError {
    FeatureStoreError::NothingToAddTo { version: version.clone() }
}

/// From when on changes are taken; nothing when everything is wanted.
fn changed_from(base: &Base, scope: Scope) -> Result<Option<DateTime<Utc>>> {
    match scope {
        Scope::Full => Ok(None),
        Scope::Changes { since: Some(since) } if since > base.known_at => {
            let reason =
                format!("is later than {}, up to when the newest generation knows all", base.known_at);
            Err(InvalidField::new("since", reason).into())
        }
        Scope::Changes { since } => Ok(Some(since.unwrap_or(base.known_at))),
    }
}

/// The full run below the model's newest generation, and up to when that generation knows everything.
struct Base {
    run_id: i64,
    known_at: DateTime<Utc>,
}

async fn newest(transaction: &mut Transaction<'_, Postgres>, version: &ModelVersion) -> Result<Option<Base>> {
    let newest = sqlx::query!(
        r#"select coalesce(base_run_id, run_id) as "base_run_id!", known_at from refresh_runs
           where model_version = $1 and state = 'complete'
           order by run_id desc
           limit 1"#,
        version.as_str(),
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(newest.and_then(|newest| Some(Base { run_id: newest.base_run_id, known_at: newest.known_at? })))
}

/// Notes who has changed.
async fn note_changes(
    transaction: &mut Transaction<'_, Postgres>,
    run_id: i64,
    only: Option<Entity>,
    learned: Learned,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_changes (run_id, entity, id)
         select distinct $1::bigint, entity, id from changes_between($2, $3)
         where entity = coalesce($4, entity)",
        run_id,
        learned.from,
        learned.below,
        only.map(Entity::as_str),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Notes everyone, or every product, to be computed again.
async fn note_all(
    transaction: &mut Transaction<'_, Postgres>,
    run_id: i64,
    only: Option<Entity>,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_changes (run_id, entity, id)
         select $1::bigint, entity, id
         from (
             select 'user' as entity, user_id as id from customers
             union all
             select 'product', product_id from products
         ) as known
         where entity = coalesce($2, entity)",
        run_id,
        only.map(Entity::as_str),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn cut_changes(
    transaction: &mut Transaction<'_, Postgres>,
    run_id: i64,
    partition_rows: NonZeroU32,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_partitions (run_id, entity, partition, first_id, row_count)
         select $1, entity, partition, case when partition = 0 then '' else min(id) end, count(*)
         from (
             select entity, id,
                    (row_number() over (partition by entity order by id) - 1)
                    / least($2, greatest($3, count(*) over (partition by entity) / $4 + 1)) as partition
             from refresh_changes
             where run_id = $1
         ) as numbered
         group by entity, partition",
        run_id,
        i64::from(partition_rows.get()),
        FEW_ROWS,
        PARTITIONS_OF_CHANGES,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn cut_all(
    transaction: &mut Transaction<'_, Postgres>,
    run_id: i64,
    partition_rows: NonZeroU32,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_partitions (run_id, entity, partition, first_id, row_count)
         select $1, entity, partition, case when partition = 0 then '' else min(id) end, count(*)
         from (
             select 'user' as entity, user_id as id, (row_number() over (order by user_id) - 1) / $2 as partition
             from customers
             union all
             select 'product', product_id, (row_number() over (order by product_id) - 1) / $2
             from products
         ) as numbered
         group by entity, partition",
        run_id,
        i64::from(partition_rows.get()),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
