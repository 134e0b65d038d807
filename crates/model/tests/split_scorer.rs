//! The scorer that ranking runs, held to the plain formula.

#![allow(clippy::unwrap_used)]

mod samples;

use finrank_model::{Calibration, Embedding, ModelError, Platt, SplitScorer};
use proptest::prelude::*;

proptest! {
    #[test]
    fn equals_the_plain_formula_to_1e_5(
        seed in any::<u64>(),
        dimension in 1usize..80,
        hidden in prop::collection::vec(1usize..140, 0..3),
        candidates in prop::collection::vec(0usize..20, 0..40),
    ) {
        let widths = [vec![2 * dimension], hidden, vec![1]].concat();
        check_against_the_plain_formula(seed, &widths, &candidates)?;
    }

    #[test]
    fn equals_the_plain_formula_at_the_designs_sizes(seed in any::<u64>()) {
        let candidates: Vec<usize> = (0..20).rev().collect();

        check_against_the_plain_formula(seed, &[128, 128, 64, 1], &candidates)?;
    }
}

fn check_against_the_plain_formula(
    seed: u64,
    widths: &[usize],
    candidates: &[usize],
) -> Result<(), TestCaseError> {
    let mut random = samples::random(seed);
    let dimension = widths[0] / 2;
    let mut embedding = || Embedding::new(samples::vector(dimension, 1.0, &mut random), dimension).unwrap();
    let user = embedding();
    let products: Vec<Embedding> = (0..20).map(|_| embedding()).collect();
    let calibration = Calibration::Platt(Platt::new(0.7, -0.5).unwrap());
    let plain = samples::scorer(widths, &mut random).with_calibration(calibration);

    let split = SplitScorer::new(&plain, &products).unwrap();
    let scores = split.score(&user, candidates);

    prop_assert_eq!(scores.len(), candidates.len());
    for (&candidate, score) in candidates.iter().zip(scores) {
        let expected = plain.score(&user, &products[candidate]);
        prop_assert!((score.get() - expected.get()).abs() <= 1e-5, "{score} instead of {expected}");
    }
    Ok(())
}

#[test]
fn is_ready_for_an_empty_catalogue() {
    let plain = samples::scorer(&[8, 4, 1], &mut samples::random(1));

    let split = SplitScorer::new(&plain, &[]).unwrap();

    assert_eq!(split.products(), 0);
    assert_eq!(split.dimension(), 4);
    assert_eq!(split.score(&Embedding::new([0.5; 4], 4).unwrap(), &[]), []);
}

#[test]
fn refuses_products_of_another_dimension_and_names_the_first() {
    let plain = samples::scorer(&[8, 4, 1], &mut samples::random(1));
    let products = [Embedding::new([0.5; 4], 4).unwrap(), Embedding::new([0.5; 3], 3).unwrap()];

    let error = SplitScorer::new(&plain, &products).unwrap_err();

    assert_eq!(error.to_string(), "product embedding 1 has shape [3], expected [4]");
}

#[test]
fn refuses_a_scorer_whose_input_is_not_two_embeddings() {
    let plain = samples::scorer(&[7, 4, 1], &mut samples::random(1));

    let error = SplitScorer::new(&plain, &[]).unwrap_err();

    assert!(matches!(error, ModelError::Shape { .. }), "{error}");
}
