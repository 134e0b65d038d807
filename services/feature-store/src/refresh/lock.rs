//! One worker at a time, whatever process it lives in: a Postgres advisory lock that the worker's own
//! connection holds. Postgres lets go of it when that connection ends, be it by `kill -9`, so that the lock
//! is the worker's life: a run that says "running" while nobody holds the lock is abandoned.
//!
//! What keeps that true: a worker takes the lock before it says "running", and says "complete" or "failed"
//! before it lets go. The lock belongs to one database, as the tables do.

use finrank_store::{Store, bulk};

use super::RunId;
use crate::Result;

/// "finrank" in ASCII, then 1: no other program's lock.
const KEY: i64 = 0x6669_6e72_616e_6b01;

/// What a run is told that was found abandoned.
pub(super) const ABANDONED: &str =
    "its worker is gone; starting the same model version again goes on from the whole partitions";

/// The worker's connection, which holds the lock for as long as it is open. It blocks: to be made, used and
/// dropped outside of asynchronous code.
pub(super) struct WorkerConnection(postgres::Client);

impl WorkerConnection {
    /// Connects and takes the lock, or returns nothing when another worker has it.
    pub(super) fn open(url: &str) -> Result<Option<Self>> {
        let mut client = bulk::connect(url)?;
        let taken: bool = client.query_one("select pg_try_advisory_lock($1)", &[&KEY])?.get(0);
        Ok(taken.then_some(Self(client)))
    }

    /// Begins a transaction.
    pub(super) fn transaction(&mut self) -> Result<postgres::Transaction<'_>> {
        Ok(self.0.transaction()?)
    }
}

/// Marks a run failed that says it runs while no worker lives. Takes the lock for as long, so that no worker
/// can begin in between. Returns whether it was so.
pub(super) async fn fail_if_abandoned(store: &Store, run_id: RunId) -> Result<bool> {
    let mut transaction = store.pool().begin().await?;
    let no_worker = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "taken!""#, KEY)
        .fetch_one(&mut *transaction)
        .await?;
    if !no_worker {
        return Ok(false);
    }
    let marked = sqlx::query!(
        "update refresh_runs set state = 'failed', error = $2, finished_at = now()
         where run_id = $1 and state = 'running'",
        run_id.get(),
        ABANDONED,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(marked.rows_affected() > 0)
}
