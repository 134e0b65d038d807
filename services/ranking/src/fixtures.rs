//! Catalogues for the tests: products in a plane, a bundle with random weights, real Faiss, the real scorer.

use finrank_model::{
    Attributes, Bundle, Dense, Embedding, EmbeddingSpace, MlpScorer, ModelVersion, ProductClass,
    ProductEncoder, ProductId, ProductStatus, ProductTransform, Provenance, Tower, TransformConfig,
    UserEncoder, UserTransform,
};
use ndarray::{Array1, Array2};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    Generation, Snapshot,
    catalogue::{Catalogue, CatalogueProduct},
    index::SpacedEmbedding,
};

pub(crate) const DIMENSION: usize = 4;

/// A product to be.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) class: ProductClass,
    pub(crate) status: ProductStatus,
    pub(crate) vector: [f32; DIMENSION],
}

/// Any product; components of -2 to 2, so that many inner products tie and all are exact.
pub(crate) fn sample() -> impl Strategy<Value = Sample> {
    let class = prop::sample::select(&ProductClass::ALL[..]);
    let status =
        prop::sample::select(&[ProductStatus::Active, ProductStatus::Active, ProductStatus::Withdrawn][..]);
    (class, status, vector()).prop_map(|(class, status, vector)| Sample { class, status, vector })
}

pub(crate) fn vector() -> impl Strategy<Value = [f32; DIMENSION]> {
    prop::array::uniform4((-2..=2_i8).prop_map(f32::from))
}

/// The generation of a run: model `m<run>` in the space `s<run>`.
pub(crate) fn generation(run_id: i64) -> Generation {
    Generation {
        run_id,
        model_version: ModelVersion::parse(format!("m{run_id}")).unwrap(),
        embedding_space: EmbeddingSpace::parse(format!("s{run_id}")).unwrap(),
        dimension: DIMENSION,
    }
}

/// A bundle with random weights that goes with a generation.
pub(crate) fn bundle(generation: &Generation) -> Bundle {
    let mut random = ChaCha8Rng::seed_from_u64(generation.run_id as u64);
    let dimension = generation.dimension;
    let provenance = Provenance {
        model_version: generation.model_version.clone(),
        embedding_space: generation.embedding_space.clone(),
        created_at: chrono::DateTime::UNIX_EPOCH,
        seed: 0,
        data_window: Default::default(),
        training_rows: Default::default(),
        metrics: Default::default(),
    };
    let user = UserTransform::fit(&[], &TransformConfig::default());
    let user_tower = tower(user.width(), user.vocabulary_len(), dimension, &mut random);
    let product = ProductTransform::fit(&[], &TransformConfig::default());
    let product_tower = tower(product.width(), product.vocabulary_len(), dimension, &mut random);
    let layers =
        [(2 * dimension, 16), (16, 8), (8, 1)].map(|(inputs, outputs)| dense(inputs, outputs, &mut random));
    Bundle::new(
        provenance,
        UserEncoder::new(user, user_tower).unwrap(),
        ProductEncoder::new(product, product_tower).unwrap(),
        MlpScorer::new(layers.into()).unwrap(),
    )
    .unwrap()
}

fn tower(width: usize, vocabulary: usize, dimension: usize, random: &mut ChaCha8Rng) -> Tower {
    let input = dense(width, 8, random);
    Tower::new(input, matrix(vocabulary, 8, random), vec![dense(8, dimension, random)]).unwrap()
}

fn dense(inputs: usize, outputs: usize, random: &mut ChaCha8Rng) -> Dense {
    Dense::new(
        matrix(inputs, outputs, random),
        Array1::from_shape_fn(outputs, |_| random.random_range(-0.5..0.5)),
    )
    .unwrap()
}

fn matrix(rows: usize, columns: usize, random: &mut ChaCha8Rng) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |_| random.random_range(-0.5..0.5))
}

/// A catalogue of samples; product `i` is `p<i>`, so that rows and samples are in one order.
pub(crate) fn catalogue(generation: &Generation, samples: &[Sample]) -> Catalogue {
    let bundle = bundle(generation);
    let snapshot =
        Snapshot { generation: generation.clone(), bundle: bundle.digest(), products: products(samples) };
    Catalogue::build(snapshot, &bundle).unwrap()
}

pub(crate) fn products(samples: &[Sample]) -> Vec<(CatalogueProduct, Embedding)> {
    let product = |(index, sample): (usize, &Sample)| {
        let product = CatalogueProduct {
            product_id: product_id(index),
            name: format!("Product {index}"),
            issuer: format!("Issuer {}", index % 3),
            product_class: sample.class,
            status: sample.status,
            risk_grade: None,
            attributes: Attributes::default(),
        };
        (product, Embedding::new(sample.vector, DIMENSION).unwrap())
    };
    samples.iter().enumerate().map(product).collect()
}

pub(crate) fn product_id(index: usize) -> ProductId {
    ProductId::parse(format!("p{index:04}")).unwrap()
}

/// A vector of a generation's space.
pub(crate) fn spaced(generation: &Generation, vector: [f32; DIMENSION]) -> SpacedEmbedding {
    SpacedEmbedding {
        embedding: Embedding::new(vector, DIMENSION).unwrap(),
        space: generation.embedding_space.clone(),
    }
}
