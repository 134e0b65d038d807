//! Whatever is not known counts as the strictest case, and a proof holds what was known.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{AttributeValue, Attributes, Money, ProductClass, ProductId, ProductStatus, RiskGrade};
use finrank_policy::{
    BUILT_IN_POLICY, Case, Facts, Given, GivenValue, Offered, Outcome, Policy, Proof, Verdict,
};

fn moment() -> DateTime<Utc> {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn present(value: GivenValue) -> Given {
    Given::Present(value, Some(moment()))
}

/// A customer against whom no rule stands, but for what `given` says of one fact.
#[allow(clippy::needless_pass_by_value, reason = "tests say it where they call")]
fn facts(policy: &Policy, fact: &str, given: Option<Given>) -> Facts {
    Facts::at(policy, moment(), |feature| {
        let name = &policy.facts().iter().find(|fact| fact.feature == *feature)?.name;
        if name == fact {
            return given.clone();
        }
        Some(match name.as_str() {
            "residence" => present(GivenValue::Text("north".to_owned())),
            "age" => present(GivenValue::Number(40.0)),
            "risk_tolerance" => present(GivenValue::Number(5.0)),
            "annual_income" | "savings" => present(GivenValue::Number(50_000.0)),
            _ => present(GivenValue::Flag(false)),
        })
    })
}

fn judge(policy: &Policy, facts: &Facts, class: ProductClass, prove: Option<&str>) -> (Verdict, Proof) {
    let product_id = ProductId::parse("p").unwrap();
    let amounts = [("annual_fee", 1.0), ("annual_premium", 1.0), ("minimum_amount", 1.0)];
    let attributes = amounts.map(|(name, amount)| (name.to_owned(), AttributeValue::Number(amount)));
    let texts = [("sold_in", "north"), ("currency", "EUR")];
    let texts = texts.map(|(name, text)| (name.to_owned(), AttributeValue::Text(text.to_owned())));
    let attributes = Attributes::new(attributes.into_iter().chain(texts)).unwrap();
    let product = Offered {
        product_id: &product_id,
        product_class: class,
        status: ProductStatus::Active,
        risk_grade: Some(RiskGrade::new(1).unwrap()),
        attributes: &attributes,
    };
    let case = Case { policy, facts, holdings: &[], product, moment: moment() };
    let verdict = policy.judge(&case);
    let proof = Proof::of(&case, &verdict, "u", prove.unwrap_or("d"));
    (verdict, proof)
}

const RULES: [(&str, ProductClass); 5] = [
    ("residence", ProductClass::Insurance),
    ("age", ProductClass::Loan),
    ("risk_tolerance", ProductClass::Wealth),
    ("savings", ProductClass::Wealth),
    ("annual_income", ProductClass::CreditCard),
];

#[test]
fn who_is_known_and_within_bounds_is_offered_everything() {
    let policy = Policy::parse(BUILT_IN_POLICY).unwrap();

    for class in ProductClass::ALL {
        let (verdict, _) = judge(&policy, &facts(&policy, "nothing", None), class, None);

        assert_eq!(verdict.outcome, Outcome::Eligible, "{verdict:?}");
    }
}

#[test]
fn a_fact_that_is_missing_unknown_denied_expired_or_of_another_type_is_never_eligible_and_says_so() {
    let policy = Policy::parse(BUILT_IN_POLICY).unwrap();
    let number = || GivenValue::Number(5.0);
    let doubts = [
        (None, "is not among what the feature store serves"),
        (Some(Given::NotStated), "is not stated"),
        (Some(Given::NotFound), "is not known"),
        (Some(Given::Denied), "may not be used"),
        (Some(Given::Expired(Some(number()), Some(moment()))), "is "),
        (Some(Given::Present(number(), Some(moment() + TimeDelta::seconds(1)))), "only later"),
        (Some(present(GivenValue::Number(f64::NAN))), "is NaN"),
        (Some(present(GivenValue::Flag(true))), "which is no"),
    ];

    for (fact, class) in RULES {
        for (given, words) in &doubts {
            if fact == "residence" && *words == "only later" {
                continue; // 5 is no residence in the first place
            }
            let (verdict, _) = judge(&policy, &facts(&policy, fact, given.clone()), class, None);

            let reasons: Vec<&str> = verdict.against().map(|finding| finding.result.reason()).collect();
            let of_it = reasons
                .iter()
                .any(|reason| reason.contains(fact) && (reason.contains(words) || *words == "is NaN"));
            assert_ne!(verdict.outcome, Outcome::Eligible, "{fact} {given:?}");
            assert!(of_it, "{fact} {given:?}: {reasons:?}");
        }
    }
}

#[test]
fn an_assessment_is_good_to_its_last_day_and_not_a_moment_longer() {
    let policy = Policy::parse(BUILT_IN_POLICY).unwrap();
    let assessed = |ago: TimeDelta| {
        let given = Given::Present(GivenValue::Number(5.0), Some(moment() - ago));
        judge(&policy, &facts(&policy, "risk_tolerance", Some(given)), ProductClass::Wealth, None).0.outcome
    };

    assert_eq!(assessed(TimeDelta::days(1095)), Outcome::Eligible);
    assert_eq!(assessed(TimeDelta::days(1095) + TimeDelta::nanoseconds(1)), Outcome::Excluded);
    let undated = Given::Present(GivenValue::Number(5.0), None);
    let (undated, _) =
        judge(&policy, &facts(&policy, "risk_tolerance", Some(undated)), ProductClass::Wealth, None);
    assert_eq!(undated.outcome, Outcome::Excluded);
}

#[test]
fn money_of_another_currency_is_not_compared() {
    let policy = Policy::parse(BUILT_IN_POLICY).unwrap();
    let dollars = present(GivenValue::Money(Money::new("USD", i64::MAX).unwrap()));

    let (verdict, _) = judge(&policy, &facts(&policy, "savings", Some(dollars)), ProductClass::Wealth, None);

    assert_eq!(verdict.outcome, Outcome::Excluded);
    let reason = verdict.against().next().unwrap().result.reason();
    assert_eq!(reason, "savings is in USD, not EUR");
}

#[test]
fn only_who_is_known_not_to_have_objected_is_profiled() {
    let policy = Policy::parse(BUILT_IN_POLICY).unwrap();
    let may = |given| policy.may_profile(&facts(&policy, "profiling_objection", given));

    assert!(may(Some(present(GivenValue::Flag(false)))));
    assert!(may(Some(Given::NotStated)));
    for given in [
        Some(present(GivenValue::Flag(true))),
        Some(present(GivenValue::Text("no".to_owned()))),
        Some(Given::Expired(Some(GivenValue::Flag(false)), None)),
        Some(Given::Denied),
        Some(Given::NotFound),
        None,
    ] {
        assert!(!may(given.clone()), "{given:?}");
    }
}

#[test]
fn a_proof_names_what_was_looked_at_and_changes_with_it() {
    let policy = Policy::parse(BUILT_IN_POLICY).unwrap();
    let proof = |tolerance: f64, decision| {
        let given = present(GivenValue::Number(tolerance));
        judge(&policy, &facts(&policy, "risk_tolerance", Some(given)), ProductClass::Wealth, Some(decision)).1
    };

    let (first, again, other, later) = (proof(5.0, "d"), proof(5.0, "d"), proof(4.0, "d"), proof(5.0, "e"));

    let names: Vec<&str> = first.inputs.iter().map(|input| input.name.as_str()).collect();
    let expected = ["residence", "risk_tolerance", "savings", "marketing_objection", "holdings", "product"];
    assert_eq!(names, expected);
    assert!(first.rules.contains(&"INVESTMENT_RISK".to_owned()));
    assert!(!first.rules.contains(&"CREDIT_AGE".to_owned()));
    assert_eq!(first.inputs[1].dated, Some(moment()));
    assert_eq!(first, again);
    assert_ne!(first.sha256, other.sha256);
    assert_eq!(first.inputs[0], other.inputs[0]);
    assert_ne!(first.inputs[1].sha256, other.inputs[1].sha256);
    for (of_one, of_another) in first.inputs.iter().zip(&later.inputs) {
        assert_ne!(of_one.sha256, of_another.sha256, "equal values of two decisions do not look equal");
    }
}
