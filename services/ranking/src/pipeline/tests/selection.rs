//! What is chosen, beside a plain reading of the formula.

use finrank_model::Score;
use proptest::prelude::*;

use super::{
    super::*,
    customers::{moment, no_rules},
};
use crate::{
    catalogue::Catalogue,
    fixtures::{Sample, catalogue, generation, sample},
    index::Row,
};

fn scored(catalogue: &Catalogue, logits: &[f32]) -> Vec<ScoredCandidate> {
    let scored = |(row, &logit): (usize, &f32)| {
        RetrievedCandidate { row: Row(row), retrieval_score: 0.0 }.scored(Score::from_logit(logit))
    };
    (0..catalogue.len()).zip(logits).map(scored).collect()
}

fn selected(catalogue: &Catalogue, logits: &[f32], k: usize, diversity: f64) -> Vec<usize> {
    let rules = no_rules();
    let rules = rules.in_force(Scenario::All, moment()).with_diversity(Diversity::new(diversity));
    let choice = Choice { rules, k, decision_id: Uuid::nil() };
    let selected = RuledSelector.select(catalogue, &scored(catalogue, logits), &choice);
    selected.items.iter().map(|selected| selected.candidate().row.0).collect()
}

/// The cosine, from the embeddings as they were given.
fn cosine(a: &Sample, b: &Sample) -> f64 {
    let product = |a: &Sample, b: &Sample| -> f64 {
        a.vector.iter().zip(b.vector).map(|(&a, b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths > 0.0 { product(a, b) / lengths } else { 0.0 }
}

proptest! {
    #[test]
    fn each_place_goes_to_the_largest_marginal_relevance(
        drawn in prop::collection::vec((sample(), -20..20_i8), 1..40),
        k in 1..50_usize,
        diversity in prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0],
    ) {
        let (samples, logits): (Vec<Sample>, Vec<f32>) =
            drawn.into_iter().map(|(sample, logit)| (sample, f32::from(logit) / 4.0)).unzip();
        let catalogue = catalogue(&generation(1), &samples);

        let places = selected(&catalogue, &logits, k, diversity);

        let score = |row: usize| f64::from(Score::from_logit(logits[row]).get());
        let best = (0..samples.len()).map(score).fold(0.0, f64::max);
        prop_assert_eq!(places.len(), k.min(samples.len()));
        for (place, &row) in places.iter().enumerate() {
            let before = &places[..place];
            let worth = |row: usize| {
                let likeness = before.iter().map(|&other| cosine(&samples[row], &samples[other]));
                let likeness = likeness.reduce(f64::max).unwrap_or(0.0);
                (1.0 - diversity) * score(row) / best - diversity * likeness
            };
            let rest = (0..samples.len()).filter(|row| !before.contains(row));
            let largest = rest.map(worth).fold(f64::NEG_INFINITY, f64::max);
            // Cosines of directions are f32.
            prop_assert!(!before.contains(&row) && worth(row) > largest - 1e-6);
        }
    }
}

#[test]
fn a_nearly_like_product_gives_way_to_an_unlike_one_as_diversity_grows() {
    let sample = |vector| Sample {
        class: finrank_model::ProductClass::Loan,
        status: finrank_model::ProductStatus::Active,
        vector,
    };
    let catalogue = catalogue(
        &generation(1),
        &[[1.0, 0.0, 0.0, 0.0], [1.0, 0.1, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]].map(sample),
    );
    let logits = [1.0, 0.9, 0.0];

    assert_eq!(selected(&catalogue, &logits, 3, 0.0), [0, 1, 2]);
    assert_eq!(selected(&catalogue, &logits, 3, 0.5), [0, 2, 1]);
}
