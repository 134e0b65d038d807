//! Writing.

use std::collections::HashMap;

use chrono::Utc;
use finrank_contracts::{
    common::v1::{AttributeValue, Customer, Product, attribute_value::Kind},
    feast::{
        server::{PushRequest, WriteToOnlineStoreRequest},
        serving::{FieldStatus::NullValue, GetOnlineFeaturesRequest},
        types::{Null, Value, value::Val},
    },
    feature::v1::WriteCustomersRequest,
};
use futures::{future, stream};
use tonic::{Code, Status};

use super::{
    INCOME, column, days_ago, feast, features, field, of_customers, online, profile, purpose, push, statuses,
    text, value,
};
use crate::support::{
    FeatureStore,
    samples::{at, product, product_message},
};

const SAVINGS: &str = "customer_profile:savings";

/// The income and the savings of a customer, as a client reads them.
pub(super) async fn profile_of(store: &FeatureStore, user_id: &str) -> [Option<f64>; 2] {
    let answer = online(store, of_customers(&[INCOME, SAVINGS], &[user_id])).await.unwrap();
    [1, 2].map(|column| match answer.results[column].values[0].val {
        Some(Val::DoubleVal(number)) => Some(number),
        None => None,
        ref other => panic!("{other:?}"),
    })
}

async fn statements(store: &FeatureStore) -> i64 {
    let count = "select count(*) from customer_statements";
    sqlx::query_scalar(count).fetch_one(store.database.store.pool()).await.unwrap()
}

#[tokio::test]
async fn a_client_reads_what_it_has_pushed_beside_what_was_believed() {
    let store = FeatureStore::start().await;

    push(&store, profile("u1", &days_ago(3), &[("annual_income", "10"), ("savings", "1")])).await.unwrap();
    push(&store, profile("u1", &days_ago(2), &[("savings", "2")])).await.unwrap();

    assert_eq!(profile_of(&store, "u1").await, [Some(10.0), Some(2.0)]);
}

#[tokio::test]
async fn the_same_push_again_changes_nothing() {
    let store = FeatureStore::start().await;
    let rows = [
        profile("u1", &days_ago(3), &[("annual_income", "10")]),
        profile("u1", &days_ago(2), &[("savings", "2")]),
    ];

    for row in &rows {
        push(&store, row.clone()).await.unwrap();
    }
    let first = statements(&store).await;
    for row in &rows {
        push(&store, row.clone()).await.unwrap();
    }

    assert_eq!((first, statements(&store).await), (2, 2));
    assert_eq!(profile_of(&store, "u1").await, [Some(10.0), Some(2.0)]);
}

#[tokio::test]
async fn an_older_push_never_beats_a_newer_one_and_shines_through_where_it_does_not_meet_one() {
    let store = FeatureStore::start().await;

    push(&store, profile("u1", &days_ago(2), &[("annual_income", "20")])).await.unwrap();
    push(&store, profile("u1", &days_ago(3), &[("annual_income", "10"), ("savings", "1")])).await.unwrap();

    assert_eq!(profile_of(&store, "u1").await, [Some(20.0), Some(1.0)]);
}

#[tokio::test]
async fn concurrent_pushes_to_one_customer_all_count() {
    let store = FeatureStore::start().await;
    let columns = ["annual_income", "savings", "risk_tolerance"];
    let times: Vec<String> = (0..4).map(days_ago).collect();
    let rows = times.iter().enumerate().flat_map(|(day, time)| {
        columns.map(|column| profile("u1", time, &[(column, &format!("{}", 10 - day))]))
    });

    let pushed = future::join_all(rows.map(|row| push(&store, row))).await;

    assert!(pushed.iter().all(Result::is_ok), "{pushed:?}");
    assert_eq!(profile_of(&store, "u1").await, [Some(10.0), Some(10.0)]);
    let answer = online(&store, of_customers(&["customer_profile:risk_tolerance"], &["u1"])).await.unwrap();
    assert_eq!(answer.results[1].values, [value(Val::DoubleVal(10.0))]);
}

#[tokio::test]
async fn whole_statements_and_pushes_that_come_at_once_do_not_miss_each_other() {
    let store = FeatureStore::start().await;
    let user_ids: Vec<String> = (0..40).map(|user| format!("u{user}")).collect();
    let whole = |user_id: &String| Customer {
        user_id: user_id.clone(),
        attributes: ["annual_income", "savings"]
            .map(|name| (name.to_owned(), AttributeValue { kind: Some(Kind::Number(1.0)) }))
            .into(),
        event_time: Some(at(Utc::now().timestamp() - 3 * 24 * 3600)),
        ..Customer::default()
    };
    let pushed = future::join_all(user_ids.iter().map(|user_id| {
        let row = profile(user_id, &days_ago(2), &[("savings", "2")]);
        push(&store, row)
    }));
    let mut client = store.client.clone();
    let written = async {
        for user_id in &user_ids {
            let message = WriteCustomersRequest { customers: vec![whole(user_id)] };
            client.write_customers(stream::iter([message])).await.unwrap();
        }
    };

    let (pushed, ()) = future::join(pushed, written).await;

    assert!(pushed.iter().all(Result::is_ok), "{pushed:?}");
    for user_id in &user_ids {
        assert_eq!(profile_of(&store, user_id).await, [Some(1.0), Some(2.0)], "{user_id}");
    }
}

#[tokio::test]
async fn a_push_at_the_time_of_a_whole_statement_corrects_it_and_leaves_it_whole() {
    let store = FeatureStore::start().await;
    let now = Utc::now().timestamp();
    let whole = |name: &str, seconds: i64| Customer {
        user_id: "u1".to_owned(),
        attributes: [(name.to_owned(), AttributeValue { kind: Some(Kind::Number(1.0)) })].into(),
        event_time: Some(at(seconds)),
        ..Customer::default()
    };
    let time = chrono::DateTime::from_timestamp(now - 60, 0).unwrap().to_rfc3339();
    let write = async |customer: Customer| {
        let message = WriteCustomersRequest { customers: vec![customer] };
        store.client.clone().write_customers(stream::iter([message])).await.unwrap();
    };

    write(whole("annual_income", now - 60)).await;
    push(&store, profile("u1", &time, &[("savings", "2")])).await.unwrap();
    write(whole("risk_tolerance", now - 90)).await;

    assert_eq!(profile_of(&store, "u1").await, [Some(1.0), Some(2.0)]);
    let answer = online(&store, of_customers(&["customer_profile:risk_tolerance"], &["u1"])).await.unwrap();
    assert_eq!(statuses(&answer, 1), [NullValue], "what is older than a whole statement is over");
}

#[tokio::test]
async fn typed_columns_are_taken_and_null_says_that_nothing_is_known_any_more() {
    let store = FeatureStore::start().await;
    let noon = 1_767_355_200;
    let row = |income: Value, seconds: i64| WriteToOnlineStoreRequest {
        typed_features: [
            ("user_id".to_owned(), text("u1")),
            ("event_timestamp".to_owned(), value(Val::UnixTimestampVal(seconds))),
            ("annual_income".to_owned(), income),
            ("owns_home".to_owned(), value(Val::BoolVal(true))),
        ]
        .into(),
        feature_view_name: "customer_profile".to_owned(),
        ..WriteToOnlineStoreRequest::default()
    };
    let wanted = [INCOME, "customer_profile:owns_home"];

    let mut client = feast(&store).await;
    client.write_to_online_store(row(value(Val::Int64Val(7)), noon)).await.unwrap();
    let known = online(&store, of_customers(&wanted, &["u1"])).await.unwrap();
    client.write_to_online_store(row(value(Val::NullVal(Null::Null.into())), noon + 1)).await.unwrap();
    let unknown = online(&store, of_customers(&wanted, &["u1"])).await.unwrap();

    assert_eq!(known.results[1].values, [value(Val::DoubleVal(7.0))]);
    assert_eq!(known.results[1].event_timestamps[0].seconds, noon);
    assert_eq!(statuses(&unknown, 1), [NullValue]);
    assert_eq!(unknown.results[2].values, [value(Val::BoolVal(true))]);
}

#[tokio::test]
async fn refuses_what_cannot_be_written_and_names_it() {
    let store = FeatureStore::start().await;
    let refused = async |change: fn(&mut PushRequest)| {
        let mut row = profile("u1", "2026-01-02T12:00:00Z", &[("annual_income", "10")]);
        change(&mut row);
        let status = push(&store, row).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        field(&status)
    };
    fn set(row: &mut PushRequest, name: &str, text: &str) {
        row.features.insert(name.to_owned(), text.to_owned());
    }

    assert_eq!(refused(|row| set(row, "shoe_size", "43")).await, "features[shoe_size]");
    assert_eq!(refused(|row| set(row, "annual_income", "much")).await, "features[annual_income]");
    assert_eq!(refused(|row| set(row, "annual_income", "inf")).await, "features[annual_income]");
    assert_eq!(refused(|row| set(row, "owns_home", "1")).await, "features[owns_home]");
    assert_eq!(refused(|row| set(row, "event_timestamp", "noon")).await, "features[event_timestamp]");
    assert_eq!(refused(|row| set(row, "user_id", "")).await, "features[user_id]");
    assert_eq!(refused(|row| drop(row.features.remove("user_id"))).await, "features[user_id]");
    assert_eq!(
        refused(|row| drop(row.features.remove("event_timestamp"))).await,
        "features[event_timestamp]"
    );
    assert_eq!(refused(|row| drop(row.features.remove("annual_income"))).await, "features");
    assert_eq!(refused(|row| row.features.clear()).await, "features");
    let both = |row: &mut PushRequest| {
        row.typed_features.insert("annual_income".to_owned(), value(Val::DoubleVal(1.0)));
    };
    assert_eq!(refused(both).await, "typed_features");
    let list = |row: &mut PushRequest| {
        row.typed_features = typed(row, value(Val::ListVal(column([]))));
    };
    assert_eq!(refused(list).await, "typed_features[annual_income]");
    assert_eq!(refused(|row| row.to = "offline".to_owned()).await, "to");
    assert_eq!(refused(|row| row.to.clear()).await, "to");
    assert_eq!(refused(|row| row.stream_feature_view = "none".to_owned()).await, "stream_feature_view");
    let of_events = |row: &mut PushRequest| row.stream_feature_view = "customer_activity".to_owned();
    assert_eq!(refused(of_events).await, "stream_feature_view");
    assert_eq!(statements(&store).await, 0);
}

/// The columns of a row as values, with another income.
fn typed(row: &mut PushRequest, income: Value) -> HashMap<String, Value> {
    let texts = std::mem::take(&mut row.features).into_iter().map(|(name, column)| (name, text(&column)));
    let mut columns: HashMap<String, Value> = texts.collect();
    columns.insert("annual_income".to_owned(), income);
    columns
}

pub(super) const PRODUCT_TERMS: &str = r#"
version = 1

[[purpose]]
name = "marketing"
description = "Offers."

[[view]]
name = "product_terms"
entity = "product"
source = "attributes"
description = "What a product costs."
owner = "product-management"
sensitivity = "public"
purposes = ["marketing"]
feature = [
    { name = "fee", type = "number", description = "A month." },
    { name = "rate", type = "number", description = "A year." },
]
"#;

#[tokio::test]
async fn a_product_is_pushed_only_once_it_exists_and_keeps_everything_else() {
    let mut store = FeatureStore::start_defining(PRODUCT_TERMS).await;
    let row = |seconds: i64| PushRequest {
        typed_features: [
            ("product_id".to_owned(), text("p0001")),
            ("event_timestamp".to_owned(), value(Val::UnixTimestampVal(seconds))),
            ("rate".to_owned(), value(Val::DoubleVal(2.5))),
        ]
        .into(),
        stream_feature_view: "product_terms".to_owned(),
        to: "online_and_offline".to_owned(),
        ..PushRequest::default()
    };
    let refusal = |status: Status| (status.code(), field(&status));

    let unknown = push(&store, row(150)).await.unwrap_err();
    let written: Product = product_message(&product(1), 100);
    store.write_products(vec![written.clone()]).await;
    let too_early = push(&store, row(50)).await.unwrap_err();
    push(&store, row(150)).await.unwrap();

    assert_eq!(refusal(unknown), (Code::NotFound, "product_id".to_owned()));
    assert_eq!(refusal(too_early), (Code::NotFound, "product_id".to_owned()));
    let request = GetOnlineFeaturesRequest {
        kind: features(&["product_terms:fee", "product_terms:rate"]),
        entities: [("product_id".to_owned(), column([text("p0001")]))].into(),
        request_context: purpose("marketing"),
        ..GetOnlineFeaturesRequest::default()
    };
    let answer = online(&store, request).await.unwrap();
    assert_eq!(answer.results[1].values, [value(Val::DoubleVal(1.0 / 3.0))]);
    assert_eq!(answer.results[2].values, [value(Val::DoubleVal(2.5))]);
    let name: String =
        sqlx::query_scalar("select name from products").fetch_one(store.database.store.pool()).await.unwrap();
    assert_eq!(name, written.name);
}
