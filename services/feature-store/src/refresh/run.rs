//! A refresh run as its table tells it, whichever process works on it.

use std::fmt;

use chrono::{DateTime, Utc};
use finrank_model::ModelVersion;
use finrank_store::Store;

use super::lock;
use crate::{FeatureStoreError, Result};

/// Numbers a refresh run, and the generation of embeddings that it writes; later ones are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(i64);

impl RunId {
    /// The number, as stored and sent.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl From<i64> for RunId {
    fn from(run_id: i64) -> Self {
        Self(run_id)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// A worker is at it.
    Running,
    /// Every partition is written, and readers see it.
    Complete,
    /// Stopped; starting its model version again goes on with it.
    Failed,
}

/// A run as it stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// Its number.
    pub run_id: RunId,
    /// The model whose towers run.
    pub model_version: ModelVersion,
    /// How far it is.
    pub state: RunState,
    /// The full run that it adds changes to; absent for a full one.
    pub base: Option<RunId>,
    /// Embeddings to write.
    pub rows_total: u64,
    /// Embeddings written in whole partitions.
    pub rows_done: u64,
    /// Transactions to make.
    pub partitions_total: u32,
    /// Transactions made.
    pub partitions_done: u32,
    /// What stopped it; empty unless it failed.
    pub error: String,
    /// When it was planned.
    pub started_at: DateTime<Utc>,
    /// When it was complete or failed.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Looks a run up. One that says it runs although no worker lives is marked failed first, so that nobody
/// waits for it.
///
/// # Errors
/// [`FeatureStoreError::RunNotFound`], or what Postgres says.
pub(super) async fn find(store: &Store, run_id: RunId) -> Result<Run> {
    let run = read(store, run_id).await?;
    if run.state == RunState::Running && lock::fail_if_abandoned(store, run_id).await? {
        return read(store, run_id).await;
    }
    Ok(run)
}

/// The run that says it runs, if there is one.
pub(super) async fn under_way(store: &Store) -> Result<Option<Run>> {
    let run_id = sqlx::query_scalar!("select run_id from refresh_runs where state = 'running'")
        .fetch_optional(store.pool())
        .await?;
    match run_id {
        Some(run_id) => read(store, run_id.into()).await.map(Some),
        None => Ok(None),
    }
}

/// Looks a run up as the table has it.
pub(super) async fn read(store: &Store, run_id: RunId) -> Result<Run> {
    let row = sqlx::query!(
        r#"select r.model_version, r.state, r.base_run_id, r.error, r.started_at, r.finished_at,
                  coalesce(sum(p.row_count), 0)::bigint as "rows_total!",
                  coalesce(sum(p.row_count) filter (where p.finished_at is not null), 0)::bigint as "rows_done!",
                  count(p.partition) as "partitions_total!",
                  count(p.finished_at) as "partitions_done!"
           from refresh_runs r left join refresh_partitions p using (run_id)
           where r.run_id = $1
           group by r.run_id"#,
        run_id.get(),
    )
    .fetch_optional(store.pool())
    .await?
    .ok_or(FeatureStoreError::RunNotFound { run_id })?;
    Ok(Run {
        run_id,
        model_version: ModelVersion::parse(row.model_version).map_err(FeatureStoreError::StoredRow)?,
        state: state(&row.state),
        base: row.base_run_id.map(RunId),
        rows_total: row.rows_total.unsigned_abs(),
        rows_done: row.rows_done.unsigned_abs(),
        partitions_total: u32::try_from(row.partitions_total).unwrap_or(u32::MAX),
        partitions_done: u32::try_from(row.partitions_done).unwrap_or(u32::MAX),
        error: row.error,
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

/// The schema allows these four and no other.
fn state(stored: &str) -> RunState {
    match stored {
        "complete" | "merged" => RunState::Complete,
        "failed" => RunState::Failed,
        _ => RunState::Running,
    }
}
