//! A refresh run as its table tells it, whichever process works on it.

use std::fmt;

use chrono::{DateTime, Utc};
use finrank_model::{ModelVersion, Sha256Digest};
use finrank_store::Store;
use sqlx::PgConnection;

use super::{Entity, Scope, lock};
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
    /// Ended by request; never to be served.
    Cancelled,
    /// Whole, but its features are not as they must be; never to be served.
    Withheld,
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
    /// What was asked for.
    pub scope: Scope,
    /// Of whom; absent for users and products.
    pub only: Option<Entity>,
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
    /// Embeddings written per second since it was begun or last gone on with.
    pub rows_per_second: f64,
    /// What stopped it; empty unless it failed.
    pub error: String,
    /// By which feature definitions, and of which moment, its features are summarised; runs of earlier versions are not.
    pub summarised: Option<(Sha256Digest, DateTime<Utc>)>,
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
    let stored = async || read(&mut *store.pool().acquire().await?, run_id).await;
    let run = stored().await?;
    if run.state == RunState::Running && lock::fail_if_abandoned(store, run_id).await? {
        return stored().await;
    }
    Ok(run)
}

/// The run that says it runs, if there is one.
pub(super) async fn under_way(store: &Store) -> Result<Option<Run>> {
    let run_id = sqlx::query_scalar!("select run_id from refresh_runs where state = 'running'")
        .fetch_optional(store.pool())
        .await?;
    match run_id {
        Some(run_id) => read(&mut *store.pool().acquire().await?, run_id.into()).await.map(Some),
        None => Ok(None),
    }
}

/// Looks a run up as the table has it.
pub(super) async fn read(view: &mut PgConnection, run_id: RunId) -> Result<Run> {
    let mut found = rows(view, Some(run_id), None, 1).await?;
    found.pop().ok_or(FeatureStoreError::RunNotFound { run_id })
}

/// The newest runs, or those before `before`.
pub(super) async fn list(store: &Store, before: Option<RunId>, limit: usize) -> Result<Vec<Run>> {
    rows(&mut *store.pool().acquire().await?, None, before, limit).await
}

async fn rows(
    view: &mut PgConnection,
    run_id: Option<RunId>,
    before: Option<RunId>,
    limit: usize,
) -> Result<Vec<Run>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.run_id, r.model_version, r.state, r.scope, r.only_entity, r.since, r.base_run_id, r.error,
                  r.started_at, r.finished_at, r.definitions_sha256, r.summarised_at,
                  coalesce(sum(p.row_count), 0)::bigint as "rows_total!",
                  coalesce(sum(p.row_count) filter (where p.finished_at is not null), 0)::bigint as "rows_done!",
                  coalesce(sum(p.row_count) filter (where p.finished_at >= r.worked_from), 0)::float8
                      as "rows_lately!",
                  extract(epoch from coalesce(r.finished_at, clock_timestamp()) - r.worked_from)::float8
                      as "seconds_lately!",
                  count(p.partition) as "partitions_total!",
                  count(p.finished_at) as "partitions_done!"
           from refresh_runs r left join refresh_partitions p using (run_id)
           where ($1::bigint is null or r.run_id = $1) and ($2::bigint is null or r.run_id < $2)
           group by r.run_id
           order by r.run_id desc
           limit $3"#,
        run_id.map(RunId::get),
        before.map(RunId::get),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(view)
    .await?;
    rows.into_iter().map(Row::parse).collect()
}

struct Row {
    run_id: i64,
    model_version: String,
    state: String,
    scope: String,
    only_entity: Option<String>,
    since: Option<DateTime<Utc>>,
    base_run_id: Option<i64>,
    error: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    definitions_sha256: Option<String>,
    summarised_at: Option<DateTime<Utc>>,
    rows_total: i64,
    rows_done: i64,
    rows_lately: f64,
    seconds_lately: f64,
    partitions_total: i64,
    partitions_done: i64,
}

impl Row {
    fn parse(self) -> Result<Run> {
        let digest = self.definitions_sha256.as_deref().map(Sha256Digest::parse).transpose();
        let digest = digest.map_err(FeatureStoreError::StoredRow)?;
        Ok(Run {
            run_id: self.run_id.into(),
            model_version: ModelVersion::parse(self.model_version).map_err(FeatureStoreError::StoredRow)?,
            state: state(&self.state),
            scope: if self.scope == "full" { Scope::Full } else { Scope::Changes { since: self.since } },
            only: self.only_entity.as_deref().map(Entity::from_stored),
            base: self.base_run_id.map(RunId),
            rows_total: self.rows_total.unsigned_abs(),
            rows_done: self.rows_done.unsigned_abs(),
            partitions_total: u32::try_from(self.partitions_total).unwrap_or(u32::MAX),
            partitions_done: u32::try_from(self.partitions_done).unwrap_or(u32::MAX),
            rows_per_second: if self.rows_lately > 0.0 {
                self.rows_lately / self.seconds_lately
            } else {
                0.0
            },
            error: self.error,
            summarised: digest.zip(self.summarised_at),
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}

/// The schema allows these six and no other.
fn state(stored: &str) -> RunState {
    match stored {
        "complete" | "merged" => RunState::Complete,
        "failed" => RunState::Failed,
        "cancelled" => RunState::Cancelled,
        "withheld" => RunState::Withheld,
        _ => RunState::Running,
    }
}
