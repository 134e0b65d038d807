//! Files of feature definitions: what they declare, what is refused, and how two of them differ.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use finrank_model::{
    EventKind, InvalidFile,
    features::{Aggregate, Definitions, ExpiredPolicy, FeatureRef, Recipe, ValueType, diff},
};

const FILE: &str = r#"
version = 1

[[purpose]]
name = "marketing"
description = "Offers."

[[purpose]]
name = "fairness"
description = "Watching."

[[view]]
name = "profile"
entity = "customer"
source = "attributes"
ttl = "30days"
expired = "null"
description = "Who."
owner = "team-a"
sensitivity = "personal"
purposes = ["marketing", "fairness"]
protected_purposes = ["fairness"]
feature = [
    { name = "income", type = "number", description = "" },
    { name = "age_now", attribute = "age", type = "number", protected = true, description = "" },
]

[[view]]
name = "activity"
entity = "customer"
source = "events"
description = "What."
owner = "team-b"
sensitivity = "internal"
purposes = ["marketing"]
feature = [
    { name = "viewed_7d", aggregate = "count", kinds = ["viewed"], window = "7days", description = "" },
    { name = "spent", aggregate = "amount", currency = "EUR", description = "" },
]

[[service]]
name = "ranking"
description = "All of it."
features = ["activity:*", "profile:income"]
"#;

fn parse(text: &str) -> Definitions {
    Definitions::parse(text).unwrap()
}

/// The file with one piece of it replaced.
fn with(piece: &str, by: &str) -> String {
    assert!(FILE.contains(piece), "{piece}");
    FILE.replace(piece, by)
}

#[test]
fn declares_views_services_and_recipes() {
    let definitions = parse(FILE);

    let (profile, age) = definitions.feature(&FeatureRef::parse("profile:age_now").unwrap()).unwrap();
    assert_eq!(profile.ttl, Some(Duration::from_secs(30 * 24 * 3600)));
    assert_eq!(profile.expired, ExpiredPolicy::Null);
    assert!(matches!(&age.recipe, Recipe::Attribute(name) if name.as_str() == "age"));
    let (_, viewed) = definitions.feature(&FeatureRef::parse("activity:viewed_7d").unwrap()).unwrap();
    let week = Some(Duration::from_secs(7 * 24 * 3600));
    let recipe = Recipe::Events { aggregate: Aggregate::Count, kinds: vec![EventKind::Viewed], window: week };
    assert_eq!((&viewed.recipe, &viewed.value_type), (&recipe, &ValueType::Count));
    let (_, spent) = definitions.feature(&FeatureRef::parse("activity:spent").unwrap()).unwrap();
    assert_eq!(spent.value_type, ValueType::Money("EUR".to_owned()));
    let served: Vec<String> =
        definitions.services["ranking"].features.iter().map(ToString::to_string).collect();
    assert_eq!(served, ["activity:viewed_7d", "activity:spent", "profile:income"]);
}

#[test]
fn a_protected_feature_is_served_for_its_own_purposes_only() {
    let definitions = parse(FILE);
    let profile = &definitions.views["profile"];
    let serves = |feature, purpose| profile.serves(profile.feature(feature).unwrap(), purpose);

    assert!(serves("income", "marketing"));
    assert!(!serves("age_now", "marketing"));
    assert!(serves("age_now", "fairness"));
    assert!(!serves("income", "credit"));
}

#[test]
fn the_digest_is_that_of_the_text() {
    assert_eq!(parse(FILE).digest, parse(FILE).digest);
    assert_ne!(parse(FILE).digest, parse(&with("Offers.", "Offers")).digest);
}

#[test]
fn names_everything_that_is_wrong_at_once() {
    let text = with("version = 1", "version = 2")
        .replace("name = \"activity\"", "name = \"Activity\"")
        .replace("owner = \"team-a\"", "owner = \" \"");

    let InvalidFile::Problems(problems) = Definitions::parse(&text).unwrap_err() else {
        panic!("the text is TOML");
    };

    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "version is 2; this program reads 1",
            "view[Activity] has a name that is not [a-z][a-z0-9_]{0,62}",
            "view[profile].owner is empty",
            "service[ranking].features names \"activity:*\", and there is no view activity",
        ]
    );
}

#[test]
fn each_mistake_is_named_by_its_path() {
    let cases = [
        ("purposes = [\"marketing\"]", "purposes = [\"credit\"]", "view[activity].purposes names \"credit\""),
        (
            "protected_purposes = [\"fairness\"]",
            "protected_purposes = [\"x\"]",
            "view[profile].purposes names \"x\"",
        ),
        (
            "{ name = \"income\", type = \"number\"",
            "{ name = \"income\"",
            "view[profile].feature[income].type is missing",
        ),
        ("attribute = \"age\"", "attribute = \"Age\"", "view[profile].feature[age_now].attribute is \"Age\""),
        (
            "type = \"number\", protected",
            "type = \"number\", window = \"1day\", protected",
            "which only events have",
        ),
        (
            "type = \"number\", protected",
            "type = \"number\", expect = { min = 2, max = 1 }, protected",
            "feature[age_now].expect.max is below min",
        ),
        (
            "type = \"number\", protected",
            "type = \"number\", expect = { null_rate = 1.5 }, protected",
            "feature[age_now].expect.null_rate is not between 0 and 1",
        ),
        (
            "type = \"number\", protected",
            "type = \"number\", expect = { distinct = 5 }, protected",
            "feature[age_now].expect.distinct is for text, not for a number",
        ),
        ("aggregate = \"count\", ", "", "view[activity].feature[viewed_7d].aggregate is missing"),
        (
            "currency = \"EUR\", ",
            "",
            "view[activity].feature[spent].currency is not three upper-case letters",
        ),
        ("window = \"7days\"", "window = \"0s\"", "view[activity].feature[viewed_7d].window is not between"),
        ("name = \"age_now\"", "name = \"income\"", "view[profile].feature[income] is declared twice"),
        ("\"profile:income\"", "\"profile:weight\"", "there is no such feature in profile"),
        ("\"profile:income\"", "\"activity:spent\"", "names activity:spent twice"),
        ("\"profile:income\"", "\"income\"", "names \"income\", which is not view:feature"),
    ];
    for (piece, by, expected) in cases {
        let told = Definitions::parse(&with(piece, by)).unwrap_err().to_string();

        assert!(told.contains(expected), "{by}: {told}");
    }
}

#[test]
fn a_key_that_does_not_exist_is_told_with_its_line() {
    let told = Definitions::parse(&with("expired = \"null\"", "expires = \"null\"")).unwrap_err().to_string();

    assert!(told.contains("unknown field `expires`"), "{told}");
    assert!(told.contains("line 17"), "{told}");
}

#[test]
fn tells_what_changed() {
    let changed = with("ttl = \"30days\"", "ttl = \"10days\"")
        .replace("window = \"7days\"", "window = \"8days\"")
        .replace(", protected = true", "")
        .replace("\"activity:*\", ", "");

    let told: Vec<String> = diff(&parse(FILE), &parse(&changed)).iter().map(ToString::to_string).collect();

    assert_eq!(
        told,
        [
            "feature activity:viewed_7d is made in another way: its values before and after do not compare",
            "view profile has ttl 10days, had 30days",
            "feature profile:age_now is no longer protected",
            "service ranking no longer has activity:spent",
            "service ranking no longer has activity:viewed_7d",
        ]
    );
    assert_eq!(diff(&parse(FILE), &parse(FILE)), []);
}
