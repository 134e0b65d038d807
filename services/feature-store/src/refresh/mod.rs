//! Materialisation: computes the embeddings of all users and products by one model version's towers.
//!
//! A run is a generation. It is cut into partitions, each written with its mark in one transaction, and
//! readers see the generation once all are there. A run that was stopped, failed or killed goes on from its
//! whole partitions when its model version is started again. One run is under way at a time; any number of workers,
//! in one process or several, share its partitions.
//!
//! An incremental run computes what has changed since the model version's newest generation, and adds to it.

mod copy;
mod finish;
mod lease;
mod lock;
mod partition;
mod plan;
mod request;
mod run;
mod worker;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use finrank_model::{Bundle, InvalidField, ModelVersion, Sha256Digest};
use finrank_store::{
    Store,
    models::{self, RegisteredModel},
};
use tokio::{runtime::Handle, sync::oneshot, time};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use self::{
    lock::WorkerConnection,
    plan::{Plan, Wanted},
    worker::{Task, Worker},
};
pub use self::{
    request::{Entity, RefreshRequest, Scope},
    run::{Run, RunId, RunState},
};
use crate::{
    FeatureStoreError, RefreshConfig, Result, bundles,
    features::{Horizon, Registry},
    people::Exports,
    statistics::{self, Breach, Summariser},
    towers::Completion,
};

/// How often the lock is tried: who plans a run, or looks whether one is abandoned, has it alone for a moment.
const LOCK_ATTEMPTS: u32 = 20;
/// How long to wait in between.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Starts refreshes in the background and tells how they go. Cheap to clone.
#[derive(Clone)]
pub struct Refresher {
    store: Store,
    horizon: Horizon,
    registry: Registry,
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
        registry: Registry,
        models_dir: impl Into<Arc<std::path::Path>>,
        config: RefreshConfig,
        stop: CancellationToken,
    ) -> Self {
        let models_dir = models_dir.into();
        Self { store, horizon, registry, models_dir, config, stop, workers: TaskTracker::new() }
    }

    /// Starts a run, or goes on with the unfinished one of the same request; or puts this process's workers to the
    /// model version's run that is under way. Returns once it is planned.
    ///
    /// # Errors
    /// More workers than connections, no such model version, a bundle that is missing or not the registered one, another
    /// model version's run is under way, or a part is asked for and there is nothing that it could be added to.
    pub async fn start(&self, request: RefreshRequest) -> Result<StartedRun> {
        let workers = self.workers_of(&request)?;
        let model = self.registered(request.version.clone()).await?;
        let bundle = self.load(&model).await?;
        self.check_features(&bundle).await?;
        for _ in 0..LOCK_ATTEMPTS {
            let mut started = self.try_plan(&model.model_version, &request, &bundle).await?;
            if started.is_none() {
                started = self.under_way(&model.model_version).await?;
            }
            if let Some(started) = started {
                if !request.dry_run {
                    self.hire(&started.run, &bundle, workers);
                }
                return Ok(started);
            }
            time::sleep(LOCK_PAUSE).await;
        }
        Err(FeatureStoreError::RefreshChanging)
    }

    /// Ends a run that is not complete; what it has written is never served.
    ///
    /// # Errors
    /// No such run, or it is complete.
    pub async fn cancel(&self, run_id: RunId) -> Result<Run> {
        finish::cancel(&self.store, run_id).await
    }

    /// The newest runs that are stored, or those before `before`.
    ///
    /// # Errors
    /// When Postgres cannot be reached.
    pub async fn list(&self, before: Option<RunId>, limit: usize) -> Result<Vec<Run>> {
        run::list(&self.store, before, limit).await
    }

    /// A run as it stands, whichever process works on it. If it is complete, readers of this server see it from now on.
    ///
    /// # Errors
    /// When there is no such run, or Postgres cannot be reached.
    pub async fn run(&self, run_id: RunId) -> Result<Run> {
        let run = run::find(&self.store, run_id).await?;
        if run.state == RunState::Complete {
            self.horizon.advance().await?;
        }
        Ok(run)
    }

    /// What of a run's features is not as expected, with the ids of some entities that are out of range.
    pub(crate) async fn breaches(&self, run_id: RunId) -> Result<Vec<(Breach, Vec<String>)>> {
        statistics::breaches_and_outliers(&self.store, run_id).await
    }

    /// Waits until no worker of this process lives; to be called once `stop` is cancelled.
    pub async fn stopped(&self) {
        self.workers.close();
        self.workers.wait().await;
    }

    /// How many workers are wanted. Each reads by a connection of background work; were there more of them than
    /// connections, they would wait for each other, and everything else in the background for them.
    fn workers_of(&self, request: &RefreshRequest) -> Result<NonZeroU32> {
        let wanted = request.workers.unwrap_or(self.config.workers);
        let connections = self.store.pool().options().get_max_connections();
        let most = connections.saturating_sub(Exports::AT_ONCE).max(1);
        if wanted.get() <= most {
            return Ok(wanted);
        }
        let of_exports = Exports::AT_ONCE;
        let reason = format!(
            "is {wanted}, more than {most}: database.background_connections is {connections}, of which exports may \
             take {of_exports}"
        );
        Err(InvalidField::new("workers", reason).into())
    }

    async fn registered(&self, version: Option<ModelVersion>) -> Result<RegisteredModel> {
        let model = match &version {
            Some(version) => models::get(&self.store, version).await?,
            None => models::serving_or_newest(&self.store).await?,
        };
        model.ok_or(FeatureStoreError::ModelVersionNotFound { version })
    }

    async fn load(&self, model: &RegisteredModel) -> Result<Arc<Bundle>> {
        let digest = Sha256Digest::parse(&model.bundle_sha256).map_err(FeatureStoreError::StoredRow)?;
        bundles::read_registered(&self.models_dir, &model.model_version, digest).await
    }

    /// Refuses what the workers could not complete.
    async fn check_features(&self, bundle: &Bundle) -> Result<()> {
        let in_force = self.registry.in_force().await?;
        Completion::new(bundle, &in_force.declared.definitions, in_force.since).map(drop)
    }

    /// Plans on a thread that then is the run's first worker. Nothing comes back when a worker lives already.
    async fn try_plan(
        &self,
        version: &ModelVersion,
        request: &RefreshRequest,
        bundle: &Arc<Bundle>,
    ) -> Result<Option<StartedRun>> {
        let (planned, answer) = oneshot::channel();
        let refresher = self.clone();
        let (version, request, bundle) = (version.clone(), request.clone(), bundle.clone());
        self.workers.spawn_blocking(move || refresher.plan_and_work(&version, &request, bundle, planned));
        answer.await.map_err(|_| FeatureStoreError::Stopped)?
    }

    /// The whole life of the first worker: has the lock alone, plans, answers, works. Blocks.
    fn plan_and_work(
        self,
        version: &ModelVersion,
        request: &RefreshRequest,
        bundle: Arc<Bundle>,
        planned: oneshot::Sender<Result<Option<StartedRun>>>,
    ) {
        // Whoever asked may have gone; the worker goes on all the same.
        let answer = |answer| drop(planned.send(answer));
        let mut connection = match WorkerConnection::open_alone(self.store.url()) {
            Ok(Some(connection)) => connection,
            Ok(None) => return answer(Ok(None)),
            Err(error) => return answer(Err(error)),
        };
        let runtime = Handle::current();
        let plan = runtime.block_on(self.plan(version, request));
        let shared = plan.and_then(|plan| {
            connection.let_others_join()?;
            let features = runtime.block_on(self.features(&plan.run, &bundle))?;
            Ok((plan, features))
        });
        match shared {
            Ok((Plan { run, resumed }, features)) => {
                answer(Ok(Some(StartedRun { run: run.clone(), resumed })));
                if !request.dry_run {
                    self.worker(connection, &run, bundle, features).work();
                }
            }
            Err(error) => answer(Err(error)),
        }
    }

    async fn plan(&self, version: &ModelVersion, request: &RefreshRequest) -> Result<Plan> {
        self.horizon.advance().await?;
        let wanted = Wanted {
            version,
            scope: request.scope,
            only: request.only,
            definitions: self.registry.in_force().await?.declared.definitions.digest,
            partition_rows: self.config.partition_rows,
            known_at: self.horizon.moment().await?,
            dry_run: request.dry_run,
        };
        plan::plan(&self.store, &wanted).await
    }

    /// The run that workers are at. Nothing comes back when it is just beginning or ending.
    async fn under_way(&self, version: &ModelVersion) -> Result<Option<StartedRun>> {
        match run::under_way(&self.store).await? {
            Some(run) if run.model_version == *version => Ok(Some(StartedRun { run, resumed: true })),
            Some(run) => {
                Err(FeatureStoreError::RefreshUnderWay { run_id: run.run_id, version: run.model_version })
            }
            None => Ok(None),
        }
    }

    /// Puts more workers to a run, until this process has as many as wanted.
    fn hire(&self, run: &Run, bundle: &Arc<Bundle>, wanted: NonZeroU32) {
        for _ in self.workers.len()..wanted.get() as usize {
            let (refresher, run, bundle) = (self.clone(), run.clone(), bundle.clone());
            self.workers.spawn_blocking(move || {
                let opened = WorkerConnection::open_shared(refresher.store.url()).and_then(|connection| {
                    let features = Handle::current().block_on(refresher.features(&run, &bundle))?;
                    Ok(connection.map(|connection| refresher.worker(connection, &run, bundle, features)))
                });
                match opened {
                    Ok(Some(worker)) => worker.work(),
                    Ok(None) => debug!(run_id = %run.run_id, "a worker is not needed any more"),
                    Err(error) => warn!(run_id = %run.run_id, %error, "a worker cannot begin"),
                }
            });
        }
    }

    /// By the definitions that the run was planned with, whatever this server serves. A run of an earlier version was
    /// planned with none.
    async fn features(&self, run: &Run, bundle: &Bundle) -> Result<(Completion, Option<Summariser>)> {
        let Some((digest, moment)) = run.summarised else {
            let in_force = self.registry.in_force().await?.declared;
            let completion = Completion::new(bundle, &in_force.definitions, self.horizon.moment().await?)?;
            return Ok((completion, None));
        };
        let definitions = self.registry.at(moment, Some(digest)).await?.definitions.clone();
        let completion = Completion::new(bundle, &definitions, moment)?;
        Ok((completion, Some(Summariser { definitions, moment, whole: run.base.is_none() })))
    }

    fn worker(
        &self,
        connection: WorkerConnection,
        run: &Run,
        bundle: Arc<Bundle>,
        (completion, summariser): (Completion, Option<Summariser>),
    ) -> Worker {
        Worker {
            connection,
            task: Task {
                run_id: run.run_id,
                incremental: run.base.is_some(),
                bundle,
                completion,
                summariser,
                page_rows: self.config.partition_rows,
                store: self.store.clone(),
                runtime: Handle::current(),
            },
            keep_generations: self.config.keep_generations,
            stop: self.stop.clone(),
        }
    }
}
