//! `finrank refresh`: asks the feature store to compute all embeddings, and follows it until it is done.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use finrank_contracts::feature::v1::{
    RefreshRun, RefreshScope, RefreshState, StartRefreshRequest, WatchRefreshRequest,
    feature_store_service_client::FeatureStoreServiceClient,
};
use serde::Serialize;

use super::block_on;
use crate::{client, output::Format, progress, settings::Settings};

/// Compute every user and product embedding of a model and serve them once they are whole.
///
/// The feature store does the work and goes on with it if this command is interrupted; asking again
/// follows the same run. A run that was killed resumes with the partitions that are missing.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank refresh\n  finrank refresh --changes\n  finrank refresh --model-version two-tower-20260105-1a2b3c --json"
)]
pub(crate) struct Refresh {
    /// The model whose towers to run; by default the newest registered one.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "VERSION")]
    model_version: String,
    /// Compute only what has changed since the model's newest generation; everything, if it has none.
    #[arg(long)]
    changes: bool,
    /// The feature-store server; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    feature_store: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// What a refresh did, as printed.
#[derive(Serialize)]
struct Report {
    run_id: i64,
    /// The full run that it adds changes to.
    base_run_id: Option<i64>,
    model_version: String,
    rows: u64,
    partitions: u32,
    resumed: bool,
    seconds: f64,
}

impl Refresh {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.feature_store.unwrap_or_else(|| settings.feature_store_url());
        let scope = if self.changes { RefreshScope::Changes } else { RefreshScope::Full };
        let run = block_on(follow(&url, self.model_version, scope, self.format))?;
        let report = Report {
            run_id: run.run_id,
            base_run_id: run.base_run_id,
            rows: run.rows_done,
            partitions: run.partitions_done,
            resumed: run.resumed,
            seconds: duration(&run).as_secs_f64(),
            model_version: run.model_version,
        };
        self.format.print(&report, |report| {
            let Report { run_id, model_version, rows, partitions, seconds, .. } = report;
            let added = report.base_run_id.map_or_else(String::new, |base| format!(" changed since {base} and after"));
            format!("generation {run_id}: {rows} embeddings{added} of {model_version} in {partitions} partitions, {seconds:.1} s")
        })
    }
}

/// Starts a refresh and draws its progress until it ends.
///
/// # Errors
/// When the feature store cannot be reached or the run fails.
pub(crate) async fn follow(
    url: &str,
    model_version: String,
    scope: RefreshScope,
    format: Format,
) -> anyhow::Result<RefreshRun> {
    let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
    let started = store.start_refresh(StartRefreshRequest { model_version, scope: scope.into() }).await;
    let started = started.map_err(|status| client::refusal(&status))?.into_inner();
    let mut run = started.run.context("the feature store started no run")?;

    let resumed = run.resumed;
    let bar = progress::bar(run.rows_total, "embeddings", format);
    let watched = store.watch_refresh(WatchRefreshRequest { run_id: run.run_id }).await;
    let mut states = watched.map_err(|status| client::refusal(&status))?.into_inner();
    while let Some(state) = states.message().await.map_err(|status| client::refusal(&status))? {
        run = state.run.context("the feature store sent no run")?;
        bar.set_length(run.rows_total);
        bar.set_position(run.rows_done);
    }
    bar.finish_and_clear();

    match run.state() {
        RefreshState::Complete => Ok(RefreshRun { resumed, ..run }),
        RefreshState::Failed => bail!("refresh run {} failed: {}", run.run_id, run.error),
        _ => {
            bail!("the feature store stopped following run {}; `finrank refresh` goes on with it", run.run_id)
        }
    }
}

/// How long the run took.
fn duration(run: &RefreshRun) -> Duration {
    let (Some(started), Some(finished)) = (run.started_at, run.finished_at) else {
        return Duration::ZERO;
    };
    let seconds = (finished.seconds - started.seconds) as f64;
    let nanos = f64::from(finished.nanos - started.nanos);
    Duration::try_from_secs_f64(seconds + nanos / 1e9).unwrap_or_default()
}
