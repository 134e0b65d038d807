//! Model bundles from their directory, held to what was registered.

use std::{path::Path, sync::Arc};

use finrank_model::{Bundle, ModelVersion, Sha256Digest, bundle_directory};
use tokio::task;

use crate::{FeatureStoreError, Result};

/// Reads a model version's bundle, on a thread for blocking work.
///
/// # Errors
/// When it is missing, damaged, or not the one with this digest.
pub(crate) async fn read_registered(
    models_dir: &Path,
    version: &ModelVersion,
    digest: Sha256Digest,
) -> Result<Arc<Bundle>> {
    let directory = bundle_directory(models_dir, version);
    let bundle = task::spawn_blocking(move || Bundle::read_registered(&directory?, digest)).await?;
    bundle.map(Arc::new).map_err(FeatureStoreError::Bundle)
}
