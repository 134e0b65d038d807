//! What is chosen, held place by place to a plain reading of random files: by counting, without numbered categories or queues.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::fmt::Write;

use chrono::{DateTime, Utc};
use finrank_model::{ProductClass, ProductId, Score};
use finrank_selection::{Candidate, Placement, Scenario, SelectionRules};
use proptest::prelude::*;
use uuid::Uuid;

const ISSUERS: [&str; 3] = ["Aster", "Borage", ""];

#[derive(Clone, Debug)]
struct Product {
    id: ProductId,
    class: ProductClass,
    issuer: &'static str,
    score: Score,
}

impl Product {
    fn candidate(&self) -> Candidate<'_> {
        Candidate { product_id: &self.id, product_class: self.class, issuer: self.issuer, score: self.score }
    }
}

/// Which products a rule concerns: of a class, of an issuer, or both.
#[derive(Clone, Debug)]
struct Concerned {
    class: Option<ProductClass>,
    issuer: Option<&'static str>,
}

impl Concerned {
    fn covers(&self, product: &Product) -> bool {
        self.class.is_none_or(|class| class == product.class)
            && self.issuer.is_none_or(|issuer| issuer == product.issuer)
    }

    fn lines(&self) -> String {
        let class = self.class.map(|class| format!("classes = [{:?}]\n", class.as_str()));
        let issuer = self.issuer.map(|issuer| format!("issuers = [{issuer:?}]\n"));
        class.unwrap_or_default() + &issuer.unwrap_or_default()
    }
}

/// Whether a rule holds now, as its file says it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Always,
    Now,
    Elsewhere,
    Ended,
    NotYet,
}

impl When {
    fn holds(self) -> bool {
        matches!(self, Self::Always | Self::Now)
    }

    fn lines(self) -> &'static str {
        match self {
            Self::Always => "",
            Self::Now => "scenarios = [\"all\", \"wealth\"]\nfrom = \"2026-06-01\"\nuntil = \"2026-06-02\"\n",
            Self::Elsewhere => "scenarios = [\"credit\"]\n",
            Self::Ended => "until = \"2026-06-01\"\n",
            Self::NotYet => "from = \"2026-06-01T00:00:01Z\"\n",
        }
    }
}

#[derive(Clone, Debug)]
struct File {
    pins: Vec<(When, usize, usize)>,
    boosts: Vec<(When, f64, Concerned)>,
    caps: Vec<(When, bool, usize, Concerned)>,
    diversity: Vec<(When, f64)>,
}

impl File {
    fn text(&self) -> String {
        let mut text = "format = 1\nversion = \"random\"\n".to_owned();
        let mut number = 0;
        let mut rule = |kind: &str, when: When, lines: String| {
            number += 1;
            let when = when.lines();
            write!(text, "[[{kind}]]\ncode = \"R{number}\"\ndescription = \"d\"\n{when}{lines}").unwrap();
        };
        for (when, product, place) in &self.pins {
            rule("pin", *when, format!("product_id = \"{}\"\nplace = {place}\n", id(*product)));
        }
        for (when, factor, concerned) in &self.boosts {
            rule("boost", *when, format!("factor = {factor:?}\n{}", concerned.lines()));
        }
        for (when, per_class, most, concerned) in &self.caps {
            let per = if *per_class { "class" } else { "issuer" };
            rule("cap", *when, format!("per = \"{per}\"\nmost = {most}\n{}", concerned.lines()));
        }
        for (when, value) in &self.diversity {
            rule("diversity", *when, format!("value = {value:?}\n"));
        }
        text
    }

    /// Whether there are more of a category than a cap allows.
    fn exceeds(&self, products: &[&Product]) -> bool {
        self.caps.iter().filter(|(when, ..)| when.holds()).any(|(_, per_class, most, concerned)| {
            let same =
                |a: &Product, b: &Product| if *per_class { a.class == b.class } else { a.issuer == b.issuer };
            let concerned: Vec<&&Product> =
                products.iter().filter(|product| concerned.covers(product)).collect();
            concerned.iter().any(|a| concerned.iter().filter(|b| same(a, b)).count() > *most)
        })
    }

    fn factor(&self, product: &Product) -> f64 {
        let hits =
            self.boosts.iter().filter(|(when, _, concerned)| when.holds() && concerned.covers(product));
        hits.map(|(_, factor, _)| factor).product()
    }

    /// The probability whose odds are those of the score, times the boosts.
    fn boosted(&self, product: &Product) -> f64 {
        let odds =
            f64::from(product.score.get()) / (1.0 - f64::from(product.score.get())) * self.factor(product);
        odds / (1.0 + odds)
    }

    fn diversity(&self) -> f64 {
        self.diversity.iter().find(|(when, _)| when.holds()).map_or(0.0, |(_, value)| *value)
    }
}

fn id(number: usize) -> ProductId {
    ProductId::parse(format!("p{number:03}")).unwrap()
}

fn likeness(a: usize, b: usize) -> f64 {
    ((a + b + a * b) % 11) as f64 / 11.0
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Always),
        2 => Just(When::Now),
        1 => prop::sample::select(vec![When::Elsewhere, When::Ended, When::NotYet]),
    ]
}

fn concerned() -> impl Strategy<Value = Concerned> {
    let class = prop::option::of(prop::sample::select(&ProductClass::ALL[..]));
    let issuer = prop::option::of(prop::sample::select(&ISSUERS[..2]));
    (class, issuer).prop_map(|(class, issuer)| Concerned { class, issuer })
}

fn something() -> impl Strategy<Value = Concerned> {
    concerned()
        .prop_map(|concerned| Concerned { class: concerned.class.or(Some(ProductClass::Loan)), ..concerned })
}

fn file() -> impl Strategy<Value = File> {
    // A place and a product each are pinned once.
    let pins = prop::collection::btree_map(0..40_usize, (when(), 1..12_usize), 0..4).prop_map(|pins| {
        let mut places = std::collections::BTreeSet::new();
        let pins = pins.into_iter().filter(|(_, (_, place))| places.insert(*place));
        pins.map(|(product, (when, place))| (when, product, place)).collect::<Vec<_>>()
    });
    let factor = prop::sample::select(vec![0.25, 0.5, 1.5, 2.0, 8.0]);
    let boosts = prop::collection::vec((when(), factor, something()), 0..3);
    let caps = prop::collection::vec((when(), any::<bool>(), 1..4_usize, concerned()), 0..3);
    let diversity = prop::collection::vec((when(), prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0]), 0..2);
    (pins, boosts, caps, diversity).prop_map(|(pins, boosts, caps, diversity)| File {
        pins,
        boosts,
        caps,
        diversity,
    })
}

fn products() -> impl Strategy<Value = Vec<Product>> {
    let product =
        (prop::sample::select(&ProductClass::ALL[..]), prop::sample::select(&ISSUERS[..]), -20..20_i8);
    prop::collection::vec(product, 0..40).prop_map(|products| {
        let product = |(number, (class, issuer, logit)): (usize, (ProductClass, &'static str, i8))| Product {
            id: id(number),
            class,
            issuer,
            score: Score::from_logit(f32::from(logit) / 4.0),
        };
        products.into_iter().enumerate().map(product).collect()
    })
}

proptest! {
    #[test]
    fn each_place_goes_to_its_pin_or_to_the_best_that_caps_have_room_for(
        products in products(),
        file in file(),
        k in 1..15_usize,
    ) {
        let rules = SelectionRules::parse(&file.text()).unwrap();
        let now: DateTime<Utc> = "2026-06-01T00:00:00Z".parse().unwrap();
        let candidates: Vec<Candidate<'_>> = products.iter().map(Product::candidate).collect();

        let places =
            rules.in_force(Scenario::All, now).choose(&candidates, k, likeness, Uuid::nil()).places;

        // Pins in the order of their places, as far as there is room for them beside those before.
        let mut pins: Vec<&(When, usize, usize)> =
            file.pins.iter().filter(|(when, product, place)| when.holds() && *product < products.len() && *place <= k).collect();
        pins.sort_by_key(|(_, _, place)| *place);
        let mut pinned: Vec<(usize, usize)> = Vec::new();
        for (_, product, place) in pins {
            let mut with: Vec<&Product> = pinned.iter().map(|(product, _)| &products[*product]).collect();
            with.push(&products[*product]);
            if !file.exceeds(&with) {
                pinned.push((*product, *place));
            }
        }
        let d = file.diversity();
        let best = products.iter().map(|product| file.boosted(product)).fold(0.0, f64::max);
        let mut answer: Vec<usize> = Vec::new();
        while answer.len() < k {
            let due = pinned.iter().find(|(product, place)| !answer.contains(product) && *place <= answer.len() + 1);
            let is_open = |candidate: usize| {
                if answer.contains(&candidate) || pinned.iter().any(|(product, _)| *product == candidate) {
                    return false;
                }
                let taken = answer.iter().copied().chain(pinned.iter().map(|(product, _)| *product).filter(|product| !answer.contains(product)));
                let mut with: Vec<&Product> = taken.map(|product| &products[product]).collect();
                with.push(&products[candidate]);
                !file.exceeds(&with)
            };
            let worth = |candidate: usize| {
                let alike = answer.iter().map(|&other| likeness(candidate, other)).reduce(f64::max).unwrap_or(0.0);
                (1.0 - d) * file.boosted(&products[candidate]) / best - d * alike
            };
            let open: Vec<usize> = (0..products.len()).filter(|&candidate| is_open(candidate)).collect();
            let moved_up = pinned.iter().find(|(product, _)| !answer.contains(product));
            let found = places.get(answer.len());
            match (due, open.iter().map(|&open| worth(open)).reduce(f64::max), moved_up) {
                (Some((product, _)), _, _) | (None, None, Some((product, _))) => {
                    prop_assert_eq!(found.map(|placed| placed.candidate), Some(*product));
                    prop_assert!(matches!(found.unwrap().placement, Placement::Pin(_)));
                }
                (None, Some(largest), _) => {
                    let found = found.unwrap();
                    prop_assert!(open.contains(&found.candidate) && worth(found.candidate) > largest - 1e-9);
                    prop_assert_eq!(&found.placement, &Placement::Rank);
                }
                (None, None, None) => {
                    prop_assert_eq!(found, None);
                    break;
                }
            }
            answer.push(found.unwrap().candidate);
        }
        prop_assert_eq!(places.len(), answer.len());
        for placed in &places {
            prop_assert!((placed.boosted_by - file.factor(&products[placed.candidate])).abs() < 1e-12);
            prop_assert_eq!(placed.propensity, 1.0);
        }
    }
}

#[test]
fn without_rules_the_best_scores_are_chosen_in_their_order() {
    let rules = SelectionRules::parse(finrank_selection::BUILT_IN_SELECTION).unwrap();
    let scores = [0.5, 2.0, 2.0, -1.0].map(Score::from_logit);
    let products: Vec<Product> = scores
        .into_iter()
        .enumerate()
        .map(|(number, score)| Product { id: id(number), class: ProductClass::Loan, issuer: "Aster", score })
        .collect();
    let candidates: Vec<Candidate<'_>> = products.iter().map(Product::candidate).collect();

    let chosen = rules.in_force(Scenario::Credit, Utc::now()).choose(&candidates, 3, likeness, Uuid::nil());

    let order: Vec<usize> = chosen.places.iter().map(|placed| placed.candidate).collect();
    assert_eq!(order, [1, 2, 0]);
}
