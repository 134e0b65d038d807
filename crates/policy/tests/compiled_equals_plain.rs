//! The compiled policy against the plain reading, over random policies, catalogues, customers and moments.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::{fmt::Write, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{AttributeValue, Attributes, Money, ProductClass, ProductId, ProductStatus, RiskGrade};
use finrank_policy::{Case, CompiledPolicy, Facts, Given, GivenValue, Holding, Offered, Outcome, Policy};
use proptest::prelude::*;

const FACTS: &str = r#"
format = 1
version = "random"
source = { service = "s", purpose = "p" }
fact = [
    { name = "number", feature = "v:number", type = "number", max_age = "30days" },
    { name = "text", feature = "v:text", type = "text" },
    { name = "flag", feature = "v:flag", type = "flag" },
    { name = "other_flag", feature = "v:other_flag", type = "flag", max_age = "30days" },
    { name = "money", feature = "v:money", type = "money", currency = "EUR" },
    { name = "debts", feature = "v:debts", type = "money", currency = "EUR", unit = "major", dated_by = "date" },
    { name = "date", feature = "v:date", type = "time" },
]
[[rule]]
code = "STATUS"
kind = "product_status"
description = "d"
regulation = "r"
"#;

/// The keys of a random rule, without what all rules have.
fn kind() -> impl Strategy<Value = String> {
    let undeclared =
        || prop::sample::select(vec!["", "undeclared = \"pass\"\n", "undeclared = \"exclude\"\n"]);
    prop_oneof![
        Just("kind = \"sales_window\"\n".to_owned()),
        Just("kind = \"held\"\n".to_owned()),
        (1..4_u32, any::<bool>(), undeclared()).prop_map(|(most, by_attribute, undeclared)| {
            let attribute = if by_attribute { "attribute = \"name\"\n" } else { "" };
            format!("kind = \"category_cap\"\nmost = {most}\n{attribute}{undeclared}")
        }),
        (0..3_usize, undeclared()).prop_map(|(form, undeclared)| {
            let allowed = ["allowed = [\"a\", \"b\"]\n", "", "allowed = [\"a\", \"b\"]\n"][form];
            let attribute = ["", "attribute = \"name\"\n", "attribute = \"name\"\n"][form];
            format!("kind = \"residence\"\nfact = \"text\"\n{allowed}{attribute}{undeclared}")
        }),
        Just("kind = \"risk_tolerance\"\nfact = \"number\"\n".to_owned()),
        (0..3_usize, -1..6_i64, 0..3_usize, 0..4_i64, undeclared()).prop_map(
            |(least, minimum, most, more, undeclared)| {
                let minimum_key = format!("minimum = {minimum}\n");
                let least = [
                    minimum_key.as_str(),
                    "minimum_attribute = \"least\"\n",
                    "minimum = 1\nminimum_attribute = \"least\"\n",
                ][least];
                let maximum_key = format!("maximum = {}\n", minimum.max(1) + more);
                let most = ["", maximum_key.as_str(), "maximum_attribute = \"most\"\n"][most];
                format!("kind = \"range\"\nfact = \"number\"\n{least}{most}{undeclared}")
            }
        ),
        (1..300, any::<bool>(), any::<bool>(), undeclared()).prop_map(
            |(percent, debts, fixed, undeclared)| {
                let committed = if debts { "committed = \"debts\"\n" } else { "" };
                let currency = if fixed { "currency = \"EUR\"" } else { "currency_attribute = \"name\"" };
                format!(
                    "kind = \"affordability\"\ncapacity = \"money\"\n{committed}percent = {percent}\n\
                 amount = {{ attribute = \"least\", {currency} }}\n{undeclared}"
                )
            }
        ),
        undeclared().prop_map(|undeclared| {
            let needs = "needs = { a = \"flag\", b = \"other_flag\" }";
            format!("kind = \"need\"\nattribute = \"name\"\n{needs}\n{undeclared}")
        }),
        Just("kind = \"consent\"\nfact = \"other_flag\"\n".to_owned()),
        Just("kind = \"objection\"\nfact = \"other_flag\"\n".to_owned()),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let outcome = || prop::sample::select(vec!["exclude", "review"]);
    let classes = prop::sample::subsequence(vec!["credit_card", "loan", "wealth", "insurance"], 1..=4);
    let rule = (kind(), outcome(), outcome(), classes);
    prop::collection::vec(rule, 0..6).prop_map(|rules| {
        let mut text = FACTS.to_owned();
        for (place, (kind, failure, unknown, classes)) in rules.into_iter().enumerate() {
            write!(
                text,
                "[[rule]]\ncode = \"R{place}\"\ndescription = \"d\"\nregulation = \"r\"\nclasses = {classes:?}\n\
                 on_failure = \"{failure}\"\non_unknown = \"{unknown}\"\n{kind}"
            )
            .unwrap();
        }
        Policy::parse(&text).unwrap_or_else(|invalid| panic!("{invalid}\n{text}"))
    })
}

fn moment() -> DateTime<Utc> {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn near() -> impl Strategy<Value = DateTime<Utc>> {
    // Also the moment itself, and exactly as old as a fact may be.
    prop_oneof![Just(0), Just(-30), -60..3_i64].prop_map(|days| moment() + TimeDelta::days(days))
}

fn value() -> impl Strategy<Value = GivenValue> {
    prop_oneof![
        (-1..7_i64).prop_map(|number| GivenValue::Number(number as f64)),
        (0..8_i64).prop_map(|number| GivenValue::Number(number as f64 / 2.0)),
        (-100..900_i64).prop_map(|number| GivenValue::Number(number as f64)),
        (0..7_i64).prop_map(GivenValue::Count),
        prop::sample::select(vec!["a", "b", "c", ""]).prop_map(|text| GivenValue::Text(text.to_owned())),
        any::<bool>().prop_map(GivenValue::Flag),
        (0..900_i64, prop::sample::select(vec!["EUR", "USD"]))
            .prop_map(|(minor, currency)| GivenValue::Money(Money::new(currency, minor).unwrap())),
        near().prop_map(GivenValue::Time),
    ]
}

fn given() -> impl Strategy<Value = Option<Given>> {
    let present = (value(), prop::option::weighted(0.9, near()));
    prop_oneof![
        12 => present.prop_map(|(value, dated)| Some(Given::Present(value, dated))),
        1 => Just(None),
        1 => Just(Some(Given::NotStated)),
        1 => Just(Some(Given::NotFound)),
        1 => Just(Some(Given::Denied)),
        1 => (prop::option::of(value()), near()).prop_map(|(value, dated)| Some(Given::Expired(value, Some(dated)))),
    ]
}

/// Of the right type more often than not, so that rules are reached.
fn givens() -> impl Strategy<Value = Vec<Option<Given>>> {
    let right = |value: BoxedStrategy<GivenValue>| {
        (value, near()).prop_map(|(value, dated)| Some(Given::Present(value, Some(dated))))
    };
    let number = right((0..7_i64).prop_map(|number| GivenValue::Number(number as f64)).boxed());
    let text = right(
        prop::sample::select(vec!["a", "b", "c"]).prop_map(|text| GivenValue::Text(text.to_owned())).boxed(),
    );
    let flag = || right(any::<bool>().prop_map(GivenValue::Flag).boxed());
    let money = || right((0..900_i64).prop_map(|minor| GivenValue::Number(minor as f64)).boxed());
    let date = right(near().prop_map(GivenValue::Time).boxed());
    let right = (number, text, flag(), flag(), money(), money(), date)
        .prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g]);
    (right, prop::collection::vec(prop::option::weighted(0.3, given()), 7)).prop_map(|(right, others)| {
        right.into_iter().zip(others).map(|(right, other)| other.unwrap_or(right)).collect()
    })
}

#[derive(Clone, Debug)]
struct Product {
    product_id: ProductId,
    class: ProductClass,
    status: ProductStatus,
    grade: Option<RiskGrade>,
    attributes: Attributes,
}

fn product() -> impl Strategy<Value = (ProductClass, ProductStatus, Option<RiskGrade>, Attributes)> {
    let attribute = prop_oneof![
        4 => (0..7_i64).prop_map(|number| AttributeValue::Number(number as f64)),
        1 => Just(AttributeValue::Number(2.5)),
        4 => prop::sample::select(vec!["a", "b", "a, b", "EUR", "USD", "eur"])
            .prop_map(|text| AttributeValue::Text(text.to_owned())),
        4 => near().prop_map(|moment| AttributeValue::Text(moment.to_rfc3339())),
        1 => Just(AttributeValue::Flag(true)),
    ];
    let number = || (0..700_i64).prop_map(|number| AttributeValue::Number(number as f64));
    let odd = prop::collection::btree_map(
        prop::sample::select(vec!["sold_from", "sold_until", "name", "least", "most"])
            .prop_map(str::to_owned),
        attribute,
        0..4,
    );
    let usual = (prop::option::of(number()), prop::option::of(prop::sample::select(vec!["a", "EUR"])));
    (
        prop::sample::select(ProductClass::ALL.to_vec()),
        prop::sample::select(vec![ProductStatus::Active, ProductStatus::Active, ProductStatus::Withdrawn]),
        prop::option::weighted(0.8, (1..=5_u32).prop_map(|grade| RiskGrade::new(grade).unwrap())),
        (odd, usual).prop_map(|(mut attributes, (least, name))| {
            if let Some(least) = least {
                attributes.insert("least".to_owned(), least);
            }
            if let Some(name) = name {
                attributes.insert("name".to_owned(), AttributeValue::Text(name.to_owned()));
            }
            Attributes::new(attributes).unwrap()
        }),
    )
}

fn products() -> impl Strategy<Value = Vec<Product>> {
    prop::collection::vec(product(), 0..100).prop_map(|drawn| {
        let named =
            drawn.into_iter().enumerate().map(|(place, (class, status, grade, attributes))| Product {
                product_id: ProductId::parse(format!("p{place}")).unwrap(),
                class,
                status,
                grade,
                attributes,
            });
        named.collect()
    })
}

impl Product {
    fn offered(&self) -> Offered<'_> {
        Offered {
            product_id: &self.product_id,
            product_class: self.class,
            status: self.status,
            risk_grade: self.grade,
            attributes: &self.attributes,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 400 } else { 20_000 }))]

    #[test]
    fn what_is_compiled_says_the_same_as_the_plain_reading_of_every_product(
        policy in policy(),
        products in products(),
        givens in givens(),
        held in prop::collection::vec(0..130_usize, 0..5),
    ) {
        let policy = Arc::new(policy);
        let offered: Vec<Offered<'_>> = products.iter().map(Product::offered).collect();
        let strangers: Vec<ProductId> = held.iter().map(|place| ProductId::parse(format!("p{place}")).unwrap()).collect();
        let holdings: Vec<Holding<'_>> = held
            .iter()
            .zip(&strangers)
            .map(|(&place, product_id)| Holding { product_id, product: offered.get(place).map(|product| (place, *product)) })
            .collect();
        let facts = Facts::at(&policy, moment(), |feature| {
            let place = policy.facts().iter().position(|fact| fact.feature == *feature)?;
            givens[place].clone()
        });

        let admission = CompiledPolicy::new(policy.clone(), &offered).admit(&facts, &holdings, moment());

        let mut against = vec![0; policy.rules().len()];
        for (place, &product) in offered.iter().enumerate() {
            let case = Case { policy: &policy, facts: &facts, holdings: &holdings, product, moment: moment() };
            let verdict = policy.judge(&case);
            verdict.against().for_each(|finding| against[finding.rule] += 1);
            let told = || format!("{place}: {verdict:?}\n{:?}\n{facts:?}\n{:?}", products[place], policy.rules());
            prop_assert_eq!(admission.eligible.contains(place), verdict.outcome == Outcome::Eligible, "{}", told());
            prop_assert_eq!(admission.human_review.contains(place), verdict.outcome == Outcome::HumanReview, "{}", told());
        }
        prop_assert_eq!(admission.against, against);
    }
}
