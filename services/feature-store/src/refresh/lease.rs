//! Who writes which partition: a worker locks the partition's row in the transaction that writes it. The lock is a
//! lease that never has to expire: Postgres lets go of it when the transaction ends, be it by `kill -9`, and with it
//! goes all that the transaction wrote.

use finrank_model::InvalidField;
use postgres::Transaction;

use super::{Entity, RunId};
use crate::{FeatureStoreError, Result};

/// Rows that one transaction writes: ids from `first_id` on and below `below`, both in Postgres's order.
pub(super) struct Partition {
    pub(super) entity: Entity,
    /// From 0 within the entity.
    pub(super) number: i32,
    /// Absent for the first one, which has no lower end: what sorts before it may come later.
    first_id: Option<String>,
    /// Absent for the last one.
    below: Option<String>,
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

/// What a worker finds to do.
pub(super) enum Lease {
    /// This partition, whose row the transaction has locked.
    Taken(Partition),
    /// What is left is being written by others.
    AllTaken,
    /// Every partition is written.
    NothingLeft,
}

/// Takes the next partition that nobody is at, users first.
///
/// # Errors
/// [`FeatureStoreError::RunEnded`] when the run is not to be worked on any more.
pub(super) fn take(transaction: &mut Transaction<'_>, run_id: RunId) -> Result<Lease> {
    let taken = transaction.query_opt(
        "with taken as (
             select entity, partition, first_id from refresh_partitions
             where run_id = $1 and finished_at is null
               and exists (select from refresh_runs where run_id = $1 and state = 'running')
             order by entity desc, partition
             limit 1
             for update skip locked
         )
         select entity, partition, first_id,
                (select next.first_id from refresh_partitions next
                 where next.run_id = $1 and next.entity = taken.entity and next.partition = taken.partition + 1)
         from taken",
        &[&run_id.get()],
    )?;
    if let Some(row) = taken {
        let first_id: String = row.get(2);
        return Ok(Lease::Taken(Partition {
            entity: Entity::from_stored(row.get(0)),
            number: row.get(1),
            first_id: Some(first_id).filter(|first_id| !first_id.is_empty()),
            below: row.get(3),
        }));
    }
    let run = transaction.query_opt(
        "select exists (select from refresh_partitions where run_id = $1 and finished_at is null)
         from refresh_runs where run_id = $1 and state = 'running'",
        &[&run_id.get()],
    )?;
    match run {
        Some(run) if run.get(0) => Ok(Lease::AllTaken),
        Some(_) => Ok(Lease::NothingLeft),
        None => Err(FeatureStoreError::RunEnded { run_id }),
    }
}

/// Marks the partition as written with `rows` rows, which may be more than were planned, and gives up the lease.
///
/// # Errors
/// [`FeatureStoreError::RunEnded`] when the run is not to be worked on any more; then nothing is written.
pub(super) fn give_up_written(
    mut transaction: Transaction<'_>,
    run_id: RunId,
    partition: &Partition,
    rows: usize,
) -> Result<()> {
    // No feature that was read is newer than this moment.
    let running = transaction.execute(
        "update refresh_runs set features_as_of = greatest(features_as_of, clock_timestamp())
         where run_id = $1 and state = 'running'",
        &[&run_id.get()],
    )?;
    if running == 0 {
        return Err(FeatureStoreError::RunEnded { run_id });
    }
    transaction.execute(
        "update refresh_partitions set finished_at = clock_timestamp(), row_count = $4
         where run_id = $1 and entity = $2 and partition = $3",
        &[&run_id.get(), &partition.entity.as_str(), &partition.number, &(rows as i64)],
    )?;
    transaction.commit()?;
    Ok(())
}
