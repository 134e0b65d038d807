//! Feature values against a brute-force reading of random histories, with late, corrected and retracted statements.

mod history;

use chrono::{DateTime, Utc};
use finrank_model::{
    UserRecord,
    features::{Definitions, ExpiredPolicy, FeatureRef},
};
use finrank_store::{
    Store, StoreError,
    features::{Asked, Believed, FeaturePlan, FeatureStatus, FeatureValue, InRange, Value},
    records,
    scratch::ScratchDatabase,
};
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use history::{History, at, histories};

/// Seconds stand for days: windows and ages are as short as the histories.
pub(super) const DEFINITIONS: &str = r#"
version = 1
[[purpose]]
name = "marketing"
description = ""
[[purpose]]
name = "fairness"
description = ""

[[view]]
name = "profile"
entity = "customer"
source = "attributes"
ttl = "3s"
description = ""
owner = "test"
sensitivity = "personal"
purposes = ["marketing", "fairness"]
protected_purposes = ["fairness"]
feature = [
    { name = "income", type = "number", description = "" },
    { name = "gender", type = "text", protected = true, description = "" },
]

[[view]]
name = "activity"
entity = "customer"
source = "events"
description = ""
owner = "test"
sensitivity = "personal"
purposes = ["marketing"]
feature = [
    { name = "viewed_3s", aggregate = "count", kinds = ["viewed"], window = "3s", description = "" },
    { name = "acquired", aggregate = "quantity", kinds = ["acquired"], description = "" },
    { name = "products_5s", aggregate = "distinct", window = "5s", description = "" },
    { name = "spent", aggregate = "amount", currency = "EUR", description = "" },
    { name = "last_viewed", aggregate = "latest_time", kinds = ["viewed"], description = "" },
]

[[view]]
name = "demand"
entity = "product"
source = "events"
description = ""
owner = "test"
sensitivity = "internal"
purposes = ["marketing"]
feature = [{ name = "customers", aggregate = "distinct", description = "" }]
"#;

fn plan(features: &[&str], purpose: &str, expired: Option<ExpiredPolicy>) -> FeaturePlan {
    let definitions = Definitions::parse(DEFINITIONS).unwrap();
    let features: Vec<FeatureRef> = features.iter().map(|raw| FeatureRef::parse(raw).unwrap()).collect();
    FeaturePlan::compile(&definitions, &features, purpose, expired).unwrap()
}

fn asked(id: &str, as_of: i64, known_at: i64) -> Asked {
    Asked { id: id.to_owned(), as_of: at(as_of), known_at: at(known_at) }
}

fn present(event_time: DateTime<Utc>, value: Value) -> FeatureValue {
    FeatureValue { status: FeatureStatus::Present, event_time: Some(event_time), value: Some(value) }
}

fn nothing(status: FeatureStatus) -> FeatureValue {
    FeatureValue { status, event_time: None, value: None }
}

#[test]
fn every_value_is_what_a_plain_reading_of_the_history_gives() {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(ScratchDatabase::create());
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });

    runner
        .run(&histories(), |history| {
            runtime.block_on(store(&database.store, &history));
            for set in sets() {
                let asked = set.asked();

                let read = runtime.block_on(set.plan.read(&database.store, &asked)).unwrap();

                proptest::prop_assert_eq!(read.len(), asked.len());
                for (asked, read) in asked.iter().zip(read) {
                    proptest::prop_assert_eq!(read, set.expected(&history, asked), "{:?}", asked);
                }
                // The same in one pass over a range, moment by moment.
                let believed =
                    runtime.block_on(records::dated_user_records(&database.store, None, None, 9)).unwrap();
                let range = set.ids.map(|id| InRange { id, believed: believed_of(id, &believed) });
                for asked in asked.chunks(set.ids.len()) {
                    let Asked { as_of, known_at, .. } = asked[0];
                    let range = set.plan.read_range(&database.store, &range, as_of, known_at);
                    let expected: Vec<_> = asked.iter().map(|asked| set.expected(&history, asked)).collect();

                    proptest::prop_assert_eq!(runtime.block_on(range).unwrap(), expected, "{:?}", asked);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_value_changes_by_time_alone_before_its_row_says_so() {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(ScratchDatabase::create());
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });

    runner
        .run(&histories(), |history| {
            runtime.block_on(store(&database.store, &history));
            for set in sets() {
                let asked = set.asked();

                let rows = runtime.block_on(set.plan.read_lasting(&database.store, &asked)).unwrap();

                for (asked, row) in asked.iter().zip(rows) {
                    let later = (asked.as_of.timestamp()..=9).map(at).skip(1);
                    for as_of in later.take_while(|later| row.until.is_none_or(|until| *later < until)) {
                        let then = set.expected(&history, &Asked { as_of, ..asked.clone() });
                        proptest::prop_assert_eq!(&*row.values, then, "{:?} and at {}", asked, as_of);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn values_that_no_window_no_age_and_no_statement_ahead_can_change_last_for_ever() {
    let database = ScratchDatabase::create().await;
    sqlx::raw_sql(
        "insert into event_statements (user_id, event_id, product_id, kind, event_time, quantity, known_at)
         values ('u0', 'e0', 'p0', 'viewed', to_timestamp(1), 1, to_timestamp(1)),
                ('u1', 'e0', 'p0', 'viewed', to_timestamp(7), 1, to_timestamp(1))",
    )
    .execute(database.store.pool())
    .await
    .unwrap();
    let asked = [asked("u0", 2, 2), asked("u1", 2, 2)];

    let without_a_window = plan(&["activity:acquired"], "marketing", None);
    let lasting = without_a_window.read_lasting(&database.store, &asked).await.unwrap();
    let within_a_window = plan(&["activity:viewed_3s"], "marketing", None);
    let leaving = within_a_window.read_lasting(&database.store, &asked).await.unwrap();

    assert_eq!([lasting[0].until, lasting[1].until], [None, Some(at(7))]);
    assert_eq!([leaving[0].until, leaving[1].until], [Some(at(4)), Some(at(7))]);
}

/// Features of some entities, asked for at every moment by what was known at every moment.
struct Set {
    plan: FeaturePlan,
    /// In ascending order.
    ids: [&'static str; 3],
    /// Which of the features that a history tells.
    places: &'static [usize],
}

fn sets() -> [Set; 4] {
    let features = [
        "activity:spent",
        "profile:income",
        "activity:viewed_3s",
        "activity:acquired",
        "activity:products_5s",
        "activity:last_viewed",
    ];
    let customers = ["nobody", "u0", "u1"];
    [
        Set { plan: plan(&features, "marketing", None), ids: customers, places: &[0, 1, 2, 3, 4, 5] },
        // Nothing of attributes, so that nobody is read apart.
        Set {
            plan: plan(&[features[0], features[3], features[4], features[5]], "marketing", None),
            ids: customers,
            places: &[0, 3, 4, 5],
        },
        // Nothing over all time, so that older events are not read.
        Set { plan: plan(&[features[2], features[4]], "marketing", None), ids: customers, places: &[2, 4] },
        Set {
            plan: plan(&["demand:customers"], "marketing", None),
            ids: ["p of nobody", "p0", "p1"],
            places: &[0],
        },
    ]
}

impl Set {
    fn asked(&self) -> Vec<Asked> {
        let moments = (0..=8).flat_map(|as_of| (0..=8).map(move |known_at| (as_of, known_at)));
        moments.flat_map(|(as_of, known_at)| self.ids.map(|id| asked(id, as_of, known_at))).collect()
    }

    fn expected(&self, history: &History, asked: &Asked) -> Vec<FeatureValue> {
        let all = history.features_of(asked);
        self.places.iter().map(|&place| all[place].clone()).collect()
    }
}

fn believed_of<'a>(id: &str, known: &'a [(UserRecord, DateTime<Utc>)]) -> Option<Believed<'a>> {
    let (record, event_time) = known.iter().find(|(record, _)| record.user_id.as_str() == id)?;
    Some(Believed { attributes: &record.attributes, event_time: *event_time })
}

/// The history, and nothing else.
async fn store(store: &Store, history: &History) {
    for table in ["customer_statements", "event_statements"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("truncate {table}"))).execute(store.pool()).await.unwrap();
    }
    history.write(store).await;
}

#[tokio::test]
async fn rows_come_back_in_the_order_asked_with_repeated_and_unknown_ids() {
    let database = ScratchDatabase::create().await;
    income(&database.store, "u0", 1, r#"{"income": 10.5}"#).await;
    income(&database.store, "u1", 2, r#"{"income": null, "gender": "f"}"#).await;
    let ids = ["nobody", "u1", "u0", "u0"];
    let asked: Vec<Asked> = ids.iter().map(|id| asked(id, 3, 9)).collect();

    let rows = plan(&["profile:income"], "marketing", None).read(&database.store, &asked).await.unwrap();

    let unknown = FeatureValue { status: FeatureStatus::Null, event_time: Some(at(2)), value: None };
    let known = present(at(1), Value::Number(10.5));
    let expected = [nothing(FeatureStatus::NotFound), unknown, known.clone(), known];
    assert_eq!(rows.concat(), expected);
}

#[tokio::test]
async fn a_protected_feature_is_denied_by_name_and_its_neighbours_are_served() {
    let database = ScratchDatabase::create().await;
    income(&database.store, "u0", 1, r#"{"income": 10.5, "gender": "f"}"#).await;
    let features = ["profile:gender", "activity:spent", "profile:income"];
    let (marketing, fairness) = (plan(&features, "marketing", None), plan(&features, "fairness", None));
    let asked = [asked("u0", 2, 9)];

    let offered = marketing.read(&database.store, &asked).await.unwrap().remove(0);
    let watched = fairness.read(&database.store, &asked).await.unwrap().remove(0);

    let statuses =
        |row: &[FeatureValue]| -> Vec<FeatureStatus> { row.iter().map(|value| value.status).collect() };
    use FeatureStatus::{Denied, NotFound, Present};
    assert_eq!(statuses(&offered), [Denied, NotFound, Present]);
    assert_eq!(statuses(&watched), [Present, Denied, Present]);
    let denial = &marketing.denials()[0];
    assert_eq!((denial.feature.to_string().as_str(), denial.protected), ("profile:gender", true));
    assert_eq!(denial.allowed, ["fairness"]);
    assert!(!fairness.denials()[0].protected, "the view itself is not for that");
}

#[tokio::test]
async fn a_value_beyond_its_time_to_live_is_flagged_left_out_or_refused() {
    let database = ScratchDatabase::create().await;
    income(&database.store, "u0", 1, r#"{"income": 10.5}"#).await;
    let read = async |policy, as_of| {
        let plan = plan(&["profile:income"], "marketing", policy);
        plan.read(&database.store, &[asked("u0", as_of, 9)]).await.map(|rows| rows.concat().remove(0))
    };

    let old = |value| FeatureValue { status: FeatureStatus::OutsideMaxAge, event_time: Some(at(1)), value };
    assert_eq!(read(None, 4).await.unwrap(), present(at(1), Value::Number(10.5)), "just in time");
    assert_eq!(read(None, 5).await.unwrap(), old(Some(Value::Number(10.5))));
    assert_eq!(read(Some(ExpiredPolicy::Null), 5).await.unwrap(), old(None));
    let refused = read(Some(ExpiredPolicy::Reject), 5).await.unwrap_err();
    assert!(matches!(refused, StoreError::FeatureExpired { .. }), "{refused}");
    assert!(refused.to_string().starts_with("profile:income of u0 rests on"), "{refused}");
}

#[tokio::test]
async fn an_attribute_of_another_type_than_declared_is_as_good_as_none() {
    let database = ScratchDatabase::create().await;
    income(&database.store, "u0", 1, r#"{"income": "plenty", "gender": true}"#).await;
    let plan = plan(&["profile:income", "profile:gender"], "fairness", None);

    let row = plan.read(&database.store, &[asked("u0", 1, 9)]).await.unwrap().concat();

    assert!(row.iter().all(|value| value.status == FeatureStatus::Null && value.value.is_none()), "{row:?}");
}

#[tokio::test]
async fn a_number_comes_back_bit_for_bit() {
    let database = ScratchDatabase::create().await;
    let numbers = [0.1 + 0.2, f64::MIN_POSITIVE, f64::MAX, 1e23, 123_456_789.123_456_78, -0.0];
    for (place, number) in numbers.iter().enumerate() {
        let attributes = serde_json::json!({ "income": number }).to_string();
        income(&database.store, &format!("u{place}"), 1, &attributes).await;
    }
    let asked: Vec<Asked> = (0..numbers.len()).map(|place| asked(&format!("u{place}"), 1, 9)).collect();

    let rows = plan(&["profile:income"], "marketing", None).read(&database.store, &asked).await.unwrap();

    for (row, number) in rows.iter().zip(numbers) {
        let Some(Value::Number(read)) = row[0].value else { panic!("{row:?}") };
        // Postgres's numbers have one zero, and it has no sign.
        let kept = if number == 0.0 { 0.0 } else { number };
        assert_eq!(read.to_bits(), kept.to_bits(), "{read} {number}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_named() {
    let definitions = Definitions::parse(DEFINITIONS).unwrap();
    let refused = |features: &[&str], purpose| {
        let features: Vec<_> = features.iter().map(|raw| FeatureRef::parse(raw).unwrap()).collect();
        FeaturePlan::compile(&definitions, &features, purpose, None).unwrap_err().to_string()
    };

    assert_eq!(
        refused(&["profile:weight"], "marketing"),
        "features[0] names profile:weight, which is not declared"
    );
    assert_eq!(
        refused(&["profile:income", "demand:customers"], "marketing"),
        "features[1] is of a product, the first is of a customer; ask for them apart"
    );
    assert_eq!(
        refused(&["profile:income", "profile:income"], "marketing"),
        "features[1] names profile:income a second time"
    );
    assert_eq!(refused(&[], "marketing"), "features has 0 entries, 1 to 1000 are allowed");
    assert_eq!(
        refused(&["profile:income"], "curiosity"),
        "purpose is \"curiosity\"; declared are fairness, marketing"
    );
    assert_eq!(refused(&["profile:income"], ""), "purpose is missing; declared are fairness, marketing");
}

async fn income(store: &Store, user_id: &str, event_time: i64, attributes: &str) {
    sqlx::query(
        "insert into customer_statements (user_id, attributes, event_time, known_at) values ($1, $2::jsonb, $3, $4)",
    )
    .bind(user_id)
    .bind(attributes)
    .bind(at(event_time))
    .bind(at(0))
    .execute(store.pool())
    .await
    .unwrap();
}
