//! Decides what a worker has to do: goes on with the unfinished run of the model, or cuts users and products
//! into partitions by ranges of their ids. Only a worker that holds the lock may plan.

use std::num::NonZeroU32;

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

/// Plans a run of `version`, and says that it runs.
pub(super) async fn plan(store: &Store, version: &ModelVersion, partition_rows: NonZeroU32) -> Result<Plan> {
    let mut transaction = store.pool().begin().await?;
    fail_abandoned_runs(&mut transaction).await?;
    let unfinished = unfinished_run(&mut transaction, version).await?;
    let run_id = match unfinished {
        Some(run_id) => resume(&mut transaction, run_id).await?,
        None => begin(&mut transaction, version, partition_rows).await?,
    };
    let pending = pending(&mut transaction, run_id).await?;
    transaction.commit().await?;
    Ok(Plan { run_id, resumed: unfinished.is_some(), pending })
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

/// The model's run to go on with. One that a complete run has overtaken is left alone: it would become a
/// generation of older features under a smaller number.
async fn unfinished_run(
    transaction: &mut Transaction<'_, Postgres>,
    version: &ModelVersion,
) -> Result<Option<RunId>> {
    let run_id = sqlx::query_scalar!(
        "select run_id from refresh_runs
         where model_version = $1 and state = 'failed'
           and run_id > (select coalesce(max(run_id), 0) from refresh_runs where state = 'complete')
         order by run_id desc
         limit 1",
        version.as_str(),
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(run_id.map(RunId::from))
}

async fn resume(transaction: &mut Transaction<'_, Postgres>, run_id: RunId) -> Result<RunId> {
    sqlx::query!(
        "update refresh_runs set state = 'running', error = '', finished_at = null where run_id = $1",
        run_id.get(),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(run_id)
}

async fn begin(
    transaction: &mut Transaction<'_, Postgres>,
    version: &ModelVersion,
    partition_rows: NonZeroU32,
) -> Result<RunId> {
    let run_id = sqlx::query_scalar!(
        "insert into refresh_runs (model_version, state, features_as_of) values ($1, 'running', now())
         returning run_id",
        version.as_str(),
    )
    .fetch_one(&mut **transaction)
    .await?;
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
    Ok(run_id.into())
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
