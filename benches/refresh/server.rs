//! A feature-store server of the bench's own, asked as any client asks.

use std::{path::PathBuf, time::Duration};

use finrank_contracts::feature::v1::{
    ListRefreshesRequest, RefreshRun, RefreshScope, RefreshState, StartRefreshRequest,
    feature_store_service_client::FeatureStoreServiceClient,
};
use finrank_feature_store::{FeatureStoreConfig, serve};
use tokio::{sync::oneshot, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::{Result, stage::Stage};

/// How often a run is looked at: more often than WatchRefresh does, for a small one is done within that.
const POLL: Duration = Duration::from_millis(10);

/// A server that serves.
pub(crate) struct Served {
    pub(crate) client: FeatureStoreServiceClient<Channel>,
    shutdown: CancellationToken,
    server: JoinHandle<finrank_feature_store::Result<()>>,
}

impl Served {
    /// Serves the stage's database and models, by the built-in definitions unless others are given.
    pub(crate) async fn start(stage: &Stage, definitions: Option<&str>) -> Result<Self> {
        let mut config = FeatureStoreConfig {
            models_dir: stage.models.path().to_owned(),
            ..FeatureStoreConfig::default()
        };
        config.server.listen = ([127, 0, 0, 1], 0).into();
        config.features.definitions = definitions.map(|text| written(stage, text)).transpose()?;
        let shutdown = CancellationToken::new();
        let (bound, address) = oneshot::channel();
        let server = tokio::spawn(serve(config, stage.store.clone(), shutdown.clone(), bound));
        let address = address.await?;
        let client = FeatureStoreServiceClient::connect(format!("http://{address}")).await?;
        Ok(Self { client, shutdown, server })
    }

    /// Starts a refresh of the newest model, or goes on with one, and returns its number.
    pub(crate) async fn start_refresh(&mut self, scope: RefreshScope, workers: Option<u32>) -> Result<i64> {
        let request = StartRefreshRequest {
            scope: scope.into(),
            workers: workers.unwrap_or_default(),
            ..StartRefreshRequest::default()
        };
        let started = self.client.start_refresh(request).await?.into_inner();
        Ok(started.run.ok_or("no run was started")?.run_id)
    }

    /// Waits until readers see the run; returns how many embeddings it wrote.
    pub(crate) async fn until_complete(&mut self, run_id: i64) -> Result<u64> {
        let run = self.until(run_id, |run| run.state() != RefreshState::Running).await?;
        match run.state() {
            RefreshState::Complete => Ok(run.rows_done),
            state => Err(format!("the refresh is {}: {}", state.as_str_name(), run.error).into()),
        }
    }

    /// Waits until half of the run's partitions are written.
    pub(crate) async fn until_half_is_written(&mut self, run_id: i64) -> Result<()> {
        self.until(run_id, |run| 2 * run.partitions_done >= run.partitions_total).await?;
        Ok(())
    }

    async fn until(&mut self, run_id: i64, is_so: impl Fn(&RefreshRun) -> bool) -> Result<RefreshRun> {
        loop {
            let newest = ListRefreshesRequest { page_size: 1, ..ListRefreshesRequest::default() };
            let listed = self.client.list_refreshes(newest).await?.into_inner().runs.pop();
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

fn written(stage: &Stage, definitions: &str) -> Result<PathBuf> {
    let file = stage.models.path().join("features.toml");
    std::fs::write(&file, definitions)?;
    Ok(file)
}
