//! Postgres's clock going back, under a server that reads and writes by it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1::{
    FeatureSelection, GetFeaturesAsOfRequest, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse,
    WriteCustomersRequest, feature_value::Value,
};
use finrank_feature_store::CacheConfig;
use finrank_store::{DatabaseConfig, Store, scratch::ScratchDatabase};
use futures::stream;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{days_ago, income},
};

/// Puts a clock of the test's own before Postgres's, for sessions to come.
const CLOCK: &str = "
create schema test;
create table test.clock (step interval not null);
insert into test.clock values ('0');
create function test.clock_timestamp() returns timestamptz language sql volatile as
    $$ select pg_catalog.clock_timestamp() + step from test.clock $$;
create function test.now() returns timestamptz language sql volatile as
    $$ select pg_catalog.now() + step from test.clock $$;
do $$ begin
    execute format('alter database %I set search_path = public, test, pg_catalog', current_database());
end $$";

async fn start_with_a_clock() -> FeatureStore {
    let database = ScratchDatabase::create().await;
    sqlx::raw_sql(CLOCK).execute(database.store.pool()).await.unwrap();
    let config = DatabaseConfig { url: database.store.url().to_owned(), ..DatabaseConfig::default() };
    let store = Store::connect(&config).await.unwrap();
    FeatureStore::start_connected_configured(database, store, |config| config.cache = CacheConfig::default())
        .await
}

fn selection() -> Option<FeatureSelection> {
    Some(FeatureSelection {
        features: vec!["customer_profile:annual_income".to_owned()],
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    })
}

async fn online(store: &mut FeatureStore) -> GetOnlineFeaturesResponse {
    let request = GetOnlineFeaturesRequest { selection: selection(), entity_ids: vec!["u1".to_owned()] };
    store.client.get_online_features(request).await.unwrap().into_inner()
}

fn value(answer: &GetOnlineFeaturesResponse) -> Option<Value> {
    answer.rows[0].values[0].value.clone()
}

#[tokio::test]
async fn while_the_clock_stands_before_what_was_read_nothing_is_written_and_nothing_is_lost() {
    let mut store = start_with_a_clock().await;
    store.write_customers(vec![income("u1", 1.0, days_ago(9), 0)]).await;
    let before = online(&mut store).await;
    let later = || WriteCustomersRequest { customers: vec![income("u1", 2.0, days_ago(8), 0)] };

    store.execute("update test.clock set step = '-5s'").await;
    let refused = store.client.write_customers(stream::iter([later()])).await.unwrap_err();
    let meanwhile = online(&mut store).await;
    // All but caught up: whoever writes then is kept waiting for a moment.
    let catch_up =
        "update test.clock set step = known_until() - pg_catalog.clock_timestamp() - interval '200ms'";
    store.execute(catch_up).await;
    let accepted = store.client.write_customers(stream::iter([later()])).await.unwrap().into_inner();
    let mut after = online(&mut store).await;
    while value(&after) == value(&before) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        after = online(&mut store).await;
    }

    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "CLOCK_WENT_BACK");
    assert!(refused.get_details_retry_info().is_some());
    assert_eq!(accepted.summary.unwrap().accepted, 1);
    let read = [&before, &meanwhile, &after].map(value);
    assert_eq!(read, [1.0, 1.0, 2.0].map(|income| Some(Value::Number(income))));
    for answer in [before, meanwhile, after] {
        let request = GetFeaturesAsOfRequest {
            selection: selection(),
            entity_ids: vec!["u1".to_owned()],
            moment: answer.header.unwrap().known_at,
            definitions_sha256: String::new(),
        };
        let again = store.client.get_features_as_of(request).await.unwrap().into_inner();
        assert_eq!(again.rows, answer.rows);
    }
}

#[tokio::test]
async fn what_was_read_before_a_crash_stays_so() {
    let database = ScratchDatabase::create().await;
    let moment = async |query: &'static str| -> DateTime<Utc> {
        sqlx::query_scalar(query).fetch_one(database.store.pool()).await.unwrap()
    };

    let read = moment("select reach(null)").await;
    // What is not logged is as at first after a crash.
    moment("select as_moment(setval('published_until', 1, false))").await;
    let after_the_crash = moment("select known_until()").await;
    let reached = moment("select reach(clock_timestamp() + interval '10s')").await;
    let said_by_it = moment("select known_until()").await;

    assert!(after_the_crash >= read, "{after_the_crash} {read}");
    assert!(said_by_it > reached + Duration::from_secs(9), "{said_by_it} {reached}");
}
