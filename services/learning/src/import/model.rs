//! A new model version of the towers of one that is registered and an imported scorer.

use std::path::PathBuf;

use chrono::{SubsecRound, Utc};
use finrank_model::{Bundle, EmbeddingSpace, ModelVersion, Provenance, Sha256Digest, bundle_directory};
use finrank_store::{Store, models};
use serde::Serialize;

use super::{NetworkOutput, read_scorer};
use crate::{LearningError, Result, train::register};

/// What [`import_model`] needs beside the store.
#[derive(Clone, Debug)]
pub struct ImportConfig {
    /// The network, an `.onnx` or `.safetensors` file.
    pub file: PathBuf,
    /// What its output is.
    pub output: NetworkOutput,
    /// The registered model whose towers make the embeddings that it scores.
    pub base: ModelVersion,
    /// Names the new model.
    pub version: ModelVersion,
    /// The new bundle is written to `<models_dir>/<version>`.
    pub models_dir: PathBuf,
}

/// A model, imported and registered.
#[derive(Clone, Debug, Serialize)]
pub struct ImportReport {
    /// Names it.
    pub model_version: ModelVersion,
    /// The model whose towers it has.
    pub base: ModelVersion,
    /// The space of its embeddings, which is its base's.
    pub embedding_space: EmbeddingSpace,
    /// The width of the scorer's input, then of each layer's output.
    pub scorer: Vec<usize>,
    /// Where its bundle lies.
    pub bundle_path: PathBuf,
    /// The SHA-256 of the bundle's manifest.
    pub bundle_sha256: String,
}

/// Makes a model of `base`'s towers and the network in `file`, writes its bundle and registers it. What was
/// measured of the base's scorer does not hold for it and is left out of the manifest.
///
/// # Errors
/// When the network cannot be read or does not score two embeddings of the base's dimension, the base is not
/// registered or its bundle is not the registered one, the version exists, or the store or the disk fails.
pub async fn import_model(store: &Store, config: &ImportConfig) -> Result<ImportReport> {
    let scorer = read_scorer(&config.file, config.output)?;
    let registered = models::get(store, &config.base)
        .await?
        .ok_or_else(|| LearningError::NotRegistered { version: config.base.clone() })?;
    let digest = Sha256Digest::parse(&registered.bundle_sha256)?;
    let base = Bundle::read_registered(registered.bundle_path.as_ref(), digest)?;

    let provenance = Provenance {
        model_version: config.version.clone(),
        embedding_space: base.manifest.embedding_space.clone(),
        created_at: Utc::now().trunc_subsecs(3),
        seed: base.manifest.seed,
        data_window: base.manifest.data_window,
        training_rows: base.manifest.training_rows.clone(),
        metrics: Default::default(),
    };
    let golden = base.golden().map(|golden| golden.records(&base)).transpose()?;
    let means = base.means().cloned();
    let mut bundle = Bundle::new(provenance, base.user, base.product, scorer)?;
    if let Some((users, products)) = golden {
        bundle = bundle.with_golden(&users, &products)?;
    }
    if let Some(means) = means {
        bundle = bundle.with_means(means)?;
    }
    let directory = bundle_directory(&config.models_dir, &config.version)?;
    let digest = bundle.write(&directory)?;
    register(store, &bundle, &directory).await?;
    // What was hidden from the towers is what gates may ask about.
    if let Some(hidden) = models::holdout(store, &config.base).await? {
        models::record_holdout(store, &config.version, &hidden).await?;
    }
    Ok(ImportReport {
        model_version: config.version.clone(),
        base: config.base.clone(),
        embedding_space: bundle.manifest.embedding_space.clone(),
        scorer: bundle.manifest.architecture.scorer.clone(),
        bundle_path: directory,
        bundle_sha256: digest.to_string(),
    })
}
