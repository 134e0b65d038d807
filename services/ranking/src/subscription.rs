//! Follows the feature store's product embeddings: each whole snapshot becomes a catalogue, and so does what changes
//! after it, built aside and put in service in one step. Whatever fails on the way is logged and tried again, and the
//! catalogue in service stays. After a break it goes on where it was.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use finrank_decisions::{DecisionLogError, contents::Contents};
use finrank_model::{Bundle, ModelVersion, Sha256Digest, bundle_directory, reasons::ReasonTable};
use finrank_serving::Health;
use thiserror::Error;
use tokio::{
    task::{JoinError, spawn_blocking},
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::{Code, Status};
use tracing::{info, warn};

use crate::{
    Explanations, SubscriptionConfig,
    catalogue::{Catalogue, CatalogueError, CurrentCatalogue, Indexing},
    feature_store::FeatureStore,
    feed::{Feed, News},
    index::IndexSettings,
    policies::Policies,
    selections::Selections,
    snapshot::{Snapshot, SnapshotError},
};

/// The first wait before connecting again; each further one is twice as long, with jitter, so that replicas
/// do not come back all at once.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// Keeps a catalogue in service up to date.
#[derive(Clone)]
pub(crate) struct Subscription {
    /// The model version to follow; without one, whatever is served.
    pub(crate) version: Option<ModelVersion>,
    pub(crate) feature_store: FeatureStore,
    pub(crate) models_dir: PathBuf,
    pub(crate) config: SubscriptionConfig,
    /// How catalogues are indexed.
    pub(crate) index: IndexSettings,
    pub(crate) current: Arc<CurrentCatalogue>,
    /// Where catalogues are kept before they are in service, if decisions are.
    pub(crate) contents: Option<Contents>,
    /// Compiled for each catalogue before it is in service.
    pub(crate) policies: Arc<Policies>,
    pub(crate) selections: Arc<Selections>,
    /// What reasons are told by: a model that reads what has none is not served.
    pub(crate) reasons: Arc<ReasonTable>,
    /// Says SERVING once a catalogue is in service. Without the one that is served, nothing is: others say nothing.
    pub(crate) health: Option<Health>,
}

/// What outlives a connection.
struct Following {
    feed: Feed,
    /// When a catalogue is to be built of what has changed since the one in service.
    due: Option<Instant>,
    /// The model that was read last: it is the same for every catalogue of it.
    model: Option<Model>,
    /// Before connecting again.
    waits: ExponentialBackoff,
}

/// A bundle, by its digest, and what explains its scores.
#[derive(Clone)]
struct Model {
    digest: Sha256Digest,
    bundle: Arc<Bundle>,
    explanations: Option<Arc<Explanations>>,
}

/// Why a connection's use ended.
#[derive(Debug, Error)]
enum Interruption {
    #[error("the feature store answered {}: {}", .0.code(), .0.message())]
    Refused(#[from] Status),
    #[error("the feature store ended the stream")]
    Ended,
    #[error("the feature store was silent for {0:?}")]
    Silent(Duration),
    #[error("what the feature store sent cannot be used: {0}")]
    Snapshot(#[from] SnapshotError),
    #[error("no catalogue can be made of what the feature store sent: {0}")]
    Catalogue(#[from] CatalogueError),
    #[error("the catalogue cannot be kept, and no decision is made by what is not: {0}")]
    Contents(#[from] DecisionLogError),
    #[error("building the catalogue failed: {0}")]
    Thread(#[from] JoinError),
}

impl Interruption {
    /// Whether it is only the connection that failed, and what was received is still good.
    fn leaves_the_feed(&self) -> bool {
        match self {
            // The resume token is refused.
            Self::Refused(status) => status.code() != Code::InvalidArgument,
            Self::Ended | Self::Silent(_) | Self::Contents(_) => true,
            Self::Snapshot(_) | Self::Catalogue(_) | Self::Thread(_) => false,
        }
    }
}

impl Subscription {
    /// Follows for ever.
    pub(crate) async fn follow(self) {
        let mut following = Following { feed: Feed::default(), due: None, model: None, waits: self.waits() };
        loop {
            let Err(mut interruption) = self.follow_one_connection(&mut following).await;
            // What has changed before the break is not left waiting for its end.
            if interruption.leaves_the_feed()
                && following.due.is_some()
                && let Err(unusable) = self.publish(&mut following).await
            {
                interruption = unusable;
            }
            if !interruption.leaves_the_feed() {
                (following.feed, following.due) = (Feed::default(), None);
            }
            let wait = following.waits.next().unwrap_or(self.config.longest_wait);
            warn!(%interruption, ?wait, "the catalogue in service stays; connecting again");
            sleep(wait).await;
        }
    }

    async fn follow_one_connection(&self, following: &mut Following) -> Result<Infallible, Interruption> {
        let resume_token = following.feed.resume();
        let mut steps = {
            let watching = self.feature_store.watch(self.version.as_ref(), resume_token);
            self.unless_silent(watching).await?
        };
        loop {
            let message = tokio::select! {
                message = self.unless_silent(steps.message()) => message?.ok_or(Interruption::Ended)?,
                () = until(following.due) => {
                    self.publish(following).await?;
                    continue;
                }
            };
            match following.feed.take(message.step)? {
                Some(News::Snapshot) => self.publish(following).await?,
                Some(News::Changes) => {
                    // Not put off by further changes.
                    following.due.get_or_insert_with(|| Instant::now() + self.config.gather);
                }
                Some(News::Heartbeat) => following.waits = self.waits(),
                None => {}
            }
        }
    }

    /// Builds the catalogue on a thread for blocking work: it takes seconds for a large one.
    async fn publish(&self, following: &mut Following) -> Result<(), Interruption> {
        let Some(snapshot) = following.feed.snapshot() else {
            return Ok(());
        };
        let models_dir = self.models_dir.clone();
        let known = following.model.clone();
        let reasons = Arc::clone(&self.reasons);
        let policies = Arc::clone(&self.policies);
        let index = self.index.clone();
        let in_service = self.current.get();
        let is_kept = self.contents.is_some();
        let (catalogue, model) = spawn_blocking(move || {
            let indexing = Indexing { settings: &index, in_service: in_service.as_deref() };
            let model = Model::of(&models_dir, &snapshot, known, &reasons)?;
            let catalogue = build(snapshot, &model, indexing)?;
            let catalogue = Arc::new(catalogue);
            policies.compiled(&policies.in_force(), &catalogue);
            if is_kept {
                // Named here, off the asynchronous threads.
                catalogue.digest();
            }
            Ok::<_, CatalogueError>((catalogue, model))
        })
        .await??;
        if let Err(failure) = self.keep(&catalogue).await {
            // Built and tried again with whatever comes next.
            following.due.get_or_insert_with(Instant::now);
            return Err(failure.into());
        }
        let generation = catalogue.generation();
        info!(
            generation = generation.run_id,
            model_version = %generation.model_version,
            embedding_space = %generation.embedding_space,
            products = catalogue.len(),
            beside_the_index = catalogue.index().changed(),
            "catalogue in service"
        );
        self.current.publish(catalogue);
        if let Some(health) = &self.health {
            health.serving().await;
        }
        (following.model, following.due) = (Some(model), None);
        following.waits = self.waits();
        Ok(())
    }

    /// Keeps what decisions will be made by, so that they can be made again.
    async fn keep(&self, catalogue: &Catalogue) -> Result<(), DecisionLogError> {
        if let Some(contents) = &self.contents {
            catalogue.keep(contents).await?;
        }
        self.policies.keep().await?;
        self.selections.keep().await
    }

    async fn unless_silent<T>(
        &self,
        step: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Interruption> {
        let silence = self.config.silence;
        Ok(timeout(silence, step).await.map_err(|_| Interruption::Silent(silence))??)
    }

    fn waits(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(SHORTEST_WAIT)
            .with_max_delay(self.config.longest_wait)
            .without_max_times()
            .with_jitter()
            .build()
    }
}

/// Never, without a moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl Model {
    /// The model that goes with a snapshot: the one that was read before, or else the bundle in the model's directory,
    /// held to the digest that was registered.
    fn of(
        models_dir: &Path,
        snapshot: &Snapshot,
        known: Option<Self>,
        reasons: &Arc<ReasonTable>,
    ) -> Result<Self, CatalogueError> {
        let digest = snapshot.bundle;
        if let Some(known) = known.filter(|known| known.digest == digest) {
            return Ok(known);
        }
        let directory = bundle_directory(models_dir, &snapshot.generation.model_version)?;
        let bundle = Arc::new(Bundle::read_registered(&directory, digest)?);
        let explanations = Explanations::of(&bundle, reasons)?.map(Arc::new);
        Ok(Self { digest, bundle, explanations })
    }
}

/// Builds the catalogue of a snapshot with its model.
fn build(snapshot: Snapshot, model: &Model, indexing: Indexing<'_>) -> Result<Catalogue, CatalogueError> {
    let catalogue = Catalogue::build_by(snapshot, &model.bundle, indexing)?;
    Ok(catalogue.explained_by(model.explanations.clone()))
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::LazyLock};

    use finrank_model::{ModelError, ProductClass, ProductStatus};

    use super::*;
    use crate::fixtures::{DIMENSION, Sample, bundle, generation, products};

    fn exact() -> Indexing<'static> {
        static SETTINGS: LazyLock<IndexSettings> = LazyLock::new(IndexSettings::default);
        Indexing { settings: &SETTINGS, in_service: None }
    }

    fn snapshot() -> Snapshot {
        let sample =
            Sample { class: ProductClass::Loan, status: ProductStatus::Active, vector: [1.0; DIMENSION] };
        let generation = generation(1);
        let bundle = bundle(&generation).digest();
        Snapshot { generation, bundle, products: products(&[sample]) }
    }

    fn built(models_dir: &Path, reasons: &ReasonTable) -> Result<Catalogue, CatalogueError> {
        let model = Model::of(models_dir, &snapshot(), None, &Arc::new(reasons.clone()))?;
        build(snapshot(), &model, exact())
    }

    #[test]
    fn a_catalogue_is_built_with_the_bundle_of_the_snapshots_model() {
        let models = tempfile::tempdir().unwrap();
        for model in 1..=2 {
            bundle(&generation(model)).write(&models.path().join(format!("m{model}"))).unwrap();
        }

        let catalogue = built(models.path(), &ReasonTable::default()).unwrap();

        assert_eq!(catalogue.generation(), &generation(1));
        assert_eq!(catalogue.len(), 1);
    }

    #[test]
    fn no_catalogue_is_built_with_a_bundle_that_is_missing_or_damaged_or_another_one() {
        let models = tempfile::tempdir().unwrap();
        let missing = built(models.path(), &ReasonTable::default()).unwrap_err();
        bundle(&generation(1)).write(&models.path().join("m1")).unwrap();
        let weights = models.path().join("m1/scorer.safetensors");
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, bytes).unwrap();

        let damaged = built(models.path(), &ReasonTable::default()).unwrap_err();
        fs::remove_dir_all(models.path().join("m1")).unwrap();
        let mut another = bundle(&generation(1));
        another.manifest.seed += 1;
        another.write(&models.path().join("m1")).unwrap();
        let another = built(models.path(), &ReasonTable::default()).unwrap_err();

        assert!(matches!(missing, CatalogueError::Bundle(ModelError::FileMissing { .. })), "{missing}");
        assert!(matches!(damaged, CatalogueError::Bundle(ModelError::Damaged { .. })), "{damaged}");
        assert!(matches!(another, CatalogueError::Bundle(ModelError::NotTheRegistered { .. })), "{another}");
    }
}
