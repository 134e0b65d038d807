//! The catalogue as a stream: every product with its embedding of the generation that is served, again
//! whenever the generation or a product changes, and heartbeats in between.

mod announcements;
mod client;
mod product_row;
mod snapshot;

use std::sync::Arc;

use finrank_contracts::feature::v1;
use finrank_model::ModelVersion;
use finrank_store::{Store, models};
use tokio::{
    sync::{Semaphore, watch},
    time,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

pub(crate) use self::announcements::{GENERATION_CHANNEL, listen};
use self::client::{Client, Ended};
use crate::{FeatureStoreError, Result, WatchConfig};

/// The stream's steps.
pub(crate) type Steps = ReceiverStream<Result<v1::WatchProductEmbeddingsResponse, Status>>;

/// Follows the catalogue for any number of clients.
#[derive(Clone)]
pub(crate) struct Watcher {
    store: Store,
    config: WatchConfig,
    announcements: watch::Receiver<()>,
    snapshots: Arc<Semaphore>,
    stop: CancellationToken,
    clients: TaskTracker,
}

impl Watcher {
    /// Hears of new generations by `announcements`; its streams end once `stop` is cancelled.
    pub(crate) fn new(
        store: Store,
        config: WatchConfig,
        announcements: watch::Receiver<()>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            snapshots: Arc::new(Semaphore::new(config.concurrent_snapshots.get())),
            store,
            config,
            announcements,
            stop,
            clients: TaskTracker::new(),
        }
    }

    /// Follows one model version, or whatever is served if none is named.
    ///
    /// # Errors
    /// When no such model version is registered. One that is not whole yet is waited for.
    pub(crate) async fn watch(&self, version: Option<ModelVersion>) -> Result<Steps> {
        if let Some(version) = &version
            && models::get(&self.store, version).await?.is_none()
        {
            let version = Some(version.clone());
            return Err(FeatureStoreError::ModelVersionNotFound { version });
        }
        let (client, steps) = Client::new(self.config.slow_client_limit);
        let watcher = self.clone();
        self.clients.spawn(async move {
            let stop = watcher.stop.clone();
            let followed = stop.run_until_cancelled(watcher.follow(version.as_ref(), &client)).await;
            if let Some(Ended::Failed(error)) = followed {
                client.fail(error).await;
            }
        });
        Ok(steps)
    }

    /// Sends what is new, or else a heartbeat; then waits for an announcement, at most a heartbeat long, which
    /// also finds what was not announced: products written, and generations whose announcement was lost.
    async fn follow(mut self, version: Option<&ModelVersion>, client: &Client) -> Ended {
        let mut sent = None;
        loop {
            self.announcements.mark_unchanged();
            match self.send_news(version, client, &mut sent).await {
                Ok(()) => {}
                Err(ended) => return ended,
            }
            tokio::select! {
                () = client.gone() => return Ended::Gone,
                _ = self.announcements.changed() => {}
                () = time::sleep(self.config.heartbeat) => {}
            }
        }
    }

    async fn send_news(
        &self,
        version: Option<&ModelVersion>,
        client: &Client,
        sent: &mut Option<snapshot::Contents>,
    ) -> Result<(), Ended> {
        let current = snapshot::current(&self.store, version).await?;
        if current.is_none() || current == *sent {
            return client.heartbeat().await;
        }
        let _permit = loop {
            match time::timeout(self.config.heartbeat, self.snapshots.acquire()).await {
                Ok(permit) => break permit,
                Err(_) => client.heartbeat().await?,
            }
        };
        *sent = snapshot::send(&self.store, version, client).await?;
        Ok(())
    }
}
