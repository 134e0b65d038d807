//! Follows the feature store's product embeddings: each whole snapshot becomes a catalogue, built aside and
//! put in service in one step. Whatever fails on the way is logged and tried again, and the catalogue in
//! service stays.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use finrank_model::{Bundle, bundle_directory};
use finrank_serving::Health;
use thiserror::Error;
use tokio::{
    task::{JoinError, spawn_blocking},
    time::{sleep, timeout},
};
use tonic::Status;
use tracing::{info, warn};

use crate::{
    SubscriptionConfig,
    catalogue::{Catalogue, CatalogueError, CurrentCatalogue},
    feature_store::FeatureStore,
    snapshot::{Snapshot, SnapshotError, SnapshotReader},
};

/// The first wait before connecting again; each further one is twice as long, with jitter, so that replicas
/// do not come back all at once.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// Keeps the catalogue in service up to date.
pub(crate) struct Subscription {
    pub(crate) feature_store: FeatureStore,
    pub(crate) models_dir: PathBuf,
    pub(crate) config: SubscriptionConfig,
    pub(crate) current: Arc<CurrentCatalogue>,
    /// Says SERVING once a catalogue is in service.
    pub(crate) health: Health,
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
    #[error("the snapshot cannot be used: {0}")]
    Snapshot(#[from] SnapshotError),
    #[error("no catalogue can be made of the snapshot: {0}")]
    Catalogue(#[from] CatalogueError),
    #[error("building the catalogue failed: {0}")]
    Thread(#[from] JoinError),
}

impl Subscription {
    /// Follows for ever.
    pub(crate) async fn follow(self) {
        let mut waits = self.waits();
        loop {
            let Err(interruption) = self.follow_one_connection(&mut waits).await;
            let wait = waits.next().unwrap_or(self.config.longest_wait);
            warn!(%interruption, ?wait, "the catalogue in service stays; connecting again");
            sleep(wait).await;
        }
    }

    async fn follow_one_connection(
        &self,
        waits: &mut ExponentialBackoff,
    ) -> Result<Infallible, Interruption> {
        let mut steps = self.unless_silent(self.feature_store.watch()).await?;
        let mut reader = SnapshotReader::default();
        loop {
            let message = self.unless_silent(steps.message()).await?.ok_or(Interruption::Ended)?;
            if let Some(snapshot) = reader.take(message.step)? {
                self.publish(snapshot).await?;
                *waits = self.waits();
            }
        }
    }

    /// Builds the catalogue on a thread for blocking work: it takes seconds for a large one.
    async fn publish(&self, snapshot: Snapshot) -> Result<(), Interruption> {
        let models_dir = self.models_dir.clone();
        let catalogue = spawn_blocking(move || build(&models_dir, snapshot)).await??;
        let generation = catalogue.generation();
        info!(
            generation = generation.run_id,
            model_version = %generation.model_version,
            embedding_space = %generation.embedding_space,
            products = catalogue.len(),
            "catalogue in service"
        );
        self.current.publish(catalogue);
        self.health.serving().await;
        Ok(())
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

/// Reads the bundle that goes with a snapshot, holding it to the digest that was registered, and builds the
/// catalogue.
fn build(models_dir: &Path, snapshot: Snapshot) -> Result<Catalogue, CatalogueError> {
    let directory = bundle_directory(models_dir, &snapshot.generation.model_version)?;
    let bundle = Bundle::read_registered(&directory, snapshot.bundle)?;
    Catalogue::build(snapshot, &bundle)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use finrank_model::{ModelError, ProductClass, ProductStatus};

    use super::*;
    use crate::fixtures::{DIMENSION, Sample, bundle, generation, products};

    fn snapshot() -> Snapshot {
        let sample =
            Sample { class: ProductClass::Loan, status: ProductStatus::Active, vector: [1.0; DIMENSION] };
        let generation = generation(1);
        let bundle = bundle(&generation).digest();
        Snapshot { generation, bundle, products: products(&[sample]) }
    }

    #[test]
    fn a_catalogue_is_built_with_the_bundle_of_the_snapshots_model() {
        let models = tempfile::tempdir().unwrap();
        for model in 1..=2 {
            bundle(&generation(model)).write(&models.path().join(format!("m{model}"))).unwrap();
        }

        let catalogue = build(models.path(), snapshot()).unwrap();

        assert_eq!(catalogue.generation(), &generation(1));
        assert_eq!(catalogue.len(), 1);
    }

    #[test]
    fn no_catalogue_is_built_with_a_bundle_that_is_missing_or_damaged_or_another_one() {
        let models = tempfile::tempdir().unwrap();
        let missing = build(models.path(), snapshot()).unwrap_err();
        bundle(&generation(1)).write(&models.path().join("m1")).unwrap();
        let weights = models.path().join("m1/scorer.safetensors");
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, bytes).unwrap();

        let damaged = build(models.path(), snapshot()).unwrap_err();
        fs::remove_dir_all(models.path().join("m1")).unwrap();
        let mut another = bundle(&generation(1));
        another.manifest.seed += 1;
        another.write(&models.path().join("m1")).unwrap();
        let another = build(models.path(), snapshot()).unwrap_err();

        assert!(matches!(missing, CatalogueError::Bundle(ModelError::FileMissing { .. })), "{missing}");
        assert!(matches!(damaged, CatalogueError::Bundle(ModelError::Damaged { .. })), "{damaged}");
        assert!(matches!(another, CatalogueError::Bundle(ModelError::NotTheRegistered { .. })), "{another}");
    }
}
