//! StartRefresh, WatchRefresh, CancelRefresh and ListRefreshes.

use std::{num::NonZeroU32, pin::Pin, time::Duration};

use finrank_contracts::feature::v1;
use finrank_model::InvalidField;
use finrank_serving::wire;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{optional_version, statistics, stopping::until_stopped};
use crate::{
    Result,
    refresh::{Entity, RefreshRequest, Refresher, Run, RunId, RunState, Scope},
};

/// How often a run is looked at; the contract promises a state at least once a second.
const POLL: Duration = Duration::from_millis(500);

/// Runs of one page.
const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 1000;

/// The states of a run.
pub(super) type States = Pin<Box<dyn Stream<Item = Result<v1::WatchRefreshResponse, Status>> + Send>>;

pub(super) async fn start(
    refresher: &Refresher,
    request: v1::StartRefreshRequest,
) -> Result<v1::StartRefreshResponse> {
    let started = refresher.start(wanted(&request)?).await?;
    let run = v1::RefreshRun { resumed: started.resumed, ..on_the_wire(started.run) };
    Ok(v1::StartRefreshResponse { run: Some(run) })
}

fn wanted(request: &v1::StartRefreshRequest) -> Result<RefreshRequest> {
    let since = request.since.map(|since| wire::moment("since", Some(since))).transpose()?;
    let scope = match wire::known("scope", request.scope)? {
        v1::RefreshScope::Unspecified | v1::RefreshScope::Full if since.is_some() => {
            return Err(InvalidField::new("since", "is only for REFRESH_SCOPE_CHANGES").into());
        }
        v1::RefreshScope::Unspecified | v1::RefreshScope::Full => Scope::Full,
        v1::RefreshScope::Changes => Scope::Changes { since },
    };
    Ok(RefreshRequest {
        version: optional_version(&request.model_version)?,
        scope,
        only: match wire::known("only", request.only)? {
            v1::EntityKind::Unspecified => None,
            v1::EntityKind::User => Some(Entity::User),
            v1::EntityKind::Product => Some(Entity::Product),
        },
        workers: NonZeroU32::new(request.workers),
        dry_run: request.dry_run,
    })
}

pub(super) async fn cancel(
    refresher: &Refresher,
    request: v1::CancelRefreshRequest,
) -> Result<v1::CancelRefreshResponse> {
    let run = refresher.cancel(request.run_id.into()).await?;
    Ok(v1::CancelRefreshResponse { run: Some(on_the_wire(run)) })
}

/// The token of a page is the number of the run before it.
pub(super) async fn list(
    refresher: &Refresher,
    request: v1::ListRefreshesRequest,
) -> Result<v1::ListRefreshesResponse> {
    let before = match request.page_token.as_str() {
        "" => None,
        token => {
            let run_id: i64 =
                token.parse().map_err(|_| InvalidField::new("page_token", "is not from a response"))?;
            Some(RunId::from(run_id))
        }
    };
    let page_size = match request.page_size {
        0 => DEFAULT_PAGE,
        size if size <= MAX_PAGE => size,
        _ => return Err(InvalidField::new("page_size", format!("is more than {MAX_PAGE}")).into()),
    } as usize;
    let mut runs = refresher.list(before, page_size + 1).await?;
    let has_more = runs.len() > page_size;
    runs.truncate(page_size);
    let last = runs.last().filter(|_| has_more);
    Ok(v1::ListRefreshesResponse {
        next_page_token: last.map(|run| run.run_id.to_string()).unwrap_or_default(),
        runs: runs.into_iter().map(on_the_wire).collect(),
    })
}

/// Looks at the table, since the run may be another process's. Ends with a state that is not "running", or
/// with an error once `stop` is cancelled.
pub(super) async fn watch(
    refresher: Refresher,
    request: v1::WatchRefreshRequest,
    stop: CancellationToken,
) -> Result<States> {
    let run_id = RunId::from(request.run_id);
    let first = refresher.run(run_id).await?;
    let judging = refresher.clone();
    let later = stream::try_unfold(first.state, move |state| {
        let refresher = refresher.clone();
        async move {
            if state != RunState::Running {
                return Ok(None);
            }
            time::sleep(POLL).await;
            let run = refresher.run(run_id).await?;
            let state = run.state;
            Ok::<_, Status>(Some((run, state)))
        }
    });
    let states = stream::once(async { Ok(first) })
        .chain(later)
        .and_then(move |run| with_breaches(judging.clone(), run));
    Ok(Box::pin(until_stopped(states, stop)))
}

/// The run, and if it has come to its end what of its features is not as expected.
async fn with_breaches(refresher: Refresher, run: Run) -> Result<v1::WatchRefreshResponse, Status> {
    let breaches = match run.state {
        RunState::Complete | RunState::Withheld => refresher.breaches(run.run_id).await?,
        RunState::Running | RunState::Failed | RunState::Cancelled => Vec::new(),
    };
    let breaches = breaches.iter().map(|(breach, entity_ids)| statistics::breach(breach, entity_ids));
    let run = v1::RefreshRun { breaches: breaches.collect(), ..on_the_wire(run) };
    Ok(v1::WatchRefreshResponse { run: Some(run) })
}

fn on_the_wire(run: Run) -> v1::RefreshRun {
    let state = match run.state {
        RunState::Running => v1::RefreshState::Running,
        RunState::Complete => v1::RefreshState::Complete,
        RunState::Failed => v1::RefreshState::Failed,
        RunState::Cancelled => v1::RefreshState::Cancelled,
        RunState::Withheld => v1::RefreshState::Withheld,
    };
    let (scope, since) = match run.scope {
        Scope::Full => (v1::RefreshScope::Full, None),
        Scope::Changes { since } => (v1::RefreshScope::Changes, since),
    };
    let only = match run.only {
        None => v1::EntityKind::Unspecified,
        Some(Entity::User) => v1::EntityKind::User,
        Some(Entity::Product) => v1::EntityKind::Product,
    };
    let remaining = remaining(&run);
    v1::RefreshRun {
        run_id: run.run_id.get(),
        model_version: run.model_version.to_string(),
        state: state.into(),
        rows_total: run.rows_total,
        rows_done: run.rows_done,
        partitions_total: run.partitions_total,
        partitions_done: run.partitions_done,
        error: run.error,
        started_at: Some(wire::timestamp(run.started_at)),
        finished_at: run.finished_at.map(wire::timestamp),
        resumed: false,
        base_run_id: run.base.map(RunId::get),
        scope: scope.into(),
        since: since.map(wire::timestamp),
        only: only.into(),
        rows_per_second: run.rows_per_second,
        remaining,
        breaches: Vec::new(),
    }
}

/// What is left, at the rate so far.
fn remaining(run: &Run) -> Option<prost_types::Duration> {
    if run.state != RunState::Running || run.rows_per_second == 0.0 {
        return None;
    }
    let seconds = run.rows_total.saturating_sub(run.rows_done) as f64 / run.rows_per_second;
    Duration::try_from_secs_f64(seconds).ok()?.try_into().ok()
}
