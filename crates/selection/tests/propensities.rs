//! Exploration, simulated: what is told as the probability of a place is how often it comes about.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::collections::HashMap;

use chrono::Utc;
use finrank_model::{ProductClass, ProductId, Score};
use finrank_selection::{Candidate, Placed, Placement, Scenario, SelectionRules};
use uuid::Uuid;

const DECISIONS: u128 = 20_000;

const FILE: &str = r#"
format = 1
version = "explored"

[[pin]]
code = "PIN"
description = "d"
product_id = "p29"
place = 4

[[cap]]
code = "ISSUER"
description = "d"
per = "issuer"
most = 3

[[exploration]]
code = "TAIL"
description = "d"
epsilon = 0.2
from_place = 3
challengers = 12
"#;

/// Thirty products of five issuers, the first the best.
fn products() -> Vec<(ProductId, String, Score)> {
    let product = |number: u8| {
        let id = ProductId::parse(format!("p{number:02}")).unwrap();
        (id, format!("Issuer {}", number % 5), Score::from_logit(-f32::from(number) / 8.0))
    };
    (0..30).map(product).collect()
}

fn chosen(
    rules: &SelectionRules,
    products: &[(ProductId, String, Score)],
    k: usize,
    decision: u128,
) -> Vec<Placed> {
    let candidates: Vec<Candidate<'_>> = products
        .iter()
        .map(|(product_id, issuer, score)| Candidate {
            product_id,
            product_class: ProductClass::Wealth,
            issuer,
            score: *score,
        })
        .collect();
    let in_force = rules.in_force(Scenario::Wealth, Utc::now());
    in_force.choose(&candidates, k, |_, _| 0.0, Uuid::from_u128(decision)).places
}

#[test]
fn a_place_goes_to_each_candidate_as_often_as_its_propensity_says() {
    let (rules, products) = (SelectionRules::parse(FILE).unwrap(), products());
    let mut seen: HashMap<(usize, usize), (u64, f64)> = HashMap::new();

    for decision in 0..DECISIONS {
        for (place, placed) in chosen(&rules, &products, 8, decision).into_iter().enumerate() {
            let (times, propensity) = seen.entry((place, placed.candidate)).or_insert((0, placed.propensity));
            *times += 1;
            assert_eq!(*propensity, placed.propensity, "place {place}, candidate {}", placed.candidate);
        }
    }

    for place in 0..8 {
        let of_place: Vec<(u64, f64)> =
            seen.iter().filter(|((at, _), _)| *at == place).map(|(_, counted)| *counted).collect();
        // Whatever can stand there was seen there.
        assert!((of_place.iter().map(|(_, propensity)| propensity).sum::<f64>() - 1.0).abs() < 1e-9);
        for (times, propensity) in of_place {
            let n = DECISIONS as f64;
            let off = (times as f64 - n * propensity).abs();
            assert!(
                off <= 4.5 * (n * propensity * (1.0 - propensity)).sqrt(),
                "{times} of {n}, not {propensity}"
            );
        }
        let others = seen.keys().filter(|(at, _)| *at == place).count() - 1;
        let expected = if place < 2 || place == 3 { 0..=0 } else { 2..=3 };
        assert!(expected.contains(&others), "place {place} is open to {others} others");
    }
}

#[test]
fn whatever_is_drawn_no_cap_is_exceeded_and_no_product_comes_twice() {
    let (rules, products) = (SelectionRules::parse(FILE).unwrap(), products());
    let mut newcomers = 0;

    for decision in 0..DECISIONS {
        let places = chosen(&rules, &products, 14, decision);
        let mut issuers: HashMap<&str, usize> = HashMap::new();
        let mut candidates: Vec<usize> = places.iter().map(|placed| placed.candidate).collect();
        for &candidate in &candidates {
            *issuers.entry(&products[candidate].1).or_default() += 1;
        }
        candidates.sort_unstable();
        candidates.dedup();
        newcomers +=
            places.iter().filter(|placed| matches!(placed.placement, Placement::Exploration(_))).count();

        assert_eq!((places.len(), candidates.len()), (14, 14));
        assert!(issuers.values().all(|&count| count <= 3), "{issuers:?}");
    }

    assert!(newcomers > 10_000, "{newcomers}");
}

#[test]
fn one_decision_draws_the_same_whenever_it_is_made_again() {
    let (rules, products) = (SelectionRules::parse(FILE).unwrap(), products());

    let drawn: Vec<Vec<usize>> = (0..40)
        .map(|decision| {
            let places = chosen(&rules, &products, 8, decision);
            assert_eq!(places, chosen(&rules, &products, 8, decision));
            let by_chance = places.iter().enumerate();
            by_chance
                .filter(|(_, placed)| matches!(placed.placement, Placement::Exploration(_)))
                .map(|(place, _)| place + 1)
                .collect()
        })
        .collect();

    // What was drawn by the program that first did: a later one must draw the same, or no log can be replayed.
    let expected: [&[usize]; 6] = [&[], &[3, 5], &[], &[6], &[3, 7], &[8]];
    assert_eq!(drawn[..6], expected);
}
