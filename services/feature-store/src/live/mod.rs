//! Embeddings kept fresh between refreshes: whoever something was learned of is computed by the towers of each model
//! version that has a generation, some 1,000 at a time.
//!
//! Each version has a watermark: what was learned before it is in the version's generation or in live rows. A step
//! takes what was learned from there on, up to the horizon at most, and writes rows, watermark and the word that it
//! moved in one transaction. It begins by locking the watermark's row: of all workers of all servers one is at it, and
//! when that one dies, by `kill -9` too, the lock and the step go with it and another one begins where it began.
//!
//! A live row counts for readers where it knows more than their generation does; see `embeddings`. Whoever a refresh would
//! be withheld for gets none, and keeps what they have.

mod coverage;
mod guard;
mod rows;
mod step;

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use finrank_model::{Bundle, ModelVersion, Sha256Digest};
use finrank_store::Store;
use tokio::time;
use tracing::{error, info};

pub(crate) use self::coverage::{forget_covered, raise_watermark};
use self::step::{Outcome, Step};
use crate::{
    FeatureStoreError, LiveConfig, Result, bundles,
    features::{Horizon, Registry},
};

/// The channel on which a step says whose version's watermark has moved.
pub(crate) const LIVE_CHANNEL: &str = "finrank_live";

/// How long to wait after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Computes embeddings for as long as its server runs.
pub(crate) struct LiveEmbeddings {
    store: Store,
    horizon: Horizon,
    registry: Registry,
    models_dir: Arc<Path>,
    config: LiveConfig,
    /// Read when they are first needed. A version's bundle never becomes another one.
    bundles: HashMap<ModelVersion, Arc<Bundle>>,
    /// Up to when each version is known to be fresh.
    watermarks: HashMap<ModelVersion, DateTime<Utc>>,
}

/// A model version that has a watermark.
struct LiveModel {
    version: ModelVersion,
    digest: Sha256Digest,
    watermark: DateTime<Utc>,
}

impl LiveEmbeddings {
    /// Hears by the horizon that this server has just written something; what others write is found by itself.
    pub(crate) fn new(
        store: Store,
        horizon: Horizon,
        registry: Registry,
        models_dir: Arc<Path>,
        config: LiveConfig,
    ) -> Self {
        Self {
            store,
            horizon,
            registry,
            models_dir,
            config,
            bundles: HashMap::new(),
            watermarks: HashMap::new(),
        }
    }

    /// Keeps embeddings fresh for ever, if that is wanted.
    pub(crate) async fn follow(mut self) {
        if !self.config.enabled {
            return std::future::pending().await;
        }
        let mut said = None;
        loop {
            let failure = self.catch_up().await.err();
            self.show_lags();
            let pause = if failure.is_some() { PAUSE_AFTER_FAILURE } else { self.config.interval };
            tell(failure, &mut said);
            tokio::select! {
                () = self.horizon.written() => {}
                () = time::sleep(pause) => {}
            }
        }
    }

    /// Computes all that was learned up to now, of each model version. One that cannot be computed does not keep the
    /// others from it.
    async fn catch_up(&mut self) -> Result<()> {
        self.horizon.advance().await?;
        let below = self.horizon.moment().await?;
        let models = self.models().await?;
        self.bundles.retain(|version, _| models.iter().any(|model| model.version == *version));
        self.know_watermarks(&models);
        let mut caught_up = Ok(());
        for model in &models {
            if let Err(error) = self.catch_up_with(model, below).await {
                caught_up = Err(error);
            }
        }
        caught_up
    }

    async fn catch_up_with(&mut self, model: &LiveModel, below: DateTime<Utc>) -> Result<()> {
        loop {
            let Some(step) = Step::begin(&self.store, &model.version, below, self.config.step_rows).await?
            else {
                return Ok(());
            };
            let outcome = match step.has_changes() {
                true => {
                    let bundle = self.bundle(model).await?;
                    let definitions = self.registry.in_force().await?.declared.definitions.clone();
                    step.compute(bundle, &definitions).await?
                }
                false => step.skip().await?,
            };
            if outcome == Outcome::CaughtUp {
                self.watermarks.insert(model.version.clone(), below);
                return Ok(());
            }
        }
    }

    async fn models(&self) -> Result<Vec<LiveModel>> {
        let rows = sqlx::query!(
            "select model_version, bundle_sha256, known_at
             from live_watermarks join model_versions using (model_version)
             order by model_version",
        )
        .fetch_all(self.store.pool())
        .await?;
        let parse = |(version, digest, watermark): (String, String, DateTime<Utc>)| {
            let (version, digest) = (ModelVersion::parse(version)?, Sha256Digest::parse(&digest)?);
            Ok(LiveModel { version, digest, watermark })
        };
        let models = rows.into_iter().map(|row| parse((row.model_version, row.bundle_sha256, row.known_at)));
        models.collect::<Result<_, _>>().map_err(FeatureStoreError::StoredRow)
    }

    /// What no version has a watermark of any more is behind nothing.
    fn know_watermarks(&mut self, models: &[LiveModel]) {
        let current = models.iter().map(|model| (model.version.clone(), model.watermark));
        let former = std::mem::replace(&mut self.watermarks, current.collect());
        for version in former.keys().filter(|version| !self.watermarks.contains_key(*version)) {
            lag(version).set(0.0);
        }
    }

    /// Says how far each version is behind the clock, also while Postgres does not answer or a version cannot be computed.
    fn show_lags(&self) {
        for (version, watermark) in &self.watermarks {
            lag(version).set((Utc::now() - watermark).as_seconds_f64());
        }
    }

    async fn bundle(&mut self, model: &LiveModel) -> Result<Arc<Bundle>> {
        if let Some(bundle) = self.bundles.get(&model.version) {
            return Ok(bundle.clone());
        }
        let bundle = bundles::read_registered(&self.models_dir, &model.version, model.digest).await?;
        self.bundles.insert(model.version.clone(), bundle.clone());
        Ok(bundle)
    }
}

fn lag(version: &ModelVersion) -> metrics::Gauge {
    metrics::gauge!("finrank_live_lag_seconds", "model_version" => version.to_string())
}

/// Says once what keeps embeddings from being fresh, and once that nothing does any more. What keeps Postgres from
/// answering is told by the health check.
fn tell(failure: Option<FeatureStoreError>, said: &mut Option<String>) {
    match failure {
        Some(error) if error.is_out_of_reach() => {}
        Some(error) => {
            let reason = error.to_string();
            if said.as_ref() != Some(&reason) {
                error!(error = reason, "embeddings are not kept fresh");
                *said = Some(reason);
            }
        }
        None if said.take().is_some() => info!("embeddings are kept fresh again"),
        None => {}
    }
}
