//! Customers, a policy, and a catalogue whose products declare what the policy reads.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{AttributeValue, Attributes, ProductClass, ProductId, ProductStatus, RiskGrade, UserId};
use finrank_policy::{CompiledPolicy, Facts, Given, GivenValue, Policy};
use finrank_selection::{BUILT_IN_SELECTION, SelectionRules};
use finrank_serving::{Pseudonym, Pseudonyms};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{
    Snapshot,
    catalogue::{Catalogue, CatalogueProduct},
    fixtures::{DIMENSION, Sample, bundle, generation, products, spaced},
    index::Row,
    pipeline::{Ask, Basis, Customer, Terms},
};

/// Rules of every shape of prepared sets; the catalogue's products have grades and amounts.
pub(super) const POLICY: &str = r#"
format = 1
version = "test"
source = { service = "s", purpose = "p" }
fact = [
    { name = "tolerance", feature = "v:tolerance", type = "number", max_age = "365days" },
    { name = "savings", feature = "v:savings", type = "money", currency = "EUR" },
    { name = "objection", feature = "v:objection", type = "flag" },
]

[[rule]]
code = "STATUS"
kind = "product_status"
description = "d"
regulation = "r"

[[rule]]
code = "HELD"
kind = "held"
description = "d"
regulation = "r"

[[rule]]
code = "OBJECTION"
kind = "objection"
fact = "objection"
classes = ["insurance"]
description = "d"
regulation = "r"

[[rule]]
code = "RISK"
kind = "risk_tolerance"
fact = "tolerance"
classes = ["wealth", "loan"]
description = "d"
regulation = "r"

[[rule]]
code = "AMOUNT"
kind = "affordability"
capacity = "savings"
percent = 50
amount = { attribute = "amount", currency = "EUR" }
undeclared = "pass"
on_failure = "review"
description = "d"
regulation = "r"
"#;

pub(super) fn moment() -> DateTime<Utc> {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// What is known of a random customer; each of it may be missing, expired or of another type.
pub(super) fn givens() -> impl Strategy<Value = Vec<Given>> {
    let given = |value: BoxedStrategy<GivenValue>| {
        let dated =
            prop::sample::select(vec![0, 10, 400]).prop_map(|days| Some(moment() - TimeDelta::days(days)));
        prop_oneof![
            6 => (value, dated).prop_map(|(value, dated)| Given::Present(value, dated)),
            1 => Just(Given::NotStated),
            1 => Just(Given::NotFound),
            1 => Just(Given::Present(GivenValue::Text("5".to_owned()), Some(moment()))),
        ]
    };
    let number =
        |range: std::ops::Range<i64>| range.prop_map(|number| GivenValue::Number(number as f64)).boxed();
    (given(number(1..6)), given(number(0..20)), given(any::<bool>().prop_map(GivenValue::Flag).boxed()))
        .prop_map(|(tolerance, savings, objection)| vec![tolerance, savings, objection])
}

/// Somebody against whom only the product speaks.
pub(super) fn anybody() -> Vec<Given> {
    let given = |value| Given::Present(value, Some(moment()));
    vec![given(GivenValue::Number(5.0)), given(GivenValue::Number(1e6)), given(GivenValue::Flag(false))]
}

pub(super) fn customer(
    catalogue: &Catalogue,
    policy: &str,
    givens: &[Given],
    held: Vec<ProductId>,
) -> Customer {
    let policy = Arc::new(Policy::parse(policy).unwrap());
    let products: Vec<_> = catalogue.products().iter().map(CatalogueProduct::offered).collect();
    let facts = Facts::at(&policy, moment(), |feature| {
        let place = policy.facts().iter().position(|fact| fact.feature == *feature)?;
        givens.get(place).cloned()
    });
    Customer {
        user_id: UserId::parse("u").unwrap(),
        facts,
        held,
        policy: Arc::new(CompiledPolicy::new(policy, &products)),
        moment: moment(),
    }
}

pub(super) fn ask(catalogue: &Catalogue, user: [f32; DIMENSION], terms: Terms, k: usize) -> Ask {
    Ask {
        decision_id: Uuid::now_v7(),
        pseudonym: pseudonym(),
        customer: customer(catalogue, POLICY, &anybody(), vec![]),
        basis: Basis::Profile { user: spaced(&generation(1), user), generation: 1 },
        degradation: None,
        terms,
        selection: no_rules(),
        may_explore: true,
        k,
    }
}

/// The selection file that changes nothing.
pub(super) fn no_rules() -> Arc<SelectionRules> {
    Arc::new(SelectionRules::parse(BUILT_IN_SELECTION).unwrap())
}

/// A catalogue whose products have grades and amounts by their places.
pub(super) fn declared(samples: &[Sample]) -> Catalogue {
    let generation = generation(1);
    let bundle = bundle(&generation);
    let mut products = products(samples);
    for (place, (product, _)) in products.iter_mut().enumerate() {
        product.risk_grade = (place % 7 != 0).then(|| RiskGrade::new(1 + place as u32 % 5).unwrap());
        let amount =
            (place % 3 != 0).then(|| ("amount".to_owned(), AttributeValue::Number((place % 11) as f64)));
        product.attributes = Attributes::new(amount).unwrap();
    }
    Catalogue::build(Snapshot { generation, bundle: bundle.digest(), products }, &bundle).unwrap()
}

/// The rules of the product, said once more without bitmaps and without the policy's own code.
pub(super) fn may_be_offered(
    catalogue: &Catalogue,
    row: Row,
    terms: &Terms,
    givens: &[Given],
    held: &[ProductId],
) -> bool {
    let product = catalogue.product(row);
    let number = |place: usize, max_days: i64| match &givens[place] {
        Given::Present(GivenValue::Number(number), Some(dated))
            if (moment() - *dated).num_days() <= max_days =>
        {
            Some(*number)
        }
        _ => None,
    };
    let filters = &terms.filters;
    let in_scope = product.status == ProductStatus::Active
        && terms.scenario.classes().contains(&product.product_class)
        && !terms.excluded.contains(&product.product_id)
        && (filters.classes.is_empty() || filters.classes.contains(&product.product_class))
        && (filters.issuers.is_empty() || filters.issuers.contains(&product.issuer))
        && (filters.product_ids.is_empty() || filters.product_ids.contains(&product.product_id))
        && !held.contains(&product.product_id);
    let objected = !matches!(&givens[2], Given::NotStated | Given::Present(GivenValue::Flag(false), _));
    let objection = product.product_class == ProductClass::Insurance && objected;
    let graded = matches!(product.product_class, ProductClass::Wealth | ProductClass::Loan);
    let within = match (product.risk_grade, number(0, 365)) {
        (Some(grade), Some(tolerance)) => f64::from(grade.get()) <= tolerance,
        _ => false,
    };
    let affordable = match product.attributes.get("amount") {
        None => true,
        Some(AttributeValue::Number(amount)) => {
            number(1, 100_000).is_some_and(|savings| 2.0 * amount <= savings)
        }
        Some(_) => false,
    };
    in_scope && !objection && (!graded || within) && affordable
}

/// How logs name whoever it is.
pub(super) fn pseudonym() -> Pseudonym {
    Pseudonyms::load(None).unwrap().of(&UserId::parse("u").unwrap())
}
