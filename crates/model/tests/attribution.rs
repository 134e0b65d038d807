//! Explanations, held to the plain formula: completeness, numeric integration of finite differences, and what must be
//! exactly zero or exactly the same.

#![allow(clippy::unwrap_used)]

mod samples;

use finrank_model::{
    Attribution, Dense, Embedding, Explainer, FeatureMeans, FeatureRows, InputName, MlpScorer, Tower,
    UserEncoder, UserRecord,
};
use ndarray::{Array1, Array2};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;

/// A random model, its customers, and a product.
struct Model {
    users: Vec<UserRecord>,
    encoder: UserEncoder,
    scorer: MlpScorer,
    product: Embedding,
}

impl Model {
    fn new(tower: &[usize], hidden: &[usize], random: &mut ChaCha8Rng) -> Self {
        let dimension = *tower.last().unwrap();
        let users = samples::users(30, random);
        let encoder = samples::user_encoder(&users, tower, random);
        let scorer = samples::scorer(&[&[2 * dimension], hidden, &[1]].concat(), random);
        let product = Embedding::new(samples::vector(dimension, 1.0, random), dimension).unwrap();
        Self { users, encoder, scorer, product }
    }

    fn rows(&self) -> FeatureRows {
        self.encoder.transform.rows(&self.users)
    }

    fn explainer(&self) -> Explainer {
        let means = FeatureMeans::of(&self.rows(), self.encoder.tower.vocabulary_len());
        Explainer::new(&self.encoder, &self.scorer, &means).unwrap()
    }

    fn explain(&self, user: usize) -> Attribution {
        let explained = self.explainer().explain(&self.users[user], std::slice::from_ref(&self.product));
        explained.unwrap().remove(0)
    }

    /// The logit as it is served, of a point in the space of all inputs: dense features, then products held.
    fn logit(&self, inputs: &Array1<f64>) -> f64 {
        let tower = &self.encoder.tower;
        let width = tower.width();
        let mut sums = tower.input().bias.mapv(f64::from);
        for (index, &value) in inputs.iter().enumerate() {
            let dense = &tower.input().weight;
            let row = if index < width { dense.row(index) } else { tower.sparse().row(index - width) };
            sums.scaled_add(value, &row.mapv(f64::from));
        }
        let embedding = forward(sums.mapv(|sum| sum.max(0.0)), tower.hidden());
        let product = self.product.as_slice().iter().copied().map(f64::from);
        let pair: Array1<f64> = embedding.into_iter().chain(product).collect();
        forward(pair, self.scorer.layers())[0]
    }

    /// The mean customer and this one, as such points.
    fn path(&self, user: usize) -> [Array1<f64>; 2] {
        let rows = self.rows();
        let customers: Vec<Array1<f64>> = (0..self.users.len()).map(|user| self.point(&rows, user)).collect();
        let mut mean = Array1::zeros(customers[0].len());
        for customer in &customers {
            mean += customer;
        }
        [mean / customers.len() as f64, customers[user].clone()]
    }

    fn point(&self, rows: &FeatureRows, user: usize) -> Array1<f64> {
        let mut point = Array1::zeros(rows.dense.ncols() + self.encoder.tower.vocabulary_len());
        for (to, &value) in point.iter_mut().zip(rows.dense.row(user)) {
            *to = f64::from(value);
        }
        for &held in &rows.sparse[user] {
            point[rows.dense.ncols() + held as usize] = 1.0;
        }
        point
    }
}

/// Layers with ReLU between, in f64.
fn forward(mut values: Array1<f64>, layers: &[Dense]) -> Array1<f64> {
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            values.mapv_inplace(|value| value.max(0.0));
        }
        values = values.dot(&layer.weight.mapv(f64::from)) + layer.bias.mapv(f64::from);
    }
    values
}

fn total(attribution: &Attribution) -> f64 {
    attribution.contributions.iter().sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn contributions_add_up_to_the_logits_difference(
        seed in any::<u64>(),
        tower in prop::collection::vec(1usize..40, 2..5),
        hidden in prop::collection::vec(1usize..40, 0..4),
    ) {
        let model = Model::new(&tower, &hidden, &mut samples::random(seed));

        let attribution = model.explain(0);

        let [mean, customer] = model.path(0).map(|point| model.logit(&point));
        prop_assert!((total(&attribution) - (attribution.logit - attribution.baseline_logit)).abs() < 1e-9);
        prop_assert!((attribution.logit - customer).abs() < 1e-9);
        prop_assert!((attribution.baseline_logit - mean).abs() < 1e-3);
    }

    #[test]
    fn explains_the_logit_that_is_served(seed in any::<u64>()) {
        let model = Model::new(&[32, 16], &[24, 8], &mut samples::random(seed));

        let attribution = model.explain(3);

        let user = model.encoder.encode(&model.users[3..4]).unwrap().remove(0);
        let served = model.scorer.score(&user, &model.product).logit();
        prop_assert!((attribution.logit - f64::from(served)).abs() < 1e-3);
        prop_assert!((attribution.baseline_logit + total(&attribution) - f64::from(served)).abs() < 1e-3);
    }
}

#[test]
fn equals_the_numeric_integral_of_finite_differences() {
    for seed in 0..3 {
        let model = Model::new(&[12, 9, 6], &[10, 7], &mut samples::random(seed));
        let [mean, customer] = model.path(1);
        let difference = &customer - &mean;

        let attribution = model.explain(1);

        let steps = 4000;
        let mut expected = vec![0.0; attribution.contributions.len()];
        let places = place_of_inputs(&model);
        for step in 0..steps {
            let alpha = (f64::from(step) + 0.5) / f64::from(steps);
            let point = &mean + &(alpha * &difference);
            for (input, &place) in places.iter().enumerate() {
                let mut nudged = [point.clone(), point.clone()];
                nudged[0][input] -= 1e-5;
                nudged[1][input] += 1e-5;
                let [low, high] = nudged.map(|point| model.logit(&point));
                expected[place] += difference[input] * (high - low) / 2e-5 / f64::from(steps);
            }
        }
        for (found, expected) in attribution.contributions.iter().zip(&expected) {
            assert!((found - expected).abs() < 2e-3, "{found} instead of {expected}, seed {seed}");
        }
    }
}

/// The samples' customers have an income of one or two places, a home flag, a region one-hot, then products held.
fn place_of_inputs(model: &Model) -> Vec<usize> {
    let explainer = model.explainer();
    let held = model.encoder.tower.vocabulary_len();
    let attributes = explainer.inputs().len() - held;
    let width = model.encoder.tower.width();
    assert_eq!(attributes, 3);
    let regions = 4;
    let income = width - 1 - regions;
    let mut places = vec![0; income];
    places.push(1);
    places.extend([2; 4]);
    places.extend(attributes..attributes + held);
    places
}

#[test]
fn an_input_without_weight_gets_exactly_zero() {
    let mut random = samples::random(5);
    let mut model = Model::new(&[12, 8], &[10], &mut random);
    let tower = &model.encoder.tower;
    let mut weight = tower.input().weight.clone();
    weight.row_mut(0).fill(0.0);
    weight.row_mut(1).fill(0.0);
    let input = Dense::new(weight, tower.input().bias.clone()).unwrap();
    let tower = Tower::new(input, tower.sparse().clone(), tower.hidden().to_vec()).unwrap();
    model.encoder = UserEncoder::new(model.encoder.transform.clone(), tower).unwrap();

    let attribution = model.explain(2);

    let income = model.explainer().inputs().iter().position(|input| input.to_string() == "income").unwrap();
    assert_eq!(attribution.contributions[income], 0.0);
    assert!(attribution.contributions.iter().filter(|&&given| given != 0.0).count() > 1);
}

#[test]
fn the_same_customer_and_product_give_the_same_bytes_alone_and_among_others() {
    let model = Model::new(&[32, 16], &[24, 8], &mut samples::random(9));
    let mut random = samples::random(10);
    let other = Embedding::new(samples::vector(16, 1.0, &mut random), 16).unwrap();

    let alone = model.explain(4);
    let among = model.explainer().explain(&model.users[4], &[other, model.product.clone()]).unwrap();

    let bits = |attribution: &Attribution| -> Vec<u64> {
        attribution.contributions.iter().map(|given| given.to_bits()).collect()
    };
    assert_eq!(bits(&alone), bits(&among[1]));
    assert_ne!(bits(&alone), bits(&among[0]));
}

#[test]
fn inputs_are_named_as_people_know_them() {
    let model = Model::new(&[4, 2], &[], &mut samples::random(1));

    let names: Vec<String> = model.explainer().inputs().iter().map(InputName::to_string).collect();

    assert_eq!(names, ["income", "owns_home", "region", "held:p000", "held:p001", "held:p002"]);
}

#[test]
fn units_that_all_cross_at_one_point_are_no_trouble() {
    // The mean of two customers, of whom one holds the product, is half of it; every unit crosses half way from there.
    let users: Vec<UserRecord> = {
        let both = samples::users(2, &mut samples::random(1));
        let held = [vec![], vec![samples::product_id(0)]];
        let nobody = |user: UserRecord, held| UserRecord { held, attributes: Default::default(), ..user };
        both.into_iter().zip(held).map(|(user, held)| nobody(user, held)).collect()
    };
    let encoder = samples::user_encoder(&users, &[3, 2], &mut samples::random(2));
    let input = Dense::new(Array2::zeros((0, 3)), Array1::from_vec(vec![-0.75, 0.75, -1.5])).unwrap();
    let sparse = Array2::from_shape_vec((1, 3), vec![1.0, -1.0, 2.0]).unwrap();
    let tower = Tower::new(input, sparse, encoder.tower.hidden().to_vec()).unwrap();
    let encoder = UserEncoder::new(encoder.transform, tower).unwrap();
    let scorer = samples::scorer(&[4, 3, 1], &mut samples::random(3));
    let product = Embedding::new([0.25, -0.5], 2).unwrap();
    let model = Model { users, encoder, scorer, product };

    let attribution = model.explain(1);

    assert!((total(&attribution) - (attribution.logit - attribution.baseline_logit)).abs() < 1e-12);
    assert_ne!(attribution.logit, attribution.baseline_logit);
}

#[test]
fn refuses_means_of_another_tower_and_embeddings_of_another_dimension() {
    let model = Model::new(&[4, 2], &[], &mut samples::random(1));
    let none = FeatureRows { dense: Array2::zeros((0, 1)), sparse: Vec::new() };

    let means = Explainer::new(&model.encoder, &model.scorer, &FeatureMeans::of(&none, 0)).unwrap_err();
    let product = Embedding::new([0.5; 3], 3).unwrap();
    let embedding = model.explainer().explain(&model.users[0], &[product]).unwrap_err();

    let width = model.encoder.tower.width();
    assert_eq!(means.to_string(), format!("the mean customer has shape [1, 0], expected [{width}, 3]"));
    assert_eq!(embedding.to_string(), "the product's embedding has shape [3], expected [2]");
}
