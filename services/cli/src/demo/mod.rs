//! `finrank demo`: the whole line once, on real data, from an empty database to recommendations.

mod report;
mod servers;

use std::{
    path::PathBuf,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use finrank_contracts::{
    feature::v1::StartRefreshRequest,
    ranking::v1::{RecommendRequest, ranking_service_client::RankingServiceClient},
};
use finrank_store::cluster;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use self::servers::{POLL, Server};
use crate::{
    commands::{self, block_on},
    output::Format,
    settings::Settings,
};

/// How long a server may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Customers whose recommendations are shown.
const SHOWN: [&str; 3] = ["caravan-0003", "caravan-0036", "caravan-1234"];

/// Go the whole way once: Postgres, import, training, evaluation, refresh, both servers, recommendations.
///
/// Learns from the insurance holdings of 5,822 real households (CoIL 2000, `Caravan.csv`). What an earlier
/// run has imported and trained is used again. `scripts/demo` installs what is missing, fetches the
/// data and calls this.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank demo --caravan .finrank/data/Caravan.csv\n  finrank demo --keep\n  finrank demo --stop"
)]
pub(crate) struct Demo {
    /// ISLP's Caravan.csv.
    #[arg(long, value_name = "FILE", default_value = ".finrank/data/Caravan.csv")]
    caravan: PathBuf,
    /// Leave Postgres and both servers running.
    #[arg(long, conflicts_with = "stop")]
    keep: bool,
    /// Stop what `--keep` left running, and do nothing else.
    #[arg(long)]
    stop: bool,
    /// Over how many seeds to average the leave-one-out evaluation.
    #[arg(long, default_value_t = 5, value_name = "N")]
    seeds: u64,
}

impl Demo {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<()> {
        // Servers of an earlier run would hold the ports.
        stop_servers(settings)?;
        if self.stop {
            return stop_postgres(settings);
        }

        let postgres_ran = cluster::running(&settings.cluster().data_dir)?.is_some();
        let shown = self.show(settings);
        if self.keep && shown.is_ok() {
            return report::how_to_go_on(settings);
        }
        let servers_stopped = stop_servers(settings);
        let postgres_stopped = if postgres_ran { Ok(()) } else { stop_postgres(settings) };
        shown.and(servers_stopped).and(postgres_stopped)
    }

    /// Everything but the stopping.
    fn show(&self, settings: &Settings) -> anyhow::Result<()> {
        step("Postgres");
        let settings = &settings.with_postgres_running()?;
        let database_url = settings.database_url()?;

        step("Importing customers, products and holdings");
        let import = commands::import::caravan(settings, &self.caravan)?;
        println!("{}", commands::import::table(&import));

        step("Training the towers and the scorer");
        let (model, trained) = commands::train::newest_or_train(settings, import.is_news())?;
        println!("{trained}");

        step("Evaluating: one held product hidden per customer, beside simpler recommenders");
        println!("{}", commands::evaluate::once(settings, &model, self.seeds)?);

        step("Starting the servers");
        let [feature_store, ranking] = servers::both(settings);
        let mut store_process = feature_store.start(settings.file.as_deref(), &database_url)?;
        let mut ranking_process = ranking.start(settings.file.as_deref(), &database_url)?;
        let store_url = settings.feature_store_url();
        let store_service = "finrank.feature.v1.FeatureStoreService";
        wait_until(&feature_store, &mut store_process, || is_serving(&store_url, store_service))?;
        println!("feature-store at {store_url}");

        step("Computing every embedding");
        let run = block_on(commands::refresh::follow(
            &store_url,
            StartRefreshRequest::default(),
            Format::for_a_person(),
        ))?;
        println!("generation {}: {} embeddings of {}", run.run_id, run.rows_done, run.model_version);

        let ranking_url = settings.ranking_url();
        wait_until(&ranking, &mut ranking_process, || serves_generation(&ranking_url, run.run_id))?;
        println!("ranking at {ranking_url}");

        step("Recommending");
        for user_id in SHOWN {
            println!("{}\n", block_on(report::recommendation(&store_url, &ranking_url, user_id))?);
        }
        Ok(())
    }
}

fn step(what: &str) {
    println!("\n\x1b[1m==> {what}\x1b[0m");
}

/// Ends the servers in the reverse order of their start.
fn stop_servers(settings: &Settings) -> anyhow::Result<()> {
    for server in servers::both(settings).into_iter().rev() {
        if server.stop()? {
            println!("stopped the {} server", server.name);
        }
    }
    Ok(())
}

/// Ends the private Postgres; one that is not ours is left alone.
fn stop_postgres(settings: &Settings) -> anyhow::Result<()> {
    let data_dir = settings.cluster().data_dir;
    if cluster::stop(&data_dir)? {
        println!("stopped Postgres in {}", data_dir.display());
    }
    Ok(())
}

/// Waits until a server is ready, and says what it logged if it ends instead.
fn wait_until(
    server: &Server,
    process: &mut Child,
    ready: impl Fn() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let give_up = Instant::now() + START_LIMIT;
    while !ready()? {
        if process.try_wait()?.is_some() {
            bail!(server.last_words());
        }
        if Instant::now() > give_up {
            bail!("not ready after {START_LIMIT:?}; {}", server.last_words());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Whether a service says that it serves; a server that does not listen yet does not.
fn is_serving(url: &str, service: &str) -> anyhow::Result<bool> {
    block_on(async {
        let Ok(channel) = Endpoint::from_shared(url.to_owned())?.connect().await else {
            return Ok(false);
        };
        let answer =
            HealthClient::new(channel).check(HealthCheckRequest { service: service.to_owned() }).await;
        Ok(answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving))
    })
}

/// Whether ranking answers from a generation.
fn serves_generation(url: &str, run_id: i64) -> anyhow::Result<bool> {
    block_on(async {
        let Ok(mut ranking) = RankingServiceClient::connect(url.to_owned()).await else {
            return Ok(false);
        };
        let request = RecommendRequest { user_id: SHOWN[0].to_owned(), k: 1, ..Default::default() };
        let Ok(answer) = ranking.recommend(request).await else {
            return Ok(false);
        };
        let versions = answer.into_inner().versions.context("ranking names no versions")?;
        Ok(versions.index_generation == run_id)
    })
}
