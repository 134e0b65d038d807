//! Nothing is offered that may not be, and as much as was asked for whenever there is as much.

use std::{collections::BTreeSet, sync::Arc};

use finrank_model::{ProductClass, ProductStatus};
use proptest::{prelude::*, strategy::ValueTree};

use super::{
    super::*,
    customers::{POLICY, ask, customer, declared, givens, may_be_offered, no_rules, pseudonym},
    filters, product_ids, scenario,
};
use crate::fixtures::{DIMENSION, Sample, generation, sample, spaced, vector};

proptest! {
    #[test]
    fn offers_only_what_may_be_offered_and_all_of_it_when_k_allows(
        samples in prop::collection::vec(sample(), 0..120),
        user in prop::option::of(vector()),
        scenario in scenario(),
        givens in givens(),
        held in product_ids(150),
        excluded in product_ids(150),
        filters in filters(),
        diversity in 0.0..=1.0,
        k in 1..200_usize,
        candidates in 1..200_usize,
    ) {
        let catalogue = declared(&samples);
        let terms = Terms { scenario, excluded, filters, diversity: Diversity::new(diversity) };
        let customer = customer(&catalogue, POLICY, &givens, held.clone());
        let basis = match user {
            Some(user) => Basis::Profile { user: spaced(&generation(1), user), generation: 1 },
            None => Basis::Popularity(None),
        };
        let profiled = user.is_some();

        let asked = Ask {
            decision_id: Uuid::now_v7(),
            pseudonym: pseudonym(),
            customer,
            basis,
            degradation: None,
            terms: terms.clone(),
            selection: no_rules(),
            may_explore: true,
            k,
        };
        let decision = Pipeline::new(candidates).recommend(&catalogue, &asked).unwrap();

        let allowed: BTreeSet<usize> = (0..samples.len())
            .filter(|&row| may_be_offered(&catalogue, Row(row), &terms, &givens, &held))
            .collect();
        let offered: BTreeSet<usize> = decision.items.iter().map(|item| item.candidate().row.0).collect();
        prop_assert!(offered.is_subset(&allowed));
        prop_assert_eq!(decision.items.len(), k.min(allowed.len()));
        prop_assert_eq!(offered.len(), decision.items.len());
        prop_assert_eq!(decision.eligible.count(), allowed.len());
        let looked_at = if profiled { k.max(candidates) } else { k };
        prop_assert_eq!(decision.candidates.len(), looked_at.min(allowed.len()));
        prop_assert!(decision.items.iter().all(|item| item.proof().rules.contains(&"STATUS".to_owned())));
    }
}

#[test]
fn an_item_that_the_plain_reading_does_not_let_pass_is_blocked() {
    // What may let it pass is a policy compiled for other products: a fault that nothing but the last look finds.
    let sample = |class| Sample { class, status: ProductStatus::Active, vector: [1.0; DIMENSION] };
    let (ours, others) = (declared(&[sample(ProductClass::Wealth)]), declared(&[sample(ProductClass::Loan)]));
    let policy = POLICY.replace("classes = [\"wealth\", \"loan\"]", "classes = [\"wealth\"]");
    let mut asked = ask(&ours, [1.0; DIMENSION], Terms::default(), 1);
    asked.customer = customer(&others, &policy, &[], vec![]);

    let decision = Pipeline::new(10).recommend(&ours, &asked).unwrap();

    assert_eq!(decision.eligible.count(), 1);
    assert!(decision.items.is_empty(), "{:?}", decision.items);
}

#[test]
fn who_objects_to_profiling_is_offered_what_is_most_popular() {
    let sample =
        Sample { class: ProductClass::Loan, status: ProductStatus::Active, vector: [1.0; DIMENSION] };
    let catalogue = declared(&vec![sample; 6]);
    let popularity = Popularity::new(vec![9.0, 1.0, 5.0, 7.0, 5.0, 0.0]);
    let mut asked = ask(&catalogue, [1.0; DIMENSION], Terms::default(), 4);
    asked.basis = Basis::Popularity(Some(Arc::new(popularity)));

    let decision = Pipeline::new(10).recommend(&catalogue, &asked).unwrap();

    // The first has no grade.
    let rows: Vec<usize> = decision.items.iter().map(|item| item.candidate().row.0).collect();
    assert_eq!(rows, [3, 2, 4, 1]);
    assert!(decision.items.iter().all(|item| item.candidate().score.get() == 0.0));
    assert_eq!((decision.ranked_by, decision.user_generation()), (RankedBy::Popularity, 0));
}

/// A million served items, checked one by one: `cargo test -p finrank-ranking --release -- --ignored a_million`.
#[test]
#[ignore = "some minutes in the dev profile"]
fn of_a_million_served_items_none_may_not_be_offered() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut draw = move |count: usize| {
        let strategy = (
            prop::collection::vec(sample(), count),
            vector(),
            scenario(),
            givens(),
            product_ids(count),
            product_ids(count),
        );
        strategy.new_tree(&mut runner).unwrap().current()
    };
    let (mut served, mut requests) = (0, 0);

    while served < 1_000_000 {
        let (samples, _, _, _, _, _) = draw(2_000);
        let catalogue = declared(&samples);
        for _ in 0..200 {
            let (_, user, scenario, givens, held, excluded) = draw(2_000);
            let terms = Terms { scenario, excluded, ..Terms::default() };
            let basis = Basis::Profile { user: spaced(&generation(1), user), generation: 1 };
            let customer = customer(&catalogue, POLICY, &givens, held.clone());
            let asked = Ask {
                decision_id: Uuid::now_v7(),
                pseudonym: pseudonym(),
                customer,
                basis,
                degradation: None,
                terms: terms.clone(),
                selection: no_rules(),
                may_explore: true,
                k: 500,
            };

            let decision = Pipeline::new(500).recommend(&catalogue, &asked).unwrap();

            let allowed = |row| may_be_offered(&catalogue, row, &terms, &givens, &held);
            assert!(decision.items.iter().all(|item| allowed(item.candidate().row)));
            let eligible = (0..catalogue.len()).filter(|&row| allowed(Row(row))).count();
            assert_eq!(decision.items.len(), eligible.min(500));
            served += decision.items.len();
            requests += 1;
        }
    }
    println!("{served} items of {requests} requests");
}
