//! Business rules in the whole pipeline: they choose among what may be offered, and nothing else.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use finrank_model::{ProductClass, ProductStatus};
use finrank_selection::{Placement, SelectionRules};
use proptest::prelude::*;

use super::{
    super::*,
    customers::{POLICY, ask, customer, declared, givens, may_be_offered, pseudonym},
    product_ids, scenario,
};
use crate::{
    fixtures::{DIMENSION, Sample, generation, product_id, sample, spaced, vector},
    index::Row,
};

/// Pins by place, with their products; caps per class and per issuer; a factor for the loans; whether the tail is explored.
#[derive(Clone, Debug)]
struct Drawn {
    pins: BTreeMap<usize, usize>,
    per_class: Option<usize>,
    per_issuer: Option<usize>,
    factor: f64,
    explored: bool,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let pins = prop::collection::btree_map(1..12_usize, 0..140_usize, 0..4);
    let most = || prop::option::of(1..4_usize);
    (pins, most(), most(), prop::sample::select(vec![0.2, 1.0, 5.0]), any::<bool>()).prop_map(
        |(pins, per_class, per_issuer, factor, explored)| Drawn {
            pins,
            per_class,
            per_issuer,
            factor,
            explored,
        },
    )
}

impl Drawn {
    fn rules(&self) -> Arc<SelectionRules> {
        let mut text = "format = 1\nversion = \"drawn\"\n".to_owned();
        let mut rule = |kind: &str, code: &str, lines: &str| {
            write!(text, "[[{kind}]]\ncode = \"{code}\"\ndescription = \"d\"\n{lines}\n").unwrap();
        };
        let mut pinned = Vec::new();
        for (place, product) in &self.pins {
            // A product is pinned once.
            if !pinned.contains(product) {
                pinned.push(*product);
                let lines = format!("product_id = \"{}\"\nplace = {place}", product_id(*product));
                rule("pin", &format!("PIN{place}"), &lines);
            }
        }
        for (per, most) in [("class", self.per_class), ("issuer", self.per_issuer)] {
            if let Some(most) = most {
                rule("cap", &per.to_uppercase(), &format!("per = \"{per}\"\nmost = {most}"));
            }
        }
        rule("boost", "LOANS", &format!("classes = [\"loan\"]\nfactor = {:?}", self.factor));
        if self.explored {
            rule("exploration", "TAIL", "epsilon = 0.5\nfrom_place = 2\nchallengers = 20");
        }
        Arc::new(SelectionRules::parse(&text).unwrap())
    }

    /// Whether some products are more than caps allow.
    fn exceeded_by(&self, catalogue: &Catalogue, rows: &[usize]) -> bool {
        let product = |row: &usize| catalogue.product(Row(*row));
        rows.iter().any(|row| {
            let (class, issuer) = (product(row).product_class, &product(row).issuer);
            let of_class = rows.iter().filter(|row| product(row).product_class == class).count();
            let of_issuer = rows.iter().filter(|row| product(row).issuer == *issuer).count();
            self.per_class.is_some_and(|most| of_class > most)
                || self.per_issuer.is_some_and(|most| of_issuer > most)
        })
    }
}

proptest! {
    #[test]
    fn whatever_the_rules_only_what_may_be_offered_is_and_as_much_of_it_as_caps_leave(
        samples in prop::collection::vec(sample(), 0..120),
        user in prop::option::of(vector()),
        scenario in scenario(),
        givens in givens(),
        held in product_ids(150),
        excluded in product_ids(150),
        drawn in drawn(),
        k in 1..40_usize,
        candidates in 1..40_usize,
    ) {
        let catalogue = declared(&samples);
        let terms = Terms { scenario, excluded, ..Terms::default() };
        let basis = match user {
            Some(user) => Basis::Profile { user: spaced(&generation(1), user), generation: 1 },
            None => Basis::Popularity(None),
        };
        let asked = Ask {
            decision_id: Uuid::now_v7(),
            pseudonym: pseudonym(),
            customer: customer(&catalogue, POLICY, &givens, held.clone()),
            basis,
            terms: terms.clone(),
            selection: drawn.rules(),
            may_explore: true,
            degradation: None,
            k,
        };

        let decision = Pipeline::new(candidates).recommend(&catalogue, &asked).unwrap();

        let allowed: Vec<usize> = (0..samples.len())
            .filter(|&row| may_be_offered(&catalogue, Row(row), &terms, &givens, &held))
            .collect();
        let offered: Vec<usize> = decision.items.iter().map(|item| item.candidate().row.0).collect();
        prop_assert!(offered.iter().all(|row| allowed.contains(row)));
        prop_assert!(!drawn.exceeded_by(&catalogue, &offered));
        let left: Vec<usize> = allowed.iter().copied().filter(|row| !offered.contains(row)).collect();
        prop_assert_eq!(left.len(), allowed.len() - offered.len());
        if offered.len() < k {
            // Chance may have given a place to one that counts for less, so that caps would leave room for another.
            let by_chance = decision.items.iter().any(|item| matches!(item.placing().placement, Placement::Exploration(_)));
            for row in &left {
                let with: Vec<usize> = offered.iter().copied().chain([*row]).collect();
                prop_assert!(by_chance || drawn.exceeded_by(&catalogue, &with));
            }
            let counted: usize = decision.business.caps.iter().map(|(_, count)| count).sum();
            prop_assert!(by_chance || counted == left.len());
        } else {
            prop_assert_eq!(offered.len(), k);
            prop_assert!(decision.business.caps.is_empty());
        }
        if let (Some(most), None) = (drawn.per_class, drawn.per_issuer) {
            let of_class = |class| allowed.iter().filter(|row| samples[**row].class == class).count();
            let room: usize = ProductClass::ALL.into_iter().map(|class| of_class(class).min(most)).sum();
            prop_assert_eq!(offered.len(), k.min(room));
        }
        for pin in &decision.business.pins {
            let stands = offered.iter().position(|row| catalogue.product(Row(*row)).product_id == pin.product_id);
            match pin.outcome {
                PinOutcome::Placed => {
                    prop_assert!(stands.is_some_and(|place| place < pin.place));
                    // Only where there are too few others does it move up.
                    prop_assert!(stands == Some(pin.place - 1) || offered.len() < k);
                }
                PinOutcome::NotEligible | PinOutcome::NotInCatalogue => prop_assert_eq!(stands, None),
                PinOutcome::BeyondK => prop_assert!(pin.place > k),
                PinOutcome::Capped => prop_assert!(drawn.per_class.is_some() || drawn.per_issuer.is_some()),
            }
        }
        for item in &decision.items {
            let Basis::Profile { user, .. } = &asked.basis else {
                prop_assert_eq!((item.placing().boosted_by, item.placing().propensity), (1.0, 1.0));
                continue;
            };
            let row = item.candidate().row;
            prop_assert_eq!(item.candidate().score, catalogue.score(user, &[row]).unwrap()[0]);
            let is_loan = catalogue.product(row).product_class == ProductClass::Loan;
            prop_assert_eq!(item.placing().boosted_by, if is_loan { drawn.factor } else { 1.0 });
        }
    }
}

#[test]
fn a_pin_reaches_beyond_what_is_retrieved_and_says_why_it_is_not_there() {
    let active =
        |x| Sample { class: ProductClass::Loan, status: ProductStatus::Active, vector: [x, 0.0, 0.0, 0.0] };
    let samples: Vec<Sample> = (0..30).map(|place| active(30.0 - place as f32)).collect();
    let catalogue = declared(&samples);
    let rules = r#"
        format = 1
        version = "pins"
        pin = [
            { code = "FAR", description = "d", product_id = "p0029", place = 2 },
            { code = "UNGRADED", description = "d", product_id = "p0028", place = 3 },
            { code = "NOWHERE", description = "d", product_id = "gone", place = 1 },
            { code = "LATER", description = "d", product_id = "p0020", place = 9 },
        ]
    "#;
    let mut asked = ask(&catalogue, [1.0, 0.0, 0.0, 0.0], Terms::default(), 4);
    asked.selection = Arc::new(SelectionRules::parse(rules).unwrap());

    let decision = Pipeline::new(4).recommend(&catalogue, &asked).unwrap();

    assert_eq!(decision.items[1].candidate().row, Row(29));
    assert_eq!((decision.items.len(), decision.candidates.len(), decision.business.searched), (4, 5, 4));
    let outcomes: Vec<(&str, PinOutcome)> =
        decision.business.pins.iter().map(|pin| (pin.code.as_str(), pin.outcome)).collect();
    let expected = [
        ("NOWHERE", PinOutcome::NotInCatalogue),
        ("FAR", PinOutcome::Placed),
        ("UNGRADED", PinOutcome::NotEligible),
        ("LATER", PinOutcome::BeyondK),
    ];
    assert_eq!(outcomes, expected);
}

#[test]
fn who_objects_to_profiling_is_offered_nothing_by_chance_and_pins_and_caps_hold() {
    let sample = |place: usize| Sample {
        class: [ProductClass::Loan, ProductClass::Wealth][place % 2],
        status: ProductStatus::Active,
        vector: [1.0; DIMENSION],
    };
    let catalogue = declared(&(1..=12).map(sample).collect::<Vec<_>>());
    let drawn = Drawn {
        pins: BTreeMap::from([(1, 10)]),
        per_class: Some(2),
        per_issuer: None,
        factor: 5.0,
        explored: true,
    };
    let mut asked = ask(&catalogue, [1.0; DIMENSION], Terms::default(), 6);
    asked.basis = Basis::Popularity(Some(Arc::new(Popularity::new((0..12).map(f64::from).collect()))));
    asked.selection = drawn.rules();

    let decision = Pipeline::new(4).recommend(&catalogue, &asked).unwrap();

    let rows: Vec<usize> = decision.items.iter().map(|item| item.candidate().row.0).collect();
    assert_eq!(rows, [10, 11, 9, 8]);
    assert_eq!(decision.business.exploration, None);
    let caps: Vec<(&str, usize)> =
        decision.business.caps.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    assert_eq!(caps, [("CLASS", 6)]);
}
