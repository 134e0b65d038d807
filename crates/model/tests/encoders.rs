//! Towers and encoders, held to loops that anyone can check.

#![allow(clippy::unwrap_used)]

mod samples;

use finrank_model::{
    Dense, FeatureRows, ModelError, ProductId, Tower, TransformConfig, UserEncoder, UserTransform,
};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tower_equals_a_naive_loop(
        seed in any::<u64>(),
        rows in 0usize..12,
        width in 0usize..30,
        vocabulary in 1usize..10,
        layer_widths in prop::collection::vec(1usize..40, 2..5),
    ) {
        let mut random = samples::random(seed);
        let tower = samples::tower(width, vocabulary, &layer_widths, &mut random);
        let features = feature_rows(rows, width, vocabulary, &mut random);

        let encoded = tower.encode(&features);

        prop_assert_eq!(encoded.dim(), (rows, *layer_widths.last().unwrap()));
        for row in 0..rows {
            let expected = naive(&tower, features.dense.row(row).to_slice().unwrap(), &features.sparse[row]);
            for (found, expected) in encoded.row(row).iter().zip(expected) {
                let tolerance = 1e-4 * expected.abs().max(1.0);
                prop_assert!((f64::from(*found) - expected).abs() <= tolerance, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn a_row_alone_is_encoded_bit_for_bit_as_in_a_batch(
        seed in any::<u64>(),
        rows in 1usize..40,
        width in 0usize..600,
        hidden in 1usize..140,
    ) {
        let mut random = samples::random(seed);
        let tower = samples::tower(width, 5, &[hidden, 64], &mut random);
        let features = feature_rows(rows, width, 5, &mut random);

        let batch = tower.encode(&features);

        for row in 0..rows {
            let alone = FeatureRows {
                dense: features.dense.select(Axis(0), &[row]),
                sparse: vec![features.sparse[row].clone()],
            };
            prop_assert_eq!(bits(&tower.encode(&alone).row(0)), bits(&batch.row(row)));
        }
    }
}

fn feature_rows(rows: usize, width: usize, vocabulary: usize, random: &mut ChaCha8Rng) -> FeatureRows {
    let ids = |random: &mut ChaCha8Rng| {
        (0..random.random_range(0..4)).map(|_| random.random_range(0..vocabulary as u32)).collect()
    };
    FeatureRows {
        dense: samples::matrix([rows, width], 2.0, random),
        sparse: (0..rows).map(|_| ids(random)).collect(),
    }
}

fn bits(row: &ArrayView1<'_, f32>) -> Vec<u32> {
    row.iter().map(|value| value.to_bits()).collect()
}

/// The tower's formula, one number after the other, in f64.
fn naive(tower: &Tower, dense: &[f32], ids: &[u32]) -> Vec<f64> {
    let dense: Vec<f64> = dense.iter().copied().map(f64::from).collect();
    let mut sums = naive_layer(tower.input(), &dense);
    for &id in ids {
        for (output, sum) in sums.iter_mut().enumerate() {
            *sum += f64::from(tower.sparse()[[id as usize, output]]);
        }
    }
    for layer in tower.hidden() {
        let activations: Vec<f64> = sums.iter().map(|sum| sum.max(0.0)).collect();
        sums = naive_layer(layer, &activations);
    }
    sums
}

fn naive_layer(layer: &Dense, inputs: &[f64]) -> Vec<f64> {
    let mut outputs = Vec::new();
    for output in 0..layer.outputs() {
        let mut sum = f64::from(layer.bias[output]);
        for (input, value) in inputs.iter().enumerate() {
            sum += value * f64::from(layer.weight[[input, output]]);
        }
        outputs.push(sum);
    }
    outputs
}

#[test]
fn encodes_many_users_as_it_encodes_each_alone() {
    let mut random = samples::random(3);
    let users = samples::users(5000, &mut random);
    let encoder = samples::user_encoder(&users, &[32, 64], &mut random);

    let embeddings = encoder.encode(&users).unwrap();

    assert_eq!(embeddings.len(), 5000);
    for index in [0, 1, 4095, 4096, 4999] {
        let alone = encoder.encode(&users[index..=index]).unwrap();

        assert_eq!(alone[0].to_le_bytes(), embeddings[index].to_le_bytes());
    }
}

#[test]
fn a_product_that_training_did_not_see_changes_nothing_when_held() {
    let mut random = samples::random(4);
    let users = samples::users(50, &mut random);
    let encoder = samples::user_encoder(&users, &[16, 8], &mut random);
    let mut holder = users[0].clone();
    holder.held.push(ProductId::parse("zzz-new").unwrap());

    let embeddings = encoder.encode(&[users[0].clone(), holder]).unwrap();

    assert_eq!(embeddings[0], embeddings[1]);
}

#[test]
fn a_product_that_training_saw_changes_the_embedding_when_held() {
    let mut random = samples::random(4);
    let users = samples::users(50, &mut random);
    let encoder = samples::user_encoder(&users, &[16, 8], &mut random);
    let mut without = users[0].clone();
    without.held.clear();
    let mut with = without.clone();
    with.held.push(samples::product_id(0));

    let embeddings = encoder.encode(&[without, with]).unwrap();

    assert_ne!(embeddings[0], embeddings[1]);
}

#[test]
fn places_a_new_product_by_what_it_is() {
    let mut random = samples::random(5);
    let products = samples::products(9);
    let encoder = samples::product_encoder(&products[..6], &[16, 8], &mut random);

    let embeddings = encoder.encode(&products).unwrap();

    assert_eq!(embeddings.len(), 9);
    assert_ne!(embeddings[7], embeddings[8]);
}

#[test]
fn an_embedding_that_overflows_is_an_error_that_names_the_row() {
    let users = samples::users(3, &mut samples::random(6));
    let transform = UserTransform::fit(&users, &TransformConfig::default());
    let huge = |inputs, outputs| {
        let weight = Array2::from_elem((inputs, outputs), f32::MAX);
        Dense::new(weight, Array1::from_elem(outputs, f32::MAX)).unwrap()
    };
    let sparse = Array2::zeros((transform.vocabulary_len(), 4));
    let tower = Tower::new(huge(transform.width(), 4), sparse, vec![huge(4, 2)]).unwrap();

    let error = UserEncoder::new(transform, tower).unwrap().encode(&users).unwrap_err();

    assert!(matches!(error, ModelError::Encoding { row: 0, .. }), "{error}");
}

#[test]
fn refuses_a_tower_that_was_made_for_other_features() {
    let mut random = samples::random(7);
    let transform = UserTransform::fit(&samples::users(20, &mut random), &TransformConfig::default());
    let tower = samples::tower(transform.width() + 1, transform.vocabulary_len(), &[4, 2], &mut random);

    let error = UserEncoder::new(transform, tower).unwrap_err();

    assert!(error.to_string().starts_with("the user tower [width, vocabulary] has shape"), "{error}");
}

#[test]
fn a_tower_refuses_layers_that_do_not_fit_together() {
    let mut random = samples::random(8);
    let input = || samples::dense(3, 5, &mut samples::random(1));

    let other_sparse = Tower::new(input(), Array2::zeros((2, 4)), samples::layers(&[5, 2], &mut random));
    let other_hidden = Tower::new(input(), Array2::zeros((2, 5)), samples::layers(&[4, 2], &mut random));
    let no_hidden = Tower::new(input(), Array2::zeros((2, 5)), Vec::new());

    assert!(matches!(other_sparse, Err(ModelError::Shape { .. })));
    assert!(matches!(other_hidden, Err(ModelError::Shape { .. })));
    assert!(matches!(no_hidden, Err(ModelError::Empty { .. })));
}
