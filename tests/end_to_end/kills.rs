//! Refreshes whose workers, and whose Postgres, are killed at random points: no embedding is lost, doubled, or of
//! another generation than its neighbours.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use finrank_contracts::feature::v1::{
    RefreshRun, RefreshState, StartRefreshRequest, WatchRefreshRequest,
    feature_store_service_client::FeatureStoreServiceClient,
};
use finrank_serving::wire;
use finrank_store::{
    DatabaseConfig, Store,
    cluster::{self, ClusterConfig},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tokio::task;

use crate::world::{Finrank, eventually};

/// Kills that have to strike a refresh before it is whole. Every third kill is of Postgres, the others are of the server
/// that has the workers.
const STRIKES: u32 = 50;
/// Kills altogether, in case that refreshes are never struck.
const MOST_KILLS: u32 = 500;

/// Ids and vectors of a generation.
type Embeddings = BTreeMap<String, Vec<u8>>;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_double_and_mix_no_embedding() {
    let place = task::block_in_place(Place::create);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    place.finrank.succeed(&["import", "--synthetic", "3000,40,7"]);
    place.finrank.succeed(&["train", "--epochs", "1"]);
    let mut server = FeatureStore::start(&place.finrank);
    let undisturbed = server.refresh_to_the_end().await;
    // The same model and data: every generation holds these, bit for bit.
    let expected = place.served().await.1;
    assert_eq!(expected.len(), 3040);

    let mut struck = 0;
    for number in 0..MOST_KILLS {
        if struck == STRIKES {
            break;
        }
        server.start_refresh().await;
        tokio::time::sleep(undisturbed.mul_f64(random.random_range(0.0..0.9))).await;
        if number % 3 == 2 {
            place.kill_postgres();
            place.restart_postgres().await;
        } else {
            server.kill();
            server = FeatureStore::start(&place.finrank);
        }
        struck += u32::from(place.is_unfinished().await);
        assert_eq!(place.served().await.1, expected, "after kill {number}");
    }
    server.refresh_to_the_end().await;

    let (runs, served) = place.served().await;
    assert_eq!(served, expected);
    assert_eq!(runs, 1, "a full refresh stands on no other");
    assert_eq!(struck, STRIKES, "of {MOST_KILLS} kills");
}

/// A cluster of the test's own, where an unprivileged Postgres may go, stopped and removed at the end.
struct Place {
    directory: TempDir,
    port: u16,
    finrank: Finrank,
}

impl Place {
    fn create() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // A temporary directory is its owner's alone; the user that runs Postgres must get through.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let config = ClusterConfig { data_dir: directory.path().join("pg"), bin_dir: None, port: None };
        let cluster = cluster::start(&config).unwrap();
        let state = directory.path().join("state");
        fs::create_dir(&state).unwrap();
        let finrank = Finrank { state, database_url: cluster.url("finrank") };
        Self { directory, port: cluster.port(), finrank }
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("pg")
    }

    fn kill_postgres(&self) {
        let cluster = cluster::running(&self.data_dir()).unwrap().unwrap();
        kill(Pid::from_raw(cluster.pid()), Signal::SIGKILL).unwrap();
    }

    /// Starts Postgres anew on its port, once what was killed has let go of it.
    async fn restart_postgres(&self) {
        let config = ClusterConfig { data_dir: self.data_dir(), bin_dir: None, port: Some(self.port) };
        eventually("Postgres starts again", async || {
            task::block_in_place(|| cluster::start(&config)).is_ok()
        })
        .await;
    }

    async fn store(&self) -> Store {
        let url = self.finrank.database_url.clone();
        let config = DatabaseConfig {
            url,
            max_connections: 1,
            acquire_timeout: Duration::from_secs(30),
            ..DatabaseConfig::default()
        };
        Store::connect(&config).await.unwrap()
    }

    async fn is_unfinished(&self) -> bool {
        let query = "select exists (select from refresh_runs where state in ('running', 'failed'))";
        sqlx::query_scalar(query).fetch_one(self.store().await.pool()).await.unwrap()
    }

    /// The generation that readers see: of how many runs it is made, and every row of them.
    async fn served(&self) -> (usize, Embeddings) {
        let store = self.store().await;
        let runs: Vec<i64> = sqlx::query_scalar("select runs from generations order by run_id desc limit 1")
            .fetch_one(store.pool())
            .await
            .unwrap();
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "select 'user ' || user_id, vector from user_embeddings where run_id = any($1)
             union all
             select 'product ' || product_id, vector from product_embeddings where run_id = any($1)",
        )
        .bind(&runs)
        .fetch_all(store.pool())
        .await
        .unwrap();
        let count = rows.len();
        let embeddings = Embeddings::from_iter(rows);
        assert_eq!(embeddings.len(), count, "no row is doubled");
        (runs.len(), embeddings)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = cluster::stop(&self.data_dir());
    }
}

/// A server that can be killed, with small partitions, so that there are many points to be killed at.
struct FeatureStore {
    process: Child,
    url: String,
}

impl FeatureStore {
    fn start(finrank: &Finrank) -> Self {
        let mut process = finrank
            .command(&["serve", "feature-store", "--listen", "127.0.0.1:0"])
            .env("FINRANK__FEATURE_STORE__REFRESH__PARTITION_ROWS", "20")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().last().expect("the server starts").to_owned();
        Self { process, url }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a refresh or goes on with one, once the server has Postgres again.
    async fn start_refresh(&self) -> i64 {
        let mut run_id = None;
        eventually("a refresh starts", async || {
            let Ok(mut client) = FeatureStoreServiceClient::connect(self.url.clone()).await else {
                return false;
            };
            let started = client.start_refresh(StartRefreshRequest::default()).await;
            run_id = started.ok().and_then(|started| started.into_inner().run).map(|run| run.run_id);
            run_id.is_some()
        })
        .await;
        run_id.unwrap()
    }

    /// Refreshes, and returns how long that took.
    async fn refresh_to_the_end(&self) -> Duration {
        let run_id = self.start_refresh().await;
        let mut client = FeatureStoreServiceClient::connect(self.url.clone()).await.unwrap();
        let mut states = client.watch_refresh(WatchRefreshRequest { run_id }).await.unwrap().into_inner();
        let mut run = RefreshRun::default();
        while let Some(state) = states.message().await.unwrap() {
            run = state.run.unwrap();
        }
        assert_eq!(run.state(), RefreshState::Complete, "{}", run.error);
        let ended = [run.started_at, run.finished_at].map(|time| wire::moment("time", time).unwrap());
        (ended[1] - ended[0]).to_std().unwrap()
    }
}

impl Drop for FeatureStore {
    fn drop(&mut self) {
        self.kill();
    }
}
