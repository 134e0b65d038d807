//! Batched writes held to the plain rule, one row after the other: a row counts if it is later than what is
//! known.

use std::collections::BTreeMap;

use finrank_contracts::{
    common::v1::{AttributeValue, Customer, attribute_value::Kind},
    feature::v1::WriteCustomersRequest,
};
use futures::stream;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use tokio::runtime::Runtime;

use crate::support::{FeatureStore, samples::at};

/// A write of a customer: who, since when (s), and what.
type Write = (u8, i64, u32);

#[test]
fn any_batching_of_any_writes_keeps_what_one_by_one_would_keep() {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(FeatureStore::start());
    let streams = vec(vec((0..5u8, 0..6i64, any::<u32>()), 1..12), 0..4);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() });

    runner
        .run(&streams, |messages| {
            let (kept, counted) = runtime.block_on(write(&store, &messages));

            prop_assert_eq!(kept, one_by_one(&messages));
            prop_assert_eq!(counted, messages.iter().map(Vec::len).sum::<usize>() as u64);
            Ok(())
        })
        .unwrap();
}

/// What is kept of each customer: since when, and what.
fn one_by_one(messages: &[Vec<Write>]) -> BTreeMap<String, (i64, u32)> {
    let mut kept = BTreeMap::new();
    for &(user, time, value) in messages.iter().flatten() {
        let known = kept.entry(format!("u{user}")).or_insert((time, value));
        if time > known.0 {
            *known = (time, value);
        }
    }
    kept
}

/// Writes into an empty table, and returns what it holds then and how many rows were counted.
async fn write(store: &FeatureStore, messages: &[Vec<Write>]) -> (BTreeMap<String, (i64, u32)>, u64) {
    store.execute("truncate customers").await;
    let requests: Vec<WriteCustomersRequest> = messages
        .iter()
        .map(|rows| WriteCustomersRequest { customers: rows.iter().map(customer).collect() })
        .collect();
    let response = store.client.clone().write_customers(stream::iter(requests)).await.unwrap();
    let summary = response.into_inner().summary.unwrap();
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select user_id, extract(epoch from event_time)::bigint, (attributes -> 'value')::bigint from customers",
    )
    .fetch_all(store.database.store.pool())
    .await
    .unwrap();
    let kept = rows.into_iter().map(|(user, time, value)| (user, (time, u32::try_from(value).unwrap())));
    (kept.collect(), summary.accepted + summary.duplicate)
}

fn customer(&(user, time, value): &Write) -> Customer {
    let value = AttributeValue { kind: Some(Kind::Number(value.into())) };
    Customer {
        user_id: format!("u{user}"),
        attributes: [("value".to_owned(), value)].into(),
        event_time: Some(at(time)),
    }
}
