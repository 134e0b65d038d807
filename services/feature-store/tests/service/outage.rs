//! Postgres going away and coming back under a server that runs, and a port that is taken.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use finrank_contracts::feature::v1::{
    BatchGetHoldingsRequest, feature_store_service_client::FeatureStoreServiceClient,
};
use finrank_feature_store::{FeatureStoreConfig, FeatureStoreError, serve};
use finrank_serving::ServingError;
use finrank_store::{
    DatabaseConfig, Store,
    cluster::{self, ClusterConfig},
    scratch::ScratchDatabase,
};
use tokio::{sync::oneshot, task, time};
use tokio_util::sync::CancellationToken;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use crate::support::{FeatureStore, proxy::Proxy};

#[tokio::test]
async fn says_that_postgres_is_down_and_serves_again_when_it_is_back() {
    let postgres = Postgres::start().await;
    let store = Store::connect(&postgres.database()).await.unwrap();
    let config = free_port();
    let shutdown = CancellationToken::new();
    let (bound, address) = oneshot::channel();
    let server = tokio::spawn(serve(config, store, shutdown.clone(), bound));
    let url = format!("http://{}", address.await.unwrap());
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut client = FeatureStoreServiceClient::new(channel.clone());
    let question = || BatchGetHoldingsRequest { user_ids: vec!["u1".to_owned()] };
    become_healthy(&channel, ServingStatus::Serving).await;

    postgres.stop().await;
    let refused = client.batch_get_holdings(question()).await.unwrap_err();
    become_healthy(&channel, ServingStatus::NotServing).await;
    postgres.restart().await;
    become_healthy(&channel, ServingStatus::Serving).await;
    let answered = client.batch_get_holdings(question()).await;

    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "POSTGRES_UNAVAILABLE");
    assert!(refused.get_details_retry_info().is_some());
    assert!(answered.is_ok(), "{answered:?}");
    shutdown.cancel();
    server.await.unwrap().unwrap();
    postgres.stop().await;
}

#[tokio::test]
async fn says_that_postgres_does_not_answer_though_its_connections_are_open() {
    let database = ScratchDatabase::create().await;
    let proxy = Proxy::start(database.store.url()).await;
    let config = DatabaseConfig { url: proxy.url.clone(), ..DatabaseConfig::default() };
    let through = Store::connect(&config).await.unwrap();
    let store = FeatureStore::start_connected(database, through).await;
    become_healthy(&store.channel, ServingStatus::Serving).await;

    proxy.be_silent(true);
    become_healthy(&store.channel, ServingStatus::NotServing).await;
    proxy.be_silent(false);
    become_healthy(&store.channel, ServingStatus::Serving).await;
}

#[tokio::test]
async fn says_that_its_port_is_taken() {
    let database = ScratchDatabase::create().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = free_port();
    config.server.listen = taken.local_addr().unwrap();
    let (bound, _address) = oneshot::channel();

    let refused = serve(config, database.store.clone(), CancellationToken::new(), bound).await;

    assert!(matches!(refused, Err(FeatureStoreError::Serving(ServingError::AddressInUse(_)))));
}

fn free_port() -> FeatureStoreConfig {
    let mut config = FeatureStoreConfig::default();
    config.server.listen = "127.0.0.1:0".parse().unwrap();
    config
}

/// Waits until the service says so of itself.
async fn become_healthy(channel: &Channel, wanted: ServingStatus) {
    let mut health = HealthClient::new(channel.clone());
    let request = HealthCheckRequest { service: "finrank.feature.v1.FeatureStoreService".to_owned() };
    let mut states = health.watch(request).await.unwrap().into_inner();
    let waiting = async {
        while states.message().await.unwrap().expect("health is watched for ever").status() != wanted {}
    };
    time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never {wanted:?}"));
}

/// A cluster of one's own, to be stopped.
struct Postgres {
    config: ClusterConfig,
    url: String,
    _directory: tempfile::TempDir,
}

impl Postgres {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Postgres runs as another user where the tests run as root.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data_dir: PathBuf = directory.path().join("pg");
        let config = ClusterConfig { data_dir, bin_dir: None, port: None };
        let url = start(config.clone()).await.url("postgres");
        Self { config, url, _directory: directory }
    }

    fn database(&self) -> DatabaseConfig {
        DatabaseConfig {
            url: self.url.clone(),
            acquire_timeout: Duration::from_secs(1),
            ..DatabaseConfig::default()
        }
    }

    async fn stop(&self) {
        let data_dir = self.config.data_dir.clone();
        task::spawn_blocking(move || cluster::stop(&data_dir)).await.unwrap().unwrap();
    }

    /// Starts it again where it was.
    async fn restart(&self) {
        let port = self.url.rsplit_once('/').unwrap().0.rsplit_once(':').unwrap().1;
        let config = ClusterConfig { port: Some(port.parse().unwrap()), ..self.config.clone() };
        start(config).await;
    }
}

impl Drop for Postgres {
    /// Also when an assertion failed; stopping what is stopped does nothing.
    fn drop(&mut self) {
        let _ = cluster::stop(&self.config.data_dir);
    }
}

async fn start(config: ClusterConfig) -> cluster::Cluster {
    task::spawn_blocking(move || cluster::start(&config)).await.unwrap().unwrap()
}
