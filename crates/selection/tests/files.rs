//! Selection files: those that are shipped, and what is said of those that do not hold together.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use chrono::{DateTime, Utc};
use finrank_model::Sha256Digest;
use finrank_selection::{BUILT_IN_SELECTION, Scenario, SelectionRules};

const CAMPAIGN: &str = include_str!("../files/examples/campaign.toml");

fn at(moment: &str) -> DateTime<Utc> {
    moment.parse().unwrap()
}

#[test]
fn the_built_in_file_has_no_rules_and_the_example_one_of_each_kind() {
    let built_in = SelectionRules::parse(BUILT_IN_SELECTION).unwrap();
    let campaign = SelectionRules::parse(CAMPAIGN).unwrap();

    assert!(built_in.outline().is_empty());
    assert_eq!(built_in.digest(), Sha256Digest::of(BUILT_IN_SELECTION.as_bytes()));
    let kinds: Vec<&str> = campaign.outline().into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, ["pin", "boost", "cap", "cap", "diversity", "exploration"]);
    assert_eq!((campaign.text(), campaign.version()), (CAMPAIGN, "campaign-2026-12"));
}

#[test]
fn a_rule_holds_in_its_scenarios_from_its_beginning_until_before_its_end() {
    let campaign = SelectionRules::parse(CAMPAIGN).unwrap();
    let pins = |scenario, moment| campaign.in_force(scenario, at(moment)).pins.len();

    assert_eq!(pins(Scenario::Credit, "2026-11-30T23:59:59.999Z"), 0);
    assert_eq!(pins(Scenario::Credit, "2026-12-01T00:00:00Z"), 1);
    assert_eq!(pins(Scenario::Credit, "2026-12-31T23:59:59.999Z"), 1);
    assert_eq!(pins(Scenario::Credit, "2027-01-01T00:00:00Z"), 0);
    assert_eq!(pins(Scenario::All, "2026-12-10T00:00:00Z"), 0);
    assert_eq!(campaign.in_force(Scenario::Wealth, at("2026-12-10T00:00:00Z")).diversity.get(), 0.2);
}

#[test]
fn everything_that_is_wrong_is_named_by_its_path_at_once() {
    let text = r#"
        format = 2
        versoin = "x"
        [[pin]]
        code = "first"
        description = " "
        product_id = ""
        place = 0
        [[pin]]
        code = "A"
        description = "d"
        product_id = "card"
        place = 1
        until = "2026-06-01"
        [[pin]]
        code = "B"
        description = "d"
        product_id = "card"
        place = 1
        scenarios = ["wealth"]
        from = "2026-05-31"
        [[pin]]
        code = "C"
        description = "d"
        product_id = "card"
        place = 1
        scenarios = ["credit"]
        from = "2026-06-01"
        [[boost]]
        code = "A"
        description = "d"
        factor = 0
        [[boost]]
        code = "D"
        description = "d"
        factor = "twice"
        classes = ["bonds"]
        issuers = []
        [[cap]]
        code = "E"
        description = "d"
        per = "product"
        most = 501
        from = "2026-06-01"
        until = "2026-06-01"
        [[diversity]]
        code = "F"
        description = "d"
        value = 1.5
        scenarios = ["loans"]
        [[exploration]]
        code = "G"
        description = "d"
        epsilon = 0.6
        from_place = 1
        seed = 7
    "#;

    let refusal = SelectionRules::parse(text).unwrap_err().to_string();

    let expected = [
        "format is 2; this program reads 1",
        "version is missing",
        "pin[first].code is \"first\", not [A-Z][A-Z0-9_]{0,62}",
        "pin[first].description is empty",
        "pin[first].product_id is empty",
        "pin[first].place is 0, not 1 to 500",
        "pin[B] wants place 1 at a time when A does, in scenario wealth",
        "pin[B] pins the product of A at the same time, in scenario wealth",
        "boost[A].factor is not 0.01 to 100",
        "boost[A].classes is missing, and so are issuers and product_ids: a boost of everything changes nothing",
        "boost[D].factor is not a finite number",
        "boost[D].classes is \"bonds\", not credit_card, loan, wealth or insurance",
        "boost[D].issuers has 0 entries, not 1 to 1000",
        "boost[A] has the code of another rule",
        "cap[E].until does not lie after from",
        "cap[E].per is \"product\", not class or issuer",
        "cap[E].most is 501, not 1 to 500",
        "diversity[F].scenarios names \"loans\", not all, credit, wealth or insurance",
        "diversity[F].value is 1.5, not 0 to 1",
        "exploration[G].epsilon is not above 0 and at most 0.5",
        "exploration[G].challengers is missing",
        "exploration[G].seed is not a key that is known here",
        "versoin is not a key that is known here",
    ];
    assert_eq!(refusal.lines().collect::<Vec<_>>(), expected);
}
