//! `finrank refresh`: asks the feature store to compute all embeddings, and follows it until it is done.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use finrank_contracts::feature::v1::{
    CancelRefreshRequest, EntityKind, ListRefreshesRequest, RefreshRun, RefreshScope, RefreshState,
    StartRefreshRequest, WatchRefreshRequest, feature_store_service_client::FeatureStoreServiceClient,
};
use finrank_model::parse_moment;
use finrank_serving::wire;
use indicatif::HumanDuration;
use serde::Serialize;

use super::{block_on, features::breach_in_words};
use crate::{client, output::Format, progress, settings::Settings};

/// Compute every user and product embedding of a model and serve them once they are whole.
///
/// The feature store does the work and goes on with it if this command is interrupted; asking again
/// follows the same run. A run that was killed resumes with the partitions that are missing. Asking several
/// feature-store servers of one database puts the workers of all of them to the same run.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  finrank refresh\n  finrank refresh --changes\n  finrank refresh --changes --dry-run\n  finrank refresh --only users --workers 4\n  finrank refresh --model-version two-tower-20260105-1a2b3c --json\n  finrank refresh list\n  finrank refresh cancel 42"
)]
pub(crate) struct Refresh {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    start: Start,
}

#[derive(Subcommand)]
enum Action {
    List(List),
    Cancel(Cancel),
}

/// What to compute.
#[derive(Args)]
struct Start {
    /// The model whose towers to run; by default the one that is served, or before the first promotion the newest.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "VERSION")]
    model_version: String,
    /// Compute only what has changed since the model's newest generation; everything, if it has none.
    #[arg(long)]
    changes: bool,
    /// Compute what was learned since this moment, for example 2026-01-05T00:00:00Z; no later than the newest generation.
    #[arg(long, value_name = "TIME", value_parser = |raw: &str| parse_moment("--since", raw))]
    since: Option<DateTime<Utc>>,
    /// Compute only one kind of embeddings; the others stay as they are.
    #[arg(long, value_enum, value_name = "KIND")]
    only: Option<Only>,
    /// Workers of the asked server, from 1 to 64; by default as its settings say.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: Option<u32>,
    /// Say what would be computed, and compute nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
}

/// Show the runs that are still stored, newest first.
#[derive(Args)]
#[command(after_help = "Example:\n  finrank refresh list --json")]
struct List {
    #[command(flatten)]
    server: Server,
}

/// End a run that is not complete; what it has written is never served.
#[derive(Args)]
#[command(after_help = "Example:\n  finrank refresh cancel 42")]
struct Cancel {
    /// The run's number.
    run_id: i64,
    #[command(flatten)]
    server: Server,
}

#[derive(Args)]
struct Server {
    /// The feature-store server; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    feature_store: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Server {
    fn url(&self, settings: &Settings) -> String {
        self.feature_store.clone().unwrap_or_else(|| settings.feature_store_url())
    }
}

/// Whose embeddings.
#[derive(Clone, Copy, ValueEnum)]
enum Only {
    Users,
    Products,
}

/// A run, as printed.
#[derive(Serialize)]
struct Report {
    run_id: i64,
    state: &'static str,
    /// The full run that it adds changes to.
    base_run_id: Option<i64>,
    model_version: String,
    rows: u64,
    rows_total: u64,
    partitions: u32,
    partitions_total: u32,
    resumed: bool,
    seconds: f64,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    /// Features that are not as they should be.
    breaches: Vec<String>,
}

impl From<RefreshRun> for Report {
    fn from(run: RefreshRun) -> Self {
        Self {
            run_id: run.run_id,
            state: match run.state() {
                RefreshState::Complete => "complete",
                RefreshState::Failed => "failed",
                RefreshState::Cancelled => "cancelled",
                RefreshState::Withheld => "withheld",
                RefreshState::Running | RefreshState::Unspecified => "running",
            },
            base_run_id: run.base_run_id,
            rows: run.rows_done,
            rows_total: run.rows_total,
            partitions: run.partitions_done,
            partitions_total: run.partitions_total,
            resumed: run.resumed,
            seconds: duration(&run).as_secs_f64(),
            breaches: run.breaches.iter().map(breach_in_words).collect(),
            model_version: run.model_version,
            error: run.error,
        }
    }
}

impl Report {
    /// What a dry run says.
    fn outlook(&self) -> String {
        let Self { rows, rows_total, model_version, partitions_total, .. } = self;
        let left = if self.resumed { format!("; {rows} of them are written already") } else { String::new() };
        format!(
            "would compute {rows_total} embeddings of {model_version} in {partitions_total} partitions{left}"
        )
    }

    /// One line of a list.
    fn line(&self) -> String {
        let Self { run_id, state, model_version, rows, rows_total, error, .. } = self;
        let error = if error.is_empty() { String::new() } else { format!(": {error}") };
        format!("{run_id} {state}, {rows} of {rows_total} embeddings of {model_version}{error}")
    }
}

impl Refresh {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self.action {
            Some(Action::List(list)) => list.run(settings),
            Some(Action::Cancel(cancel)) => cancel.run(settings),
            None => self.start.run(settings),
        }
    }
}

impl Start {
    fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let url = self.server.url(settings);
        let format = self.server.format;
        let scope =
            if self.changes || self.since.is_some() { RefreshScope::Changes } else { RefreshScope::Full };
        let only = match self.only {
            None => EntityKind::Unspecified,
            Some(Only::Users) => EntityKind::User,
            Some(Only::Products) => EntityKind::Product,
        };
        let request = StartRefreshRequest {
            model_version: self.model_version,
            scope: scope.into(),
            since: self.since.map(wire::timestamp),
            only: only.into(),
            workers: self.workers.unwrap_or_default(),
            dry_run: self.dry_run,
        };
        if self.dry_run {
            let report = Report::from(block_on(start(&url, request))?);
            return format.print(&report, Report::outlook);
        }
        let report = Report::from(block_on(follow(&url, request, format))?);
        format.print(&report, |report| {
            let Report { run_id, model_version, rows, partitions, seconds, .. } = report;
            let added = report.base_run_id.map_or_else(String::new, |base| format!(" that changed since generation {base}"));
            let breaches: String = report.breaches.iter().map(|breach| format!("\n! {breach}")).collect();
            format!("generation {run_id} of {model_version}: {rows} embeddings{added}, in {partitions} partitions, {seconds:.1} s{breaches}")
        })
    }
}

impl List {
    fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let runs = block_on(list(&self.server.url(settings)))?;
        let reports: Vec<Report> = runs.into_iter().map(Report::from).collect();
        self.server.format.print(&reports, |reports| match reports.as_slice() {
            [] => "no refresh is stored yet".to_owned(),
            reports => reports.iter().map(Report::line).collect::<Vec<_>>().join("\n"),
        })
    }
}

impl Cancel {
    fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let report = Report::from(block_on(cancel(&self.server.url(settings), self.run_id))?);
        self.server.format.print(&report, Report::line)
    }
}

async fn list(url: &str) -> anyhow::Result<Vec<RefreshRun>> {
    let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
    let mut runs = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = store.list_refreshes(ListRefreshesRequest { page_size: 0, page_token }).await;
        let page = page.map_err(|status| client::refusal(&status))?.into_inner();
        runs.extend(page.runs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(runs);
        }
    }
}

async fn cancel(url: &str, run_id: i64) -> anyhow::Result<RefreshRun> {
    let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
    let cancelled = store.cancel_refresh(CancelRefreshRequest { run_id }).await;
    let cancelled = cancelled.map_err(|status| client::refusal(&status))?.into_inner();
    cancelled.run.context("the feature store sent no run")
}

async fn start(url: &str, request: StartRefreshRequest) -> anyhow::Result<RefreshRun> {
    let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
    let started = store.start_refresh(request).await.map_err(|status| client::refusal(&status))?;
    started.into_inner().run.context("the feature store started no run")
}

/// Starts a refresh and draws its progress until it ends.
///
/// # Errors
/// When the feature store cannot be reached or the run fails.
pub(crate) async fn follow(
    url: &str,
    request: StartRefreshRequest,
    format: Format,
) -> anyhow::Result<RefreshRun> {
    let mut store = FeatureStoreServiceClient::new(client::connect(url, "feature-store").await?);
    let started = store.start_refresh(request).await.map_err(|status| client::refusal(&status))?;
    let mut run = started.into_inner().run.context("the feature store started no run")?;

    let resumed = run.resumed;
    let bar = progress::served_bar(run.rows_total, "embeddings", format);
    let watched = store.watch_refresh(WatchRefreshRequest { run_id: run.run_id }).await;
    let mut states = watched.map_err(|status| client::refusal(&status))?.into_inner();
    while let Some(state) = states.message().await.map_err(|status| client::refusal(&status))? {
        run = state.run.context("the feature store sent no run")?;
        bar.set_length(run.rows_total);
        bar.set_position(run.rows_done);
        bar.set_message(pace(&run));
    }
    bar.finish_and_clear();

    match run.state() {
        RefreshState::Complete => Ok(RefreshRun { resumed, ..run }),
        RefreshState::Cancelled => bail!("refresh run {} was cancelled", run.run_id),
        RefreshState::Withheld => {
            let breaches: Vec<String> = run.breaches.iter().map(breach_in_words).collect();
            bail!(
                "refresh run {} is withheld, readers stay with the generation before: {}",
                run.run_id,
                breaches.join("; ")
            )
        }
        RefreshState::Failed => bail!("refresh run {} failed: {}", run.run_id, run.error),
        _ => {
            bail!("the feature store stopped following run {}; `finrank refresh` goes on with it", run.run_id)
        }
    }
}

/// How fast the run goes and how long it still takes, as the feature store says: a run may have begun long before.
fn pace(run: &RefreshRun) -> String {
    let remaining = run.remaining.and_then(|remaining| Duration::try_from(remaining).ok());
    remaining.map_or_else(String::new, |remaining| {
        format!("{:.0}/s, {}", run.rows_per_second, HumanDuration(remaining))
    })
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
