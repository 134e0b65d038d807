//! Decides what a worker has to do: goes on with the unfinished run of the model, or cuts users and products, all of
//! them or those that have changed, into partitions by ranges of their ids. Only a worker that holds the lock may
//! plan.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use finrank_model::{InvalidField, ModelVersion};
use finrank_store::Store;
use sqlx::{Postgres, Transaction};

use super::{RunId, lock::ABANDONED};
use crate::{FeatureStoreError, Result};

/// A run that is ready to be worked on.
pub(super) struct Plan {
    pub(super) run_id: RunId,
    /// Whether it goes on with an earlier run.
    pub(super) resumed: bool,
    /// Whether it computes only what has changed.
    pub(super) incremental: bool,
    /// What is not written yet, users first.
    pub(super) pending: Vec<Partition>,
}

/// Rows that one transaction writes: ids from `first_id` on and below `below`, both in Postgres's order.
pub(super) struct Partition {
    pub(super) entity: Entity,
    /// From 0 within the entity.
    pub(super) number: i32,
    /// Absent for the first one, which has no lower end: what sorts before it may come later.
    pub(super) first_id: Option<String>,
    /// Absent for the last one.
    pub(super) below: Option<String>,
}

impl Partition {
    /// Both ends as ids.
    pub(super) fn ends<'a, Id>(
        &'a self,
        parse: impl Fn(&'a str) -> Result<Id, InvalidField>,
    ) -> Result<[Option<Id>; 2]> {
        let end = |raw: &'a Option<String>| raw.as_deref().map(&parse).transpose();
        let ends = || Ok([end(&self.first_id)?, end(&self.below)?]);
        ends().map_err(FeatureStoreError::StoredRow)
    }
}

/// Whose embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entity {
    User,
    Product,
}

impl Entity {
    /// The stored form.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
        }
    }
}

/// What is to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every embedding.
    Full,
    /// What has changed since the model version's newest generation; everything, if there is none.
    Changes,
}

/// How a run is to be planned.
pub(super) struct Wanted<'a> {
    pub(super) version: &'a ModelVersion,
    pub(super) scope: Scope,
    pub(super) partition_rows: NonZeroU32,
    /// What was learned before this moment can be read.
    pub(super) known_at: DateTime<Utc>,
}

/// Plans a run, and says that it runs.
pub(super) async fn plan(store: &Store, wanted: &Wanted<'_>) -> Result<Plan> {
    let mut transaction = store.pool().begin().await?;
    fail_abandoned_runs(&mut transaction).await?;
    let unfinished = unfinished_run(&mut transaction, wanted).await?;
    let (run_id, incremental) = match unfinished {
        Some(unfinished) => resume(&mut transaction, unfinished).await?,
        None => begin(&mut transaction, wanted).await?,
    };
    let pending = pending(&mut transaction, run_id).await?;
    transaction.commit().await?;
    Ok(Plan { run_id, resumed: unfinished.is_some(), incremental, pending })
}

/// Whoever holds the lock knows that no other worker lives.
async fn fail_abandoned_runs(transaction: &mut Transaction<'_, Postgres>) -> Result<()> {
    sqlx::query!(
        "update refresh_runs set state = 'failed', error = $1, finished_at = now() where state = 'running'",
        ABANDONED,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// A run to go on with, and whether it computes only changes.
type Unfinished = (RunId, bool);

/// The model's run to go on with. One that a complete run has overtaken is left alone: it would become a
/// generation of older features under a smaller number. So is one of changes, if everything is wanted.
async fn unfinished_run(
    transaction: &mut Transaction<'_, Postgres>,
    wanted: &Wanted<'_>,
) -> Result<Option<Unfinished>> {
    let unfinished = sqlx::query!(
        r#"select run_id, base_run_id is not null as "incremental!" from refresh_runs
           where model_version = $1 and state = 'failed' and (base_run_id is null or $2)
             and run_id > (select coalesce(max(run_id), 0) from refresh_runs where state = 'complete')
           order by run_id desc
           limit 1"#,
        wanted.version.as_str(),
        wanted.scope == Scope::Changes,
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(unfinished.map(|unfinished| (unfinished.run_id.into(), unfinished.incremental)))
}

async fn resume(transaction: &mut Transaction<'_, Postgres>, unfinished: Unfinished) -> Result<Unfinished> {
    sqlx::query!(
        "update refresh_runs set state = 'running', error = '', finished_at = null where run_id = $1",
        unfinished.0.get(),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(unfinished)
}

async fn begin(transaction: &mut Transaction<'_, Postgres>, wanted: &Wanted<'_>) -> Result<Unfinished> {
    let base = match wanted.scope {
        Scope::Full => None,
        Scope::Changes => base(transaction, wanted.version).await?,
    };
    let run_id = sqlx::query_scalar!(
        "insert into refresh_runs (model_version, state, features_as_of, known_at, base_run_id)
         values ($1, 'running', now(), $2, $3)
         returning run_id",
        wanted.version.as_str(),
        wanted.known_at,
        base.as_ref().map(|base| base.run_id),
    )
    .fetch_one(&mut **transaction)
    .await?;
    match &base {
        None => cut_all(transaction, run_id, wanted.partition_rows).await?,
        Some(base) => {
            note_changes(transaction, run_id, base.known_at, wanted.known_at).await?;
            cut_changes(transaction, run_id, wanted.partition_rows).await?;
        }
    }
    Ok((run_id.into(), base.is_some()))
}

/// The full run below the model's newest generation, and up to when that generation knows everything.
struct Base {
    run_id: i64,
    known_at: DateTime<Utc>,
}

async fn base(transaction: &mut Transaction<'_, Postgres>, version: &ModelVersion) -> Result<Option<Base>> {
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

/// Notes whose attributes or holdings, and which products, may have become others.
async fn note_changes(
    transaction: &mut Transaction<'_, Postgres>,
    run_id: i64,
    from: DateTime<Utc>,
    below: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into refresh_changes (run_id, entity, id)
         select $1::bigint, 'user', user_id from customer_statements where known_at >= $2 and known_at < $3
         union
         select $1, 'user', user_id from event_statements
         where known_at >= $2 and known_at < $3 and (kind in ('acquired', 'closed') or revision > 0)
         union
         select $1, 'product', product_id from product_statements where known_at >= $2 and known_at < $3",
        run_id,
        from,
        below,
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
             select entity, id, (row_number() over (partition by entity order by id) - 1) / $2 as partition
             from refresh_changes
             where run_id = $1
         ) as numbered
         group by entity, partition",
        run_id,
        i64::from(partition_rows.get()),
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

async fn pending(transaction: &mut Transaction<'_, Postgres>, run_id: RunId) -> Result<Vec<Partition>> {
    let rows = sqlx::query!(
        r#"select entity, partition, first_id, below
           from (
               select entity, partition, first_id, finished_at,
                      lead(first_id) over (partition by entity order by partition) as below
               from refresh_partitions
               where run_id = $1
           ) as ranged
           where finished_at is null
           order by entity desc, partition"#,
        run_id.get(),
    )
    .fetch_all(&mut **transaction)
    .await?;
    let partitions = rows.into_iter().map(|row| Partition {
        entity: if row.entity == "user" { Entity::User } else { Entity::Product },
        number: row.partition,
        first_id: Some(row.first_id).filter(|first_id| !first_id.is_empty()),
        below: row.below,
    });
    Ok(partitions.collect())
}
