//! An explanation beside the score that it explains, on the same network, customer and products in the same run.
//!
//!     cargo bench -p finrank-model --bench explain
//!
//! Prints microseconds an item, one thread, for towers of 128 hidden units and a scorer of 128 and 64; the last line is
//! JSON. Explaining includes what is done once a customer, here for ten items.

mod median;

use std::{hint::black_box, time::Instant};

use finrank_model::{
    AttributeValue, Attributes, DIMENSION, Dense, Embedding, Explainer, FeatureMeans, MlpScorer, ProductId,
    Tower, TransformConfig, UserEncoder, UserId, UserRecord, UserTransform, features::FeatureRow,
};
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::median::median;

/// Numbers known of a customer, as many as the Caravan data set has.
const ATTRIBUTES: usize = 85;
/// Products that a customer may hold.
const VOCABULARIES: [usize; 3] = [20, 200, 2_000];
/// Items explained for one customer.
const ITEMS: usize = 10;
/// Repetitions, of which the median counts: one that other work disturbed does not.
const ROUNDS: usize = 9;

fn main() {
    let mut draws = ChaCha8Rng::seed_from_u64(0);
    println!("{:>10} {:>10} {:>12}", "held of", "score µs", "explain µs");
    let mut rows = Vec::new();
    for vocabulary in VOCABULARIES {
        let users: Vec<UserRecord> = (0..200).map(|user| customer(user, vocabulary, &mut draws)).collect();
        let encoder = encoder(&users, &mut draws);
        let scorer = MlpScorer::new(layers(&[2 * DIMENSION, 128, 64, 1], &mut draws)).expect("they fit");
        let means = FeatureMeans::of(&encoder.transform.rows(&users), encoder.tower.vocabulary_len());
        let explainer = Explainer::new(&encoder, &scorer, &means).expect("the parts fit");
        let products: Vec<Embedding> = (0..ITEMS).map(|_| embedding(&mut draws)).collect();
        let user = encoder.encode(&users[..1]).expect("finite").remove(0);

        let score =
            microseconds(|| products.iter().map(|product| scorer.score(&user, product).logit()).sum::<f32>());
        let explain = microseconds(|| explainer.explain(&users[0], &products).expect("it fits").len());
        println!("{vocabulary:>10} {score:>10.1} {explain:>12.1}");
        rows.push(format!(
            r#"{{"vocabulary": {vocabulary}, "score_us": {score:.2}, "explain_us": {explain:.2}}}"#
        ));
    }
    println!("[{}]", rows.join(", "));
}

/// The median time an item of `work` over all items.
fn microseconds<T>(mut work: impl FnMut() -> T) -> f64 {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..20 {
            black_box(work());
        }
        start.elapsed().as_nanos() as f64 / 1e3 / (20 * ITEMS) as f64
    };
    median((0..ROUNDS).map(round).collect())
}

/// The first ones hold all products between them, so that each is in the vocabulary.
fn customer(index: usize, vocabulary: usize, draws: &mut ChaCha8Rng) -> UserRecord {
    let attributes = (0..ATTRIBUTES).map(|attribute| {
        (format!("attribute_{attribute:02}"), AttributeValue::Number(draws.random_range(-1.0..1.0)))
    });
    let held = (index..vocabulary).step_by(200).map(|product| format!("product-{product:05}"));
    UserRecord {
        user_id: UserId::parse(format!("user-{index}")).expect("a plain id"),
        attributes: Attributes::new(attributes.collect::<Vec<_>>()).expect("plain names"),
        held: held.map(|id| ProductId::parse(id).expect("a plain id")).collect(),
        features: FeatureRow::default(),
    }
}

fn encoder(users: &[UserRecord], draws: &mut ChaCha8Rng) -> UserEncoder {
    let transform = UserTransform::fit(users, &TransformConfig::default());
    let sparse = random([transform.vocabulary_len(), 128], draws);
    let tower = Tower::new(layer(transform.width(), 128, draws), sparse, layers(&[128, DIMENSION], draws));
    UserEncoder::new(transform, tower.expect("the layers fit")).expect("made for the transform")
}

fn layers(widths: &[usize], draws: &mut ChaCha8Rng) -> Vec<Dense> {
    widths.windows(2).map(|step| layer(step[0], step[1], draws)).collect()
}

/// As He et al. (2015) would draw it, so that units turn on and off as those of a trained network may.
fn layer(inputs: usize, outputs: usize, draws: &mut ChaCha8Rng) -> Dense {
    let weight = random([inputs, outputs], draws) * (6.0 / inputs as f32).sqrt();
    Dense::new(weight, Array1::zeros(outputs)).expect("as many biases as outputs")
}

fn random(shape: [usize; 2], draws: &mut ChaCha8Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn(shape, || draws.random_range(-1.0..1.0))
}

fn embedding(draws: &mut ChaCha8Rng) -> Embedding {
    let values: Vec<f32> = (0..DIMENSION).map(|_| draws.random_range(-1.0..1.0)).collect();
    Embedding::new(values, DIMENSION).expect("finite and of the dimension")
}
