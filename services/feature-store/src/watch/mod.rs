//! The catalogue as a stream: every product with its embedding, and then what changes, as it commits.

mod announcements;
mod batch;
mod client;
mod position;
mod product_rows;
mod snapshot;
mod token;

use std::sync::Arc;

use chrono::TimeDelta;
use finrank_contracts::feature::v1::{self, SnapshotReason};
use finrank_model::ModelVersion;
use finrank_store::{Store, models};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{self, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::announcements::{GENERATION_CHANNEL, listen};
use self::{
    batch::{Batch, Next},
    client::Client,
    position::Position,
};
use crate::{
    FeatureStoreError, Result, WatchConfig,
    client::{Ended, Taken},
    features::Horizon,
};

/// The stream's steps.
pub(crate) type Steps = Taken<v1::WatchProductEmbeddingsResponse>;

/// Follows the catalogue for any number of clients.
#[derive(Clone)]
pub(crate) struct Watcher {
    store: Store,
    horizon: Horizon,
    config: WatchConfig,
    announcements: watch::Receiver<()>,
    snapshots: Arc<Semaphore>,
    stop: CancellationToken,
    clients: TaskTracker,
}

/// Whether the client was sent something.
#[derive(PartialEq, Eq)]
enum Sent {
    Nothing,
    Something,
    /// And there is more.
    Part,
}

impl Watcher {
    /// Hears of new embeddings by `announcements`; its streams end once `stop` is cancelled.
    pub(crate) fn new(
        store: Store,
        horizon: Horizon,
        config: WatchConfig,
        announcements: watch::Receiver<()>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            snapshots: Arc::new(Semaphore::new(config.concurrent_snapshots.get())),
            store,
            horizon,
            config,
            announcements,
            stop,
            clients: TaskTracker::new(),
        }
    }

    /// Follows one model version, or whatever is served if none is named, from a resume token on if there is one.
    ///
    /// # Errors
    /// When no such model version is registered, or the token is none. A model version that is not whole yet is waited
    /// for.
    pub(crate) async fn watch(&self, version: Option<ModelVersion>, resume_token: &[u8]) -> Result<Steps> {
        let held = token::read(resume_token)?;
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
            let followed = stop.run_until_cancelled(watcher.follow(version.as_ref(), held, &client)).await;
            if let Some(why) = followed {
                client.end(why);
            }
        });
        Ok(steps)
    }

    /// Sends what is new, or a heartbeat once nothing was for as long; then waits for an announcement, or for the next
    /// heartbeat, which also finds what was not announced: products whose embeddings lag behind, and whatever was
    /// announced while nobody listened.
    async fn follow(
        mut self,
        version: Option<&ModelVersion>,
        mut held: Result<Position, SnapshotReason>,
        client: &Client,
    ) -> Ended {
        let mut heartbeat_due = Instant::now();
        loop {
            self.announcements.mark_unchanged();
            let sent = match self.send_news(version, client, &mut held).await {
                Ok(Sent::Part) => continue,
                Ok(sent) => sent,
                Err(ended) => return ended,
            };
            let is_due = Instant::now() >= heartbeat_due;
            if sent == Sent::Nothing
                && is_due
                && let Err(ended) = heartbeat(client, &held).await
            {
                return ended;
            }
            if sent == Sent::Something || is_due {
                heartbeat_due = Instant::now() + self.config.heartbeat;
            }
            tokio::select! {
                () = client.gone() => return Ended::Gone,
                _ = self.announcements.changed() => {}
                () = time::sleep_until(heartbeat_due) => {}
            }
        }
    }

    async fn send_news(
        &self,
        version: Option<&ModelVersion>,
        client: &Client,
        held: &mut Result<Position, SnapshotReason>,
    ) -> Result<Sent, Ended> {
        let resume_limit = TimeDelta::from_std(self.config.resume_limit).unwrap_or(TimeDelta::MAX);
        let horizon = self.horizon.moment().await?;
        match batch::next(&self.store, version, horizon, held, resume_limit).await? {
            Next::Nothing => Ok(Sent::Nothing),
            Next::Snapshot(reason) => {
                let _permit = self.permit(client).await?;
                // Waiting may have taken a while.
                let horizon = self.horizon.moment().await?;
                match snapshot::send(&self.store, version, horizon, reason, client).await? {
                    Some(position) => *held = Ok(position),
                    None => return Ok(Sent::Nothing),
                }
                Ok(Sent::Something)
            }
            Next::Batch(Batch { steps, position, has_more }) => {
                let sent = match (has_more, steps.is_empty()) {
                    (true, _) => Sent::Part,
                    (false, true) => Sent::Nothing,
                    (false, false) => Sent::Something,
                };
                for step in steps {
                    client.send(step).await?;
                }
                *held = Ok(position);
                Ok(sent)
            }
        }
    }

    /// Waits for a snapshot's turn, with heartbeats.
    async fn permit(&self, client: &Client) -> Result<SemaphorePermit<'_>, Ended> {
        loop {
            match time::timeout(self.config.heartbeat, self.snapshots.acquire()).await {
                Ok(permit) => return permit.map_err(|_| Ended::Gone),
                Err(_) => client.heartbeat(Vec::new()).await?,
            }
        }
    }
}

/// Tells the client where it is, too: what was looked through and is nothing to it need not be again.
async fn heartbeat(client: &Client, held: &Result<Position, SnapshotReason>) -> Result<(), Ended> {
    client.heartbeat(held.as_ref().map(token::of).unwrap_or_default()).await
}
