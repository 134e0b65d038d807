//! Random but reproducible models, customers and products for the tests.

#![allow(dead_code, unreachable_pub, reason = "each test file includes this and uses its part")]

pub mod written;

use chrono::DateTime;
use finrank_model::{
    AttributeValue, Attributes, Bundle, DataWindow, Dense, EmbeddingSpace, MlpScorer, ModelVersion, Product,
    ProductClass, ProductDraft, ProductEncoder, ProductId, ProductStatus, ProductTransform, Provenance,
    RiskGrade, Tower, TransformConfig, UserEncoder, UserId, UserRecord, UserTransform, features::FeatureRow,
};
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn vector(length: usize, limit: f32, random: &mut ChaCha8Rng) -> Vec<f32> {
    (0..length).map(|_| random.random_range(-limit..limit)).collect()
}

pub fn matrix(shape: [usize; 2], limit: f32, random: &mut ChaCha8Rng) -> Array2<f32> {
    Array2::from_shape_vec(shape, vector(shape[0] * shape[1], limit, random)).unwrap()
}

/// A layer with weights as He et al. (2015) would draw them.
pub fn dense(inputs: usize, outputs: usize, random: &mut ChaCha8Rng) -> Dense {
    let limit = (6.0 / inputs.max(1) as f32).sqrt();
    let weight = matrix([inputs, outputs], limit, random);
    Dense::new(weight, Array1::from_vec(vector(outputs, 0.5, random))).unwrap()
}

/// Layers from each width to the next.
pub fn layers(widths: &[usize], random: &mut ChaCha8Rng) -> Vec<Dense> {
    widths.windows(2).map(|step| dense(step[0], step[1], random)).collect()
}

pub fn tower(width: usize, vocabulary: usize, layer_widths: &[usize], random: &mut ChaCha8Rng) -> Tower {
    let input = dense(width, layer_widths[0], random);
    let sparse = matrix([vocabulary, layer_widths[0]], 0.5, random);
    Tower::new(input, sparse, layers(layer_widths, random)).unwrap()
}

pub fn scorer(widths: &[usize], random: &mut ChaCha8Rng) -> MlpScorer {
    MlpScorer::new(layers(widths, random)).unwrap()
}

/// Customers with a few gaps, an attribute of each kind and up to three products.
pub fn users(count: usize, random: &mut ChaCha8Rng) -> Vec<UserRecord> {
    (0..count).map(|index| user(index, random)).collect()
}

fn user(index: usize, random: &mut ChaCha8Rng) -> UserRecord {
    let region = ["north", "south", "east"][random.random_range(0..3)];
    let mut attributes = vec![
        ("owns_home".to_owned(), AttributeValue::Flag(random.random())),
        ("region".to_owned(), AttributeValue::Text(region.to_owned())),
    ];
    if random.random_range(0..10) > 0 {
        let income = random.random_range(4.0f64..14.0).exp();
        attributes.push(("income".to_owned(), AttributeValue::Number(income)));
    }
    let held = 0..random.random_range(0..4);
    UserRecord {
        user_id: UserId::parse(format!("u{index:05}")).unwrap(),
        attributes: Attributes::new(attributes).unwrap(),
        held: held.map(product_id).collect(),
        features: FeatureRow::default(),
    }
}

pub fn product_id(index: usize) -> ProductId {
    ProductId::parse(format!("p{index:03}")).unwrap()
}

pub fn products(count: usize) -> Vec<Product> {
    (0..count).map(product).collect()
}

fn product(index: usize) -> Product {
    let class = ProductClass::ALL[index % 4];
    let fee = AttributeValue::Number(index as f64 / 3.0);
    ProductDraft {
        product_id: product_id(index),
        product_class: class,
        name: format!("{} number {index}", class.as_str().replace('_', " ")),
        description: "Pays back what you spend abroad.".to_owned(),
        issuer: ["Aster", "Birch"][index % 2].to_owned(),
        risk_grade: (!index.is_multiple_of(3)).then(|| RiskGrade::new(1 + index as u32 % 5).unwrap()),
        status: ProductStatus::Active,
        attributes: Attributes::new([("fee".to_owned(), fee)]).unwrap(),
        event_time: DateTime::UNIX_EPOCH,
    }
    .check()
    .unwrap()
}

pub fn user_encoder(users: &[UserRecord], layer_widths: &[usize], random: &mut ChaCha8Rng) -> UserEncoder {
    let transform = UserTransform::fit(users, &TransformConfig::default());
    let tower = tower(transform.width(), transform.vocabulary_len(), layer_widths, random);
    UserEncoder::new(transform, tower).unwrap()
}

pub fn product_encoder(
    products: &[Product],
    layer_widths: &[usize],
    random: &mut ChaCha8Rng,
) -> ProductEncoder {
    let transform = ProductTransform::fit(products, &TransformConfig::default());
    let tower = tower(transform.width(), transform.vocabulary_len(), layer_widths, random);
    ProductEncoder::new(transform, tower).unwrap()
}

pub fn provenance() -> Provenance {
    Provenance {
        model_version: ModelVersion::parse("m-1").unwrap(),
        embedding_space: EmbeddingSpace::parse("space-1").unwrap(),
        created_at: DateTime::UNIX_EPOCH,
        seed: 7,
        data_window: DataWindow { first: Some(DateTime::UNIX_EPOCH), last: None },
        training_rows: [("users".to_owned(), 40), ("products".to_owned(), 6)].into(),
        metrics: [("mrr".to_owned(), 0.1 + 0.2), ("auc".to_owned(), 1.0 / 3.0)].into(),
    }
}

/// A small model: towers to 8 dimensions, a scorer 16 → 12 → 1.
pub fn bundle(seed: u64) -> Bundle {
    let mut random = random(seed);
    let users = user_encoder(&users(40, &mut random), &[12, 8], &mut random);
    let products = product_encoder(&products(6), &[12, 8], &mut random);
    let scorer = scorer(&[16, 12, 1], &mut random);
    Bundle::new(provenance(), users, products, scorer).unwrap()
}
