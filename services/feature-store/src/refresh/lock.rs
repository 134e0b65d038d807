//! Whether workers live, whatever process they live in: a Postgres advisory lock that every worker's own connection
//! shares. Postgres lets go of it when that connection ends, be it by `kill -9`, so that the lock is the worker's
//! life: a run that says "running" while nobody shares the lock is abandoned.
//!
//! What keeps that true: whoever plans a run has the lock alone before it says "running", and shares it before it lets
//! go of having it alone. The lock belongs to one database, as the tables do.

use finrank_store::{Store, bulk};

use super::RunId;
use crate::Result;

/// "finrank" in ASCII, then 1: no other program's lock.
const KEY: i64 = 0x6669_6e72_616e_6b01;

/// What a run is told that was found abandoned.
pub(super) const ABANDONED: &str =
    "its worker is gone; starting the same model version again goes on from the whole partitions";

/// A worker's connection, which shares the lock for as long as it is open. It blocks: to be made, used and dropped
/// outside of asynchronous code.
pub(super) struct WorkerConnection(postgres::Client);

impl WorkerConnection {
    /// Connects and has the lock alone, or returns nothing when a worker lives. Others can join only after
    /// [`WorkerConnection::let_others_join`].
    pub(super) fn open_alone(url: &str) -> Result<Option<Self>> {
        Self::open(url, "select pg_try_advisory_lock($1)")
    }

    /// Connects and shares the lock, or returns nothing while somebody has it alone.
    pub(super) fn open_shared(url: &str) -> Result<Option<Self>> {
        Self::open(url, "select pg_try_advisory_lock_shared($1)")
    }

    fn open(url: &str, lock: &str) -> Result<Option<Self>> {
        let mut client = bulk::connect(url)?;
        let taken: bool = client.query_one(lock, &[&KEY])?.get(0);
        Ok(taken.then_some(Self(client)))
    }

    /// Shares the lock that it had alone.
    pub(super) fn let_others_join(&mut self) -> Result<()> {
        self.0.execute("select pg_advisory_lock_shared($1)", &[&KEY])?;
        self.0.execute("select pg_advisory_unlock($1)", &[&KEY])?;
        Ok(())
    }

    /// Begins a transaction.
    pub(super) fn transaction(&mut self) -> Result<postgres::Transaction<'_>> {
        Ok(self.0.transaction()?)
    }

    /// Lets go of the lock, and begins a transaction that has it alone if no other worker lives.
    pub(super) fn transaction_of_the_last(
        mut self,
        end: impl FnOnce(postgres::Transaction<'_>) -> Result<()>,
    ) -> Result<()> {
        self.0.execute("select pg_advisory_unlock_shared($1)", &[&KEY])?;
        let mut transaction = self.0.transaction()?;
        let last: bool = transaction.query_one("select pg_try_advisory_xact_lock($1)", &[&KEY])?.get(0);
        if last { end(transaction) } else { Ok(()) }
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
