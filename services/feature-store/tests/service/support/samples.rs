//! Customers, products and a small random model, the same at every call.

use chrono::{DateTime, Utc};
use finrank_contracts::common::v1 as wire;
use finrank_model::{
    AttributeValue, Attributes, Bundle, DataWindow, Dense, EmbeddingSpace, MlpScorer, ModelVersion, Product,
    ProductClass, ProductDraft, ProductEncoder, ProductId, ProductStatus, ProductTransform, Provenance,
    Tower, TransformConfig, UserEncoder, UserId, UserRecord, UserTransform, features::FeatureRow,
};
use ndarray::{Array1, Array2};
use prost_types::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Components of the model's embeddings.
pub(crate) const DIMENSION: usize = 8;

/// Customer `index`, with an attribute of each kind, one unknown now and then, and up to three products.
pub(crate) fn user(index: usize) -> UserRecord {
    let region = ["north", "south", "east"][index % 3];
    let mut attributes = vec![
        ("owns_home".to_owned(), AttributeValue::Flag(index.is_multiple_of(2))),
        ("region".to_owned(), AttributeValue::Text(region.to_owned())),
    ];
    if !index.is_multiple_of(7) {
        let income = 1000.0 * (1.0 + index as f64).sqrt();
        attributes.push(("income".to_owned(), AttributeValue::Number(income)));
    }
    UserRecord {
        user_id: UserId::parse(format!("u{index:04}")).unwrap(),
        attributes: Attributes::new(attributes).unwrap(),
        held: (0..index % 4).map(product_id).collect(),
        features: FeatureRow::default(),
    }
}

pub(crate) fn users(count: usize) -> Vec<UserRecord> {
    (0..count).map(user).collect()
}

fn product_id(index: usize) -> ProductId {
    ProductId::parse(format!("p{index:04}")).unwrap()
}

pub(crate) fn product(index: usize) -> Product {
    let class = ProductClass::ALL[index % 4];
    let fee = AttributeValue::Number(index as f64 / 3.0);
    ProductDraft {
        product_id: product_id(index),
        product_class: class,
        name: format!("{} number {index}", class.as_str().replace('_', " ")),
        description: "Pays back what you spend abroad.".to_owned(),
        issuer: ["Aster", "Birch"][index % 2].to_owned(),
        risk_grade: None,
        status: ProductStatus::Active,
        attributes: Attributes::new([("fee".to_owned(), fee)]).unwrap(),
        event_time: DateTime::UNIX_EPOCH,
    }
    .check()
    .unwrap()
}

pub(crate) fn products(count: usize) -> Vec<Product> {
    (0..count).map(product).collect()
}

/// A model with random weights whose transforms were fitted on these samples.
pub(crate) fn bundle(version: &str, seed: u64) -> Bundle {
    bundle_fitted_to(&users(40), version, seed)
}

/// The same with a user tower that reads what these customers come with.
pub(crate) fn bundle_fitted_to(users: &[UserRecord], version: &str, seed: u64) -> Bundle {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let users = UserTransform::fit(users, &TransformConfig::default());
    let products = ProductTransform::fit(&products(8), &TransformConfig::default());
    let user_tower = tower(users.width(), users.vocabulary_len(), &mut random);
    let product_tower = tower(products.width(), products.vocabulary_len(), &mut random);
    let scorer = vec![dense(2 * DIMENSION, 12, &mut random), dense(12, 1, &mut random)];
    Bundle::new(
        Provenance {
            model_version: ModelVersion::parse(version).unwrap(),
            embedding_space: EmbeddingSpace::parse(format!("space of {version}")).unwrap(),
            created_at: DateTime::UNIX_EPOCH,
            seed,
            data_window: DataWindow::default(),
            training_rows: [].into(),
            metrics: [].into(),
        },
        UserEncoder::new(users, user_tower).unwrap(),
        ProductEncoder::new(products, product_tower).unwrap(),
        MlpScorer::new(scorer).unwrap(),
    )
    .unwrap()
}

fn tower(width: usize, vocabulary: usize, random: &mut ChaCha8Rng) -> Tower {
    let input = dense(width, 12, random);
    let sparse = matrix([vocabulary, 12], random);
    Tower::new(input, sparse, vec![dense(12, DIMENSION, random)]).unwrap()
}

fn dense(inputs: usize, outputs: usize, random: &mut ChaCha8Rng) -> Dense {
    let bias = (0..outputs).map(|_| random.random_range(-0.5..0.5)).collect::<Array1<f32>>();
    Dense::new(matrix([inputs, outputs], random), bias).unwrap()
}

fn matrix(shape: [usize; 2], random: &mut ChaCha8Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn(shape, || random.random_range(-0.5..0.5))
}

/// A customer as written at `seconds` since 1970.
pub(crate) fn customer_message(user: &UserRecord, seconds: i64) -> wire::Customer {
    wire::Customer {
        user_id: user.user_id.to_string(),
        attributes: attributes_message(&user.attributes),
        event_time: Some(at(seconds)),
        ..wire::Customer::default()
    }
}

/// A product as written at `seconds` since 1970.
pub(crate) fn product_message(product: &Product, seconds: i64) -> wire::Product {
    let class = format!("PRODUCT_CLASS_{}", product.product_class.as_str().to_uppercase());
    wire::Product {
        product_id: product.product_id.to_string(),
        product_class: wire::ProductClass::from_str_name(&class).unwrap().into(),
        name: product.name.clone(),
        description: product.description.clone(),
        issuer: product.issuer.clone(),
        risk_grade: None,
        status: wire::ProductStatus::Active.into(),
        attributes: attributes_message(&product.attributes),
        event_time: Some(at(seconds)),
        ..wire::Product::default()
    }
}

/// The events by which a customer came to hold what it holds.
pub(crate) fn acquired_messages(user: &UserRecord) -> impl Iterator<Item = wire::Event> {
    user.held.iter().map(|product| {
        let event_id = format!("acquired {product}");
        event_message(&event_id, user.user_id.as_str(), product.as_str(), wire::EventKind::Acquired, 100)
    })
}

pub(crate) fn event_message(
    event_id: &str,
    user_id: &str,
    product_id: &str,
    kind: wire::EventKind,
    seconds: i64,
) -> wire::Event {
    wire::Event {
        event_id: event_id.to_owned(),
        user_id: user_id.to_owned(),
        product_id: product_id.to_owned(),
        kind: kind.into(),
        event_time: Some(at(seconds)),
        ..wire::Event::default()
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn attributes_message(attributes: &Attributes) -> std::collections::HashMap<String, wire::AttributeValue> {
    use wire::attribute_value::Kind;

    let entries = attributes.iter().map(|(name, value)| {
        let kind = match value.clone() {
            AttributeValue::Flag(flag) => Kind::Flag(flag),
            AttributeValue::Number(number) => Kind::Number(number),
            AttributeValue::Text(text) => Kind::Text(text),
        };
        (name.to_string(), wire::AttributeValue { kind: Some(kind) })
    });
    entries.collect()
}

pub(crate) fn days_ago(days: i64) -> Timestamp {
    at(Utc::now().timestamp() - days * 24 * 3600)
}

/// What is said of a customer's income.
pub(crate) fn income(user_id: &str, income: f64, event_time: Timestamp, revision: u32) -> wire::Customer {
    let value = wire::AttributeValue { kind: Some(wire::attribute_value::Kind::Number(income)) };
    wire::Customer {
        user_id: user_id.to_owned(),
        attributes: [("annual_income".to_owned(), value)].into(),
        event_time: Some(event_time),
        revision,
        retracted: false,
    }
}

/// That a customer looked at product p1.
pub(crate) fn viewed(event_id: &str, user_id: &str, event_time: Timestamp) -> wire::Event {
    let event = event_message(event_id, user_id, "p1", wire::EventKind::Viewed, 0);
    wire::Event { event_time: Some(event_time), ..event }
}
