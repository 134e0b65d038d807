//! A registered model with random towers of the trainer's default widths, whose transforms fit the customers and products
//! that are stored.

use std::path::Path;

use chrono::Utc;
use finrank_model::{
    Bundle, DIMENSION, DataWindow, Dense, EmbeddingSpace, MlpScorer, ModelVersion, ProductEncoder,
    ProductTransform, Provenance, Tower, TransformConfig, UserEncoder, UserTransform, bundle_directory,
};
use finrank_store::{
    Store,
    models::{self, RegisteredModel},
    records,
};
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;

/// The trainer's default width of a tower's hidden layer.
const HIDDEN: usize = 64;
/// Customers whom the transform is fitted to.
const FITTED: usize = 10_000;

/// Writes the bundle into the directory of models, and registers it.
pub(crate) async fn register(store: &Store, models: &Path) -> Result<()> {
    let users = records::user_records(store, None, None, FITTED).await?;
    let products = records::product_records(store, None, None, FITTED).await?;
    let random = &mut ChaCha8Rng::seed_from_u64(0);
    let user_transform = UserTransform::fit(&users, &TransformConfig::default());
    let product_transform = ProductTransform::fit(&products, &TransformConfig::default());
    let user_tower = tower(user_transform.width(), user_transform.vocabulary_len(), random)?;
    let product_tower = tower(product_transform.width(), product_transform.vocabulary_len(), random)?;
    // A version of its own each time: the database may be kept, the bundle is not.
    let provenance = Provenance {
        model_version: ModelVersion::parse(format!("bench-{}", Utc::now().timestamp_micros()))?,
        embedding_space: EmbeddingSpace::parse("bench")?,
        created_at: Utc::now(),
        seed: 0,
        data_window: DataWindow::default(),
        training_rows: [].into(),
        metrics: [].into(),
    };
    let bundle = Bundle::new(
        provenance,
        UserEncoder::new(user_transform, user_tower)?,
        ProductEncoder::new(product_transform, product_tower)?,
        MlpScorer::new(vec![
            dense(2 * DIMENSION, 128, random)?,
            dense(128, 64, random)?,
            dense(64, 1, random)?,
        ])?,
    )?;
    let directory = bundle_directory(models, &bundle.manifest.model_version)?;
    bundle.write(&directory)?;
    let model = RegisteredModel {
        model_version: bundle.manifest.model_version.clone(),
        embedding_space: bundle.manifest.embedding_space.clone(),
        bundle_path: directory.display().to_string(),
        bundle_sha256: bundle.digest().to_string(),
        manifest: serde_json::to_value(&bundle.manifest)?,
        registered_at: Utc::now(),
    };
    Ok(models::register(store, &model).await?)
}

fn tower(width: usize, vocabulary: usize, random: &mut ChaCha8Rng) -> Result<Tower> {
    let sparse = matrix([vocabulary, HIDDEN], random);
    Ok(Tower::new(dense(width, HIDDEN, random)?, sparse, vec![dense(HIDDEN, DIMENSION, random)?])?)
}

fn dense(inputs: usize, outputs: usize, random: &mut ChaCha8Rng) -> Result<Dense> {
    Ok(Dense::new(matrix([inputs, outputs], random), Array1::zeros(outputs))?)
}

fn matrix(shape: [usize; 2], random: &mut ChaCha8Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn(shape, || random.random_range(-0.1..0.1))
}
