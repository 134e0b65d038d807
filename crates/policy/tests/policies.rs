//! Policies as files: those that are shipped, and what is said of those that do not hold together.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use finrank_model::InvalidFile;
use finrank_policy::{BUILT_IN_POLICY, Policy, cases::Cases};

fn files_of_cases() -> Vec<PathBuf> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let entries = [policies.clone(), policies.join("examples")]
        .into_iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap());
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".cases.toml"))
        .collect()
}

#[test]
fn every_shipped_policy_passes_its_cases() {
    let files = files_of_cases();
    assert_eq!(files.len(), 4);

    for file in files {
        let cases = Cases::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        let policy = Policy::parse(&fs::read_to_string(file.with_file_name(&cases.policy)).unwrap()).unwrap();
        for case in &cases.cases {
            let report = case.run(&policy).unwrap();

            assert!(
                report.differences.is_empty(),
                "{}: {}: {:?}",
                file.display(),
                case.name,
                report.differences
            );
        }
    }
}

#[test]
fn a_case_that_comes_out_otherwise_tells_how() {
    let text = r#"
        policy = "p.toml"
        [[case]]
        name = "too risky"
        moment = "2026-06-01"
        customer = { risk_tolerance = 2 }
        product = { id = "fund", class = "wealth", risk_grade = 3 }
        expect = "eligible"
        against = ["CREDIT_AGE"]
    "#;
    let case = &Cases::parse(text).unwrap().cases[0];

    let report = case.run(&Policy::parse(BUILT_IN_POLICY).unwrap()).unwrap();

    assert_eq!(
        report.differences,
        [
            "the verdict is excluded, not eligible",
            "INVESTMENT_RISK stands against it: risk_tolerance is 2 (of 2026-06-01), and the product's risk is R3",
            "CREDIT_AGE does not stand against it",
        ]
    );
}

#[test]
fn a_case_that_names_what_the_policy_does_not_have_is_refused() {
    let text = r#"
        policy = "p.toml"
        [[case]]
        name = "misspelt"
        moment = "2026-06-01"
        customer = { risk_tolerence = 2 }
        product = { id = "fund", class = "wealth" }
        expect = "excluded"
        against = ["RISK"]
    "#;
    let case = &Cases::parse(text).unwrap().cases[0];

    let wrong = case.run(&Policy::parse(BUILT_IN_POLICY).unwrap()).unwrap_err();

    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    assert_eq!(
        wrong,
        [
            "case[misspelt].customer names \"risk_tolerence\", which is no fact of the policy",
            "case[misspelt].against names \"RISK\", which is no rule of the policy",
        ]
    );
}

#[test]
fn everything_that_is_wrong_is_named_by_its_path_at_once() {
    let text = r#"
        format = 2
        versoin = "x"
        [source]
        service = "Eligibility"
        purpose = "eligibility"
        [[fact]]
        name = "age"
        feature = "suitability.age"
        type = "number"
        [[fact]]
        name = "income"
        feature = "s:income"
        type = "money"
        currency = "eur"
        minor_digits = 2
        [[fact]]
        name = "home"
        feature = "s:home"
        type = "flag"
        max_age = "soon"
        dated_by = "age"
        [[fact]]
        name = "home"
        feature = "s:home"
        type = "bool"
        [profiling]
        objection = "age"
        popularity = "v:f"
        purpose = "marketing"
        [[rule]]
        code = "age"
        kind = "range"
        classes = ["bonds"]
        fact = "home"
        minimum = 5
        maximum = 4
        description = " "
        regulation = "r"
        [[rule]]
        code = "PAY"
        kind = "affordability"
        capacity = "nobody"
        percent = 0
        amount = { attribute = "Fee" }
        undeclared = "maybe"
        description = "d"
        regulation = "r"
        [[rule]]
        kind = "expression"
        code = "X"
        formula = "1 + 1"
        description = "d"
        on_failure = true
    "#;

    let refusal = Policy::parse(text).unwrap_err();

    let expected = r#"format is 2; this program reads 1
version is missing
source.service is "Eligibility", not [a-z][a-z0-9_]{0,62}
fact[age].feature names "suitability.age", which is not view:feature
fact[income].currency is "eur", not three upper-case letters (ISO 4217)
fact[income].minor_digits is given, but only unit = "major" has some
fact[home].max_age is "soon", no duration such as "365days"
fact[home].dated_by names "age", whose type is number, not time
fact[home].type is "bool", not number, text, flag, money or time
profiling.objection names "age", whose type is number, not flag
rule[age].code is "age", not [A-Z][A-Z0-9_]{0,62}
rule[age].description is empty
rule[age].classes is "bonds", not credit_card, loan, wealth or insurance
rule[age].minimum is 5, above the maximum 4
rule[PAY].percent is not 1 to 100000
rule[PAY].capacity names "nobody", which is no fact
rule[PAY].amount.attribute is "Fee", which no attribute can be named
rule[PAY].amount.currency is missing
rule[PAY].undeclared is "maybe", not exclude or pass
rule[X].regulation is missing
rule[X].on_failure is not a text
rule[X].kind is "expression", not product_status, sales_window, held, category_cap, residence, risk_tolerance, range, affordability, need, consent or objection
versoin is not a key that is known here"#;
    let mut found: Vec<String> = refusal.to_string().lines().map(str::to_owned).collect();
    let mut expected: Vec<String> = expected.lines().map(str::to_owned).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_policy_that_leaves_a_class_without_a_status_rule_is_refused() {
    let text = BUILT_IN_POLICY.replace(
        "kind = \"product_status\"",
        "kind = \"product_status\"\nclasses = [\"credit_card\", \"wealth\", \"insurance\"]",
    );

    let refusal = Policy::parse(&text).unwrap_err();

    assert_eq!(refusal.to_string(), "rule has no rule of kind product_status for loan");
}

#[test]
fn two_rules_or_facts_of_one_name_are_refused() {
    let text = BUILT_IN_POLICY
        .replace("\"SALES_WINDOW\"", "\"ALREADY_HELD\"")
        .replace("name = \"savings\"", "name = \"annual_income\"");

    let refusal = Policy::parse(&text).unwrap_err().to_string();

    assert!(refusal.contains("rule[ALREADY_HELD] is declared twice"), "{refusal}");
    assert!(refusal.contains("fact[annual_income] is declared twice"), "{refusal}");
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    let refusal = Policy::parse("format = 1\nversion = \n").unwrap_err();

    assert!(matches!(refusal, InvalidFile::Syntax(_)));
    assert!(refusal.to_string().contains("line 2"), "{refusal}");
}
