//! A feature-store server of the bench's own, asked as any client asks.

use std::{path::Path, time::Duration};

use finrank_contracts::feature::v1::{
    ListRefreshesRequest, RefreshRun, RefreshScope, RefreshState, StartRefreshRequest,
    feature_store_service_client::FeatureStoreServiceClient,
};
use finrank_feature_store::{FeatureStoreConfig, serve};
use finrank_store::Store;
use tokio::{sync::oneshot, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::Result;

/// How often a run is looked at: more often than WatchRefresh does, for a small one is done within that.
const POLL: Duration = Duration::from_millis(10);

/// A server that serves.
pub(crate) struct Served {
    /// What clients speak through.
    pub(crate) channel: Channel,
    /// Where it listens.
    pub(crate) url: String,
    shutdown: CancellationToken,
    server: JoinHandle<finrank_feature_store::Result<()>>,
}

impl Served {
    /// Serves a database and the models of a directory, by the built-in definitions unless others are given.
    pub(crate) async fn start(
        store: &Store,
        models: &Path,
        definitions: Option<&str>,
        configure: impl FnOnce(&mut FeatureStoreConfig),
    ) -> Result<Self> {
        let mut config =
            FeatureStoreConfig { models_dir: models.to_owned(), ..FeatureStoreConfig::default() };
        config.server.listen = ([127, 0, 0, 1], 0).into();
        if let Some(definitions) = definitions {
            let file = models.join("features.toml");
            std::fs::write(&file, definitions)?;
            config.features.definitions = Some(file);
        }
        configure(&mut config);
        let shutdown = CancellationToken::new();
        let (bound, address) = oneshot::channel();
        let server = tokio::spawn(serve(config, store.clone(), shutdown.clone(), bound));
        let address = address.await?;
        let url = format!("http://{address}");
        let channel = Endpoint::from_shared(url.clone())?.connect().await?;
        Ok(Self { channel, url, shutdown, server })
    }

    pub(crate) fn client(&self) -> FeatureStoreServiceClient<Channel> {
        FeatureStoreServiceClient::new(self.channel.clone())
    }

    /// Starts a refresh of the newest model, or goes on with one, and returns its number.
    pub(crate) async fn start_refresh(&self, scope: RefreshScope, workers: Option<u32>) -> Result<i64> {
        let request = StartRefreshRequest {
            scope: scope.into(),
            workers: workers.unwrap_or_default(),
            ..StartRefreshRequest::default()
        };
        let started = self.client().start_refresh(request).await?.into_inner();
        Ok(started.run.ok_or("no run was started")?.run_id)
    }

    /// Waits until readers see the run; returns how many embeddings it wrote.
    pub(crate) async fn until_complete(&self, run_id: i64) -> Result<u64> {
        let run = self.until(run_id, |run| run.state() != RefreshState::Running).await?;
        match run.state() {
            RefreshState::Complete => Ok(run.rows_done),
            state => {
                Err(format!("the refresh at {} is {}: {}", self.url, state.as_str_name(), run.error).into())
            }
        }
    }

    /// Waits until something is so of the run.
    pub(crate) async fn until(&self, run_id: i64, is_so: impl Fn(&RefreshRun) -> bool) -> Result<RefreshRun> {
        loop {
            let newest = ListRefreshesRequest { page_size: 1, ..ListRefreshesRequest::default() };
            let listed = self.client().list_refreshes(newest).await?.into_inner().runs.pop();
            let run = listed.filter(|run| run.run_id == run_id).ok_or("another run has begun")?;
            if is_so(&run) {
                return Ok(run);
            }
            time::sleep(POLL).await;
        }
    }

    /// Stops the server; a refresh ends after the partitions that it is at.
    pub(crate) async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(self.server.await??)
    }
}
