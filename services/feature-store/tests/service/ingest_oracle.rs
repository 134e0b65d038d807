//! What is believed follows from the statements alone: any order of arrival, any batching and any repetition are
//! held to the plain rule.

use std::collections::{BTreeMap, BTreeSet};

use finrank_contracts::{
    common::v1::{AttributeValue, Customer, Event, EventKind, attribute_value::Kind},
    feature::v1::{WriteCustomersRequest, WriteEventsRequest},
};
use futures::stream;
use proptest::{
    collection::{btree_map, btree_set},
    prelude::*,
    test_runner::TestRunner,
};
use tokio::runtime::Runtime;

use crate::support::{
    FeatureStore,
    samples::{at, event_message},
};

/// One of three subjects, when (s), which revision, and whether that takes the statement back.
type Said = (u8, i64, u32, bool);

/// What is said, each statement under a name of its own.
fn history() -> impl Strategy<Value = Vec<Said>> {
    let name = (0..3_u8, 0..4_i64, 0..4_u32);
    (btree_set(name, 1..14), any::<u64>()).prop_map(|(names, coins)| {
        let retracted = |place: usize, revision| revision > 0 && coins >> place & 1 == 1;
        let said = names.into_iter().enumerate();
        said.map(|(place, (who, when, revision))| (who, when, revision, retracted(place, revision))).collect()
    })
}

/// The statements as they arrive: in any order, some of them again, cut into messages.
fn arrivals() -> impl Strategy<Value = (Vec<Said>, Vec<Vec<Said>>)> {
    (history(), any::<prop::sample::Index>(), 1..5_usize).prop_flat_map(|(said, again, rows)| {
        let mut arriving = said.clone();
        arriving.extend_from_slice(&said[again.index(said.len())..]);
        let messages = Just(arriving)
            .prop_shuffle()
            .prop_map(move |order| order.chunks(rows).map(<[_]>::to_vec).collect());
        (Just(said), messages)
    })
}

/// Of each subject and moment the highest revision, unless that takes it back.
fn standing(said: &[Said]) -> BTreeMap<(u8, i64), u32> {
    let mut highest: BTreeMap<(u8, i64), (u32, bool)> = BTreeMap::new();
    for &(who, when, revision, retracted) in said {
        let known = highest.entry((who, when)).or_insert((revision, retracted));
        *known = (*known).max((revision, retracted));
    }
    let stands = highest.into_iter().filter(|(_, (_, retracted))| !retracted);
    stands.map(|(of, (revision, _))| (of, revision)).collect()
}

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })
}

#[test]
fn a_customer_is_what_the_latest_standing_statement_says_in_whatever_order_they_came() {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(FeatureStore::start());
    runner()
        .run(&arrivals(), |(said, messages)| {
            let (believed, accepted) = runtime.block_on(write_customers(&store, &messages));

            let mut latest = BTreeMap::new();
            for ((who, when), revision) in standing(&said) {
                latest.insert(format!("u{who}"), (when, i64::from(revision)));
            }
            prop_assert_eq!(believed, latest);
            prop_assert_eq!(accepted, said.len() as u64);
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_event_is_what_its_highest_revision_says_in_whatever_order_they_came() {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(FeatureStore::start());
    runner()
        .run(&arrivals(), |(said, messages)| {
            let (believed, accepted) = runtime.block_on(write_events(&store, &messages));

            let stands = standing(&said);
            let expected =
                stands.into_iter().map(|((who, id), revision)| (format!("u{who}"), id, revision.into()));
            prop_assert_eq!(believed, expected.collect());
            prop_assert_eq!(accepted, said.len() as u64);
            Ok(())
        })
        .unwrap();
}

/// Acquired and closed events of one customer and product: id, when (s), revision, whether it is taken back, whether
/// it closes.
type Dealt = (u8, i64, u32, bool, bool);

/// Few moments, so that many share theirs, and an order in which they arrive.
fn dealings() -> impl Strategy<Value = (Vec<Dealt>, Vec<Dealt>)> {
    let name = (0..4_u8, 0..3_u32);
    btree_map(name, (0..3_i64, any::<bool>(), any::<bool>()), 1..9).prop_flat_map(|dealt| {
        let dealt: Vec<Dealt> = dealt
            .into_iter()
            .map(|((id, revision), (when, retracted, closes))| {
                (id, when, revision, retracted && revision > 0, closes)
            })
            .collect();
        (Just(dealt.clone()), Just(dealt).prop_shuffle())
    })
}

#[test]
fn what_is_held_follows_from_times_and_kinds_in_whatever_order_they_came() {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(FeatureStore::start());
    runner()
        .run(&dealings(), |(dealt, arriving)| {
            let held = runtime.block_on(async {
                store.execute("truncate event_statements").await;
                for dealt in &arriving {
                    let message = WriteEventsRequest { events: vec![dealing(dealt)] };
                    store.client.clone().write_events(stream::iter([message])).await.unwrap();
                }
                store.count("select count(*) from holdings").await
            });

            let mut standing: BTreeMap<u8, &Dealt> = BTreeMap::new();
            for dealt in &dealt {
                // In the order of revisions, so that the highest is what stays.
                standing.insert(dealt.0, dealt);
            }
            let stands = standing.into_values().filter(|(.., retracted, _)| !retracted);
            // What is acquired and closed at one time is closed.
            let latest = stands.map(|(_, when, _, _, closes)| (when, closes)).max();
            prop_assert_eq!(held, i64::from(latest.is_some_and(|(_, closes)| !closes)));
            Ok(())
        })
        .unwrap();
}

/// Writes into an empty table; returns what is believed of each customer then, and how many rows were new.
async fn write_customers(
    store: &FeatureStore,
    messages: &[Vec<Said>],
) -> (BTreeMap<String, (i64, i64)>, u64) {
    store.execute("truncate customer_statements").await;
    let requests: Vec<WriteCustomersRequest> = messages
        .iter()
        .map(|rows| WriteCustomersRequest { customers: rows.iter().map(customer).collect() })
        .collect();
    let response = store.client.clone().write_customers(stream::iter(requests)).await.unwrap();
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select user_id, extract(epoch from event_time)::bigint, (attributes -> 'revision')::bigint from customers",
    )
    .fetch_all(store.database.store.pool())
    .await
    .unwrap();
    let believed = rows.into_iter().map(|(user, time, revision)| (user, (time, revision)));
    (believed.collect(), response.into_inner().summary.unwrap().accepted)
}

/// As [`write_customers`]; an event's id is its `when`, and its time depends on its revision.
async fn write_events(store: &FeatureStore, messages: &[Vec<Said>]) -> (BTreeSet<(String, i64, i64)>, u64) {
    store.execute("truncate event_statements").await;
    let requests: Vec<WriteEventsRequest> =
        messages.iter().map(|rows| WriteEventsRequest { events: rows.iter().map(event).collect() }).collect();
    let response = store.client.clone().write_events(stream::iter(requests)).await.unwrap();
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select user_id, event_id::bigint, extract(epoch from event_time)::bigint from events",
    )
    .fetch_all(store.database.store.pool())
    .await
    .unwrap();
    (rows.into_iter().collect(), response.into_inner().summary.unwrap().accepted)
}

fn customer(&(who, when, revision, retracted): &Said) -> Customer {
    let value = AttributeValue { kind: Some(Kind::Number(revision.into())) };
    Customer {
        user_id: format!("u{who}"),
        attributes: [("revision".to_owned(), value)].into(),
        event_time: Some(at(when)),
        revision,
        retracted,
    }
}

fn dealing(&(id, when, revision, retracted, closes): &Dealt) -> Event {
    let kind = if closes { EventKind::Closed } else { EventKind::Acquired };
    Event { revision, retracted, ..event_message(&id.to_string(), "u", "p", kind, when) }
}

fn event(&(who, when, revision, retracted): &Said) -> Event {
    let said = event_message(&when.to_string(), &format!("u{who}"), "p", EventKind::Viewed, revision.into());
    Event { revision, retracted, ..said }
}
