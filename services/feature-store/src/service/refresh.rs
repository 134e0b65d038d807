//! StartRefresh and WatchRefresh.

use std::{pin::Pin, time::Duration};

use finrank_contracts::feature::v1;
use finrank_serving::wire;
use futures::{Stream, StreamExt, stream};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::optional_version;
use crate::{
    Result,
    refresh::{Refresher, Run, RunId, RunState, Scope},
};

/// How often a run is looked at; the contract promises a state at least once a second.
const POLL: Duration = Duration::from_millis(500);

/// The states of a run.
pub(super) type States = Pin<Box<dyn Stream<Item = Result<v1::WatchRefreshResponse, Status>> + Send>>;

pub(super) async fn start(
    refresher: &Refresher,
    request: v1::StartRefreshRequest,
) -> Result<v1::StartRefreshResponse> {
    let scope = match request.scope() {
        v1::RefreshScope::Unspecified | v1::RefreshScope::Full => Scope::Full,
        v1::RefreshScope::Changes => Scope::Changes,
    };
    let started = refresher.start(optional_version(&request.model_version)?, scope).await?;
    let run = v1::RefreshRun { resumed: started.resumed, ..on_the_wire(started.run) };
    Ok(v1::StartRefreshResponse { run: Some(run) })
}

/// Looks at the table, since the run may be another process's. Ends with a state that is not "running", or
/// once `stop` is cancelled.
pub(super) async fn watch(
    refresher: Refresher,
    request: v1::WatchRefreshRequest,
    stop: CancellationToken,
) -> Result<States> {
    let run_id = RunId::from(request.run_id);
    let first = refresher.run(run_id).await?;
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
        .map(|run| run.map(|run| v1::WatchRefreshResponse { run: Some(on_the_wire(run)) }))
        .take_until(stop.cancelled_owned());
    Ok(Box::pin(states))
}

fn on_the_wire(run: Run) -> v1::RefreshRun {
    let state = match run.state {
        RunState::Running => v1::RefreshState::Running,
        RunState::Complete => v1::RefreshState::Complete,
        RunState::Failed => v1::RefreshState::Failed,
    };
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
    }
}
