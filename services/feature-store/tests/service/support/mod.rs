//! A feature store of one's own for each test: real Postgres, a real socket, the generated client.

pub(crate) mod learned;
pub(crate) mod proxy;
pub(crate) mod samples;
pub(crate) mod watching;

use std::{num::NonZeroU32, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use finrank_contracts::{
    common::v1::{Customer, Event, Product},
    feature::v1::{
        BatchGetEmbeddingsRequest, BatchGetEmbeddingsResponse, EntityKind, RefreshRun, RefreshScope,
        StartRefreshRequest, WatchRefreshRequest, WriteCustomersRequest, WriteEventsRequest,
        WriteProductsRequest, WriteSummary, feature_store_service_client::FeatureStoreServiceClient,
    },
};
use finrank_feature_store::{FeatureStoreConfig, serve};
use finrank_model::{Bundle, bundle_directory};
use finrank_store::{
    Store,
    models::{self, RegisteredModel},
    scratch::ScratchDatabase,
};
use futures::stream;
use sqlx::{Postgres, Transaction};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

pub(crate) struct FeatureStore {
    pub(crate) client: FeatureStoreServiceClient<Channel>,
    /// What the client speaks through; others may.
    pub(crate) channel: Channel,
    pub(crate) database: ScratchDatabase,
    models: TempDir,
    config: FeatureStoreConfig,
    shutdown: CancellationToken,
    server: JoinHandle<finrank_feature_store::Result<()>>,
}

/// Partitions of 10 rows, and heartbeats and idle limits that a test can wait for.
fn config(models: &Path) -> FeatureStoreConfig {
    let mut config = FeatureStoreConfig { models_dir: models.to_owned(), ..FeatureStoreConfig::default() };
    config.server.listen = "127.0.0.1:0".parse().unwrap();
    config.refresh.partition_rows = NonZeroU32::new(10).unwrap();
    config.refresh.workers = NonZeroU32::new(1).unwrap();
    config.watch.heartbeat = Duration::from_millis(200);
    config.stream_idle_limit = Duration::from_secs(2);
    // What refreshes do is seen where nothing else computes.
    config.live.enabled = false;
    config
}

/// Starts a server, and connects to it.
async fn serve_beside(
    store: &Store,
    config: FeatureStoreConfig,
    shutdown: &CancellationToken,
) -> (Channel, JoinHandle<finrank_feature_store::Result<()>>) {
    let (bound, address) = oneshot::channel();
    let server = tokio::spawn(serve(config, store.clone(), shutdown.clone(), bound));
    let address = address.await.expect("the server binds");
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    (channel, server)
}

fn live(config: &mut FeatureStoreConfig) {
    config.live.enabled = true;
    config.live.interval = Duration::from_millis(20);
    config.live.step_rows = NonZeroU32::new(3).unwrap();
}

impl FeatureStore {
    pub(crate) async fn start() -> Self {
        Self::start_configured(|_| {}).await
    }

    /// With feature views of one's own.
    pub(crate) async fn start_defining(definitions: &str) -> Self {
        Self::start_configured(|config| {
            let file = config.models_dir.join("features.toml");
            std::fs::write(&file, definitions).unwrap();
            config.features.definitions = Some(file);
        })
        .await
    }

    /// With live embeddings, computed in steps of 3 statements.
    pub(crate) async fn start_live() -> Self {
        Self::start_configured(live).await
    }

    /// With connections of the server's own to its database, which is asked whenever the server is.
    pub(crate) async fn start_connected(database: ScratchDatabase, store: Store) -> Self {
        Self::start_connected_configured(database, store, |_| {}).await
    }

    /// As [`FeatureStore::start_connected`], with settings of one's own.
    pub(crate) async fn start_connected_configured(
        database: ScratchDatabase,
        store: Store,
        configure: impl FnOnce(&mut FeatureStoreConfig),
    ) -> Self {
        let models = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let mut config = config(models.path());
        config.cache.max_bytes = 0;
        configure(&mut config);
        let (channel, server) = serve_beside(&store, config.clone(), &shutdown).await;
        let client = FeatureStoreServiceClient::new(channel.clone());
        Self { client, channel, database, models, config, shutdown, server }
    }

    /// Writes other feature views into the server's file, which does not read it by itself.
    pub(crate) fn redefine(&self, definitions: &str) {
        let file = self.config.features.definitions.as_ref().expect("it has a file");
        std::fs::write(file, definitions).unwrap();
    }

    /// With settings of one's own.
    pub(crate) async fn start_configured(configure: impl FnOnce(&mut FeatureStoreConfig)) -> Self {
        let database = ScratchDatabase::create().await;
        let models = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let mut config = config(models.path());
        configure(&mut config);
        let (channel, server) = serve_beside(&database.store, config.clone(), &shutdown).await;
        let client = FeatureStoreServiceClient::new(channel.clone());
        Self { client, channel, database, models, config, shutdown, server }
    }

    /// Another server of the same database and models, which ends with this one.
    pub(crate) async fn second_server(&self) -> FeatureStoreServiceClient<Channel> {
        self.second_server_configured(|_| {}).await
    }

    /// As [`FeatureStore::second_server`], with feature views and settings of its own.
    pub(crate) async fn second_server_defining(
        &self,
        definitions: &str,
        configure: impl FnOnce(&mut FeatureStoreConfig),
    ) -> FeatureStoreServiceClient<Channel> {
        let file = self.models.path().join("other-features.toml");
        std::fs::write(&file, definitions).unwrap();
        self.second_server_configured(|config| {
            config.features.definitions = Some(file);
            configure(config);
        })
        .await
    }

    /// As [`FeatureStore::second_server`], with settings of its own.
    pub(crate) async fn second_server_configured(
        &self,
        configure: impl FnOnce(&mut FeatureStoreConfig),
    ) -> FeatureStoreServiceClient<Channel> {
        let mut config = self.config.clone();
        configure(&mut config);
        let (channel, _) = serve_beside(&self.database.store, config, &self.shutdown).await;
        FeatureStoreServiceClient::new(channel)
    }

    /// With `users` customers, `products` products, and the events by which the ones hold the others.
    pub(crate) async fn start_filled(users: usize, products: usize) -> Self {
        let mut store = Self::start().await;
        store.fill(users, products).await;
        store
    }

    /// With live embeddings, and filled.
    pub(crate) async fn start_filled_live(users: usize, products: usize) -> Self {
        let mut store = Self::start_live().await;
        store.fill(users, products).await;
        store
    }

    pub(crate) async fn fill(&mut self, users: usize, products: usize) {
        let users = samples::users(users);
        self.write_customers(users.iter().map(|user| samples::customer_message(user, 100)).collect()).await;
        let products = samples::products(products);
        let products = products.iter().map(|product| samples::product_message(product, 100)).collect();
        self.write_products(products).await;
        self.write_events(users.iter().flat_map(samples::acquired_messages).collect()).await;
    }

    pub(crate) async fn write_customers(&mut self, customers: Vec<Customer>) -> WriteSummary {
        let message = WriteCustomersRequest { customers };
        let response = self.client.write_customers(stream::iter([message])).await.unwrap();
        response.into_inner().summary.unwrap()
    }

    pub(crate) async fn write_products(&mut self, products: Vec<Product>) -> WriteSummary {
        let message = WriteProductsRequest { products };
        let response = self.client.write_products(stream::iter([message])).await.unwrap();
        response.into_inner().summary.unwrap()
    }

    pub(crate) async fn write_events(&mut self, events: Vec<Event>) -> WriteSummary {
        let message = WriteEventsRequest { events };
        let response = self.client.write_events(stream::iter([message])).await.unwrap();
        response.into_inner().summary.unwrap()
    }

    /// Writes a random model's bundle and registers it.
    pub(crate) async fn register_model(&self, version: &str, seed: u64) -> Bundle {
        self.register(samples::bundle(version, seed)).await
    }

    /// Writes a bundle and registers it.
    pub(crate) async fn register(&self, bundle: Bundle) -> Bundle {
        let directory = bundle_directory(self.models.path(), &bundle.manifest.model_version).unwrap();
        bundle.write(&directory).unwrap();
        let model = RegisteredModel {
            model_version: bundle.manifest.model_version.clone(),
            embedding_space: bundle.manifest.embedding_space.clone(),
            bundle_path: directory.display().to_string(),
            bundle_sha256: bundle.digest().to_string(),
            manifest: serde_json::to_value(&bundle.manifest).unwrap(),
            registered_at: Utc::now(),
        };
        models::register(&self.database.store, &model).await.unwrap();
        bundle
    }

    /// Puts another model's bundle in the place of a registered one.
    pub(crate) fn replace_bundle(&self, version: &str, seed: u64) {
        let bundle = samples::bundle(version, seed);
        let directory = bundle_directory(self.models.path(), &bundle.manifest.model_version).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        bundle.write(&directory).unwrap();
    }

    pub(crate) async fn start_refresh(&mut self, version: &str) -> Result<RefreshRun, Status> {
        self.start_scoped_refresh(version, RefreshScope::Full).await
    }

    pub(crate) async fn start_scoped_refresh(
        &mut self,
        version: &str,
        scope: RefreshScope,
    ) -> Result<RefreshRun, Status> {
        let model_version = version.to_owned();
        let scope = scope.into();
        self.start_requested_refresh(StartRefreshRequest { model_version, scope, ..Default::default() }).await
    }

    pub(crate) async fn start_requested_refresh(
        &mut self,
        request: StartRefreshRequest,
    ) -> Result<RefreshRun, Status> {
        let response = self.client.start_refresh(request).await?;
        Ok(response.into_inner().run.unwrap())
    }

    /// Every state that a run goes through until it ends.
    pub(crate) async fn watch_refresh(&mut self, run_id: i64) -> Vec<RefreshRun> {
        let mut states =
            self.client.watch_refresh(WatchRefreshRequest { run_id }).await.unwrap().into_inner();
        let mut seen = Vec::new();
        while let Some(state) = states.message().await.unwrap() {
            seen.push(state.run.unwrap());
        }
        seen
    }

    /// Refreshes a model version, and returns the state in which the run ended.
    pub(crate) async fn refresh(&mut self, version: &str) -> RefreshRun {
        let run = self.start_refresh(version).await.unwrap();
        self.watch_refresh(run.run_id).await.pop().unwrap()
    }

    pub(crate) async fn embeddings(
        &mut self,
        entity: EntityKind,
        ids: &[&str],
        version: &str,
    ) -> Result<BatchGetEmbeddingsResponse, Status> {
        let request = BatchGetEmbeddingsRequest {
            entity: entity.into(),
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            model_version: version.to_owned(),
        };
        Ok(self.client.batch_get_embeddings(request).await?.into_inner())
    }

    /// Makes Postgres refuse the embeddings of one customer.
    pub(crate) async fn refuse_embedding_of(&self, user_id: &str) {
        let statement = format!(
            "create function refuse() returns trigger language plpgsql as
             $$ begin raise exception 'refused by the test'; end $$;
             create trigger refuse before insert on user_embeddings for each row
             when (new.user_id = '{user_id}') execute function refuse()"
        );
        self.execute(&statement).await;
    }

    /// Undoes [`FeatureStore::refuse_embedding_of`].
    pub(crate) async fn refuse_no_more(&self) {
        self.execute("drop trigger refuse on user_embeddings; drop function refuse").await;
    }

    /// Keeps everyone from writing customers' embeddings until it is dropped.
    pub(crate) async fn close_gate(&self) -> Transaction<'static, Postgres> {
        let mut gate = self.database.store.pool().begin().await.unwrap();
        sqlx::query("lock table user_embeddings in access exclusive mode").execute(&mut *gate).await.unwrap();
        gate
    }

    /// Keeps everyone from writing to a table, though not from reading it, until it is dropped.
    pub(crate) async fn keep_from_writing(&self, table: &str) -> Transaction<'static, Postgres> {
        let mut gate = self.database.store.pool().begin().await.unwrap();
        let lock = sqlx::AssertSqlSafe(format!("lock table {table} in exclusive mode"));
        sqlx::query(lock).execute(&mut *gate).await.unwrap();
        gate
    }

    /// Waits until someone waits to write to a table.
    pub(crate) async fn until_someone_waits_to_write(&self, table: &str) {
        let waits =
            format!("select count(*) from pg_locks where relation = '{table}'::regclass and not granted");
        while self.count(&waits).await == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until live embeddings of a model version know all that was written up to now.
    pub(crate) async fn until_live(&self, version: &str) {
        let now: DateTime<Utc> = sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(self.database.store.pool())
            .await
            .unwrap();
        let behind = "select known_at < $2 from live_watermarks where model_version = $1";
        while sqlx::query_scalar(behind)
            .bind(version)
            .bind(now)
            .fetch_one(self.database.store.pool())
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The number that a query answers.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        let query = sqlx::AssertSqlSafe(query.to_owned());
        sqlx::query_scalar(query).fetch_one(self.database.store.pool()).await.unwrap()
    }

    /// Waits until someone waits at the gate.
    pub(crate) async fn until_someone_waits_at_the_gate(&self) {
        self.until_waiting_at_the_gate(1).await;
    }

    /// Waits until so many wait at the gate.
    pub(crate) async fn until_waiting_at_the_gate(&self, waiting: i64) {
        let waits =
            "select count(*) from pg_locks where relation = 'user_embeddings'::regclass and not granted";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(self.database.store.pool()).await.unwrap()
            < waiting
        {
            tokio::task::yield_now().await;
        }
    }

    /// Cuts the connection of one of those who wait at the gate.
    pub(crate) async fn cut_one_workers_connection(&self) {
        let cut = "select pg_terminate_backend(pid) from pg_locks
                   where relation = 'user_embeddings'::regclass and not granted
                   limit 1";
        sqlx::query(cut).execute(self.database.store.pool()).await.unwrap();
    }

    /// Cuts the connection of whoever waits at the gate.
    pub(crate) async fn cut_workers_connection(&self) {
        let cut = "select pg_terminate_backend(pid) from pg_locks
                   where relation = 'user_embeddings'::regclass and not granted";
        while sqlx::query(cut).execute(self.database.store.pool()).await.unwrap().rows_affected() == 0 {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn execute(&self, statements: &str) {
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(statements).execute(self.database.store.pool()).await.unwrap();
    }

    /// Tells the server to stop, without waiting.
    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the server has stopped, and leaves its database.
    pub(crate) async fn stopped(self) -> ScratchDatabase {
        self.server.await.unwrap().unwrap();
        self.database
    }
}
