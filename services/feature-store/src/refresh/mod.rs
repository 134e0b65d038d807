//! Materialisation: computes the embeddings of all users and products by one model version's towers.
//!
//! A run is a generation. It is cut into partitions, each written with its mark in one transaction, and
//! readers see the generation once all are there. A run that was stopped, failed or killed goes on from its
//! whole partitions when its model version is started again. One worker lives at a time, whatever process it
//! is in.
//!
//! An incremental run computes what has changed since the model version's newest generation, and adds to it.

mod finish;
mod lock;
mod partition;
mod plan;
mod run;
mod worker;

use std::{sync::Arc, time::Duration};

use finrank_model::{Bundle, ModelVersion, Sha256Digest, bundle_directory};
use finrank_store::{
    Store,
    models::{self, RegisteredModel},
};
use tokio::{runtime::Handle, sync::oneshot, task, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    lock::WorkerConnection,
    plan::{Plan, Wanted},
    worker::Worker,
};
pub use self::{
    plan::Scope,
    run::{Run, RunId, RunState},
};
use crate::{FeatureStoreError, RefreshConfig, Result, features::Horizon};

/// How often the lock is tried before whoever holds it counts as a worker: who looks whether a run is
/// abandoned holds it for a moment, too.
const LOCK_ATTEMPTS: u32 = 5;
/// How long to wait in between.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Starts refreshes in the background and tells how they go. Cheap to clone.
#[derive(Clone)]
pub struct Refresher {
    store: Store,
    horizon: Horizon,
    models_dir: Arc<std::path::Path>,
    config: RefreshConfig,
    stop: CancellationToken,
    workers: TaskTracker,
}

/// A run that a worker is at.
#[derive(Clone, Debug, PartialEq)]
pub struct StartedRun {
    /// As it stands.
    pub run: Run,
    /// Whether it had begun before.
    pub resumed: bool,
}

impl Refresher {
    /// Reads bundles from `models_dir`; once `stop` is cancelled, a worker ends after the partition it is at.
    pub(crate) fn new(
        store: Store,
        horizon: Horizon,
        models_dir: impl Into<Arc<std::path::Path>>,
        config: RefreshConfig,
        stop: CancellationToken,
    ) -> Self {
        Self { store, horizon, models_dir: models_dir.into(), config, stop, workers: TaskTracker::new() }
    }

    /// Starts a run of a model version, the newest registered one if none is named, over everything or what has
    /// changed; goes on with its unfinished run; or joins the run if a worker is at it already.
    ///
    /// # Errors
    /// No such model version, a bundle that is missing or not the registered one, or another model version's
    /// run is under way.
    pub async fn start(&self, version: Option<ModelVersion>, scope: Scope) -> Result<StartedRun> {
        let model = self.registered(version).await?;
        let bundle = self.load(&model).await?;
        for _ in 0..LOCK_ATTEMPTS {
            if let Some(started) = self.try_start(&model.model_version, scope, &bundle).await? {
                return Ok(started);
            }
            time::sleep(LOCK_PAUSE).await;
        }
        self.join(&model.model_version).await
    }

    /// A run as it stands, whichever process works on it.
    ///
    /// # Errors
    /// When there is no such run, or Postgres cannot be reached.
    pub async fn run(&self, run_id: RunId) -> Result<Run> {
        run::find(&self.store, run_id).await
    }

    /// Waits until no worker of this process lives; to be called once `stop` is cancelled.
    pub async fn stopped(&self) {
        self.workers.close();
        self.workers.wait().await;
    }

    async fn registered(&self, version: Option<ModelVersion>) -> Result<RegisteredModel> {
        let model = match &version {
            Some(version) => models::get(&self.store, version).await?,
            None => models::newest(&self.store).await?,
        };
        model.ok_or(FeatureStoreError::ModelVersionNotFound { version })
    }

    async fn load(&self, model: &RegisteredModel) -> Result<Arc<Bundle>> {
        let directory = bundle_directory(&self.models_dir, &model.model_version);
        let digest = Sha256Digest::parse(&model.bundle_sha256).map_err(FeatureStoreError::StoredRow)?;
        let bundle = task::spawn_blocking(move || Bundle::read_registered(&directory?, digest)).await?;
        bundle.map(Arc::new).map_err(FeatureStoreError::Bundle)
    }

    /// Starts a worker on a thread of its own, which answers once it has planned. Nothing comes back when
    /// another worker lives.
    async fn try_start(
        &self,
        version: &ModelVersion,
        scope: Scope,
        bundle: &Arc<Bundle>,
    ) -> Result<Option<StartedRun>> {
        let (planned, answer) = oneshot::channel();
        let refresher = self.clone();
        let (version, bundle) = (version.clone(), bundle.clone());
        self.workers.spawn_blocking(move || refresher.work(&version, scope, bundle, planned));
        let Some(Planned { run_id, resumed }) = answer.await.map_err(|_| FeatureStoreError::Stopped)?? else {
            return Ok(None);
        };
        let run = run::read(&self.store, run_id).await?;
        Ok(Some(StartedRun { run, resumed }))
    }

    /// The whole life of a worker: takes the lock, plans, answers, works. Blocks.
    fn work(
        self,
        version: &ModelVersion,
        scope: Scope,
        bundle: Arc<Bundle>,
        planned: oneshot::Sender<Result<Option<Planned>>>,
    ) {
        let runtime = Handle::current();
        let connection = match WorkerConnection::open(self.store.url()) {
            Ok(Some(connection)) => connection,
            Ok(None) => return answer(planned, Ok(None)),
            Err(error) => return answer(planned, Err(error)),
        };
        let plan = match runtime.block_on(self.plan(version, scope)) {
            Ok(plan) => plan,
            Err(error) => return answer(planned, Err(error)),
        };
        answer(planned, Ok(Some(Planned { run_id: plan.run_id, resumed: plan.resumed })));
        let worker = Worker {
            connection,
            store: self.store,
            bundle,
            keep_generations: self.config.keep_generations,
            stop: self.stop,
            runtime,
        };
        worker.work(plan);
    }

    async fn plan(&self, version: &ModelVersion, scope: Scope) -> Result<Plan> {
        self.horizon.advance().await?;
        let known_at = self.horizon.moment().await?;
        let partition_rows = self.config.partition_rows;
        plan::plan(&self.store, &Wanted { version, scope, partition_rows, known_at }).await
    }

    /// Finds the run of the worker that holds the lock.
    async fn join(&self, version: &ModelVersion) -> Result<StartedRun> {
        match run::under_way(&self.store).await? {
            Some(run) if run.model_version == *version => Ok(StartedRun { run, resumed: true }),
            Some(run) => {
                Err(FeatureStoreError::RefreshUnderWay { run_id: run.run_id, version: run.model_version })
            }
            None => Err(FeatureStoreError::RefreshChanging),
        }
    }
}

/// What a worker answers once it has planned.
struct Planned {
    run_id: RunId,
    resumed: bool,
}

/// Whoever asked may have gone; the worker goes on all the same.
fn answer(asked: oneshot::Sender<Result<Option<Planned>>>, answer: Result<Option<Planned>>) {
    let _ = asked.send(answer);
}
