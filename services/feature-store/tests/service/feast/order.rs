//! Whole statements and pushed ones in any order of arrival, some of them again, held to the plain rule: in the order of
//! their times a whole one replaces all that was known, and a pushed one what it states.

use std::collections::{BTreeMap, HashMap};

use finrank_contracts::{
    common::v1::{AttributeValue, Customer, attribute_value::Kind},
    feast::{
        server::PushRequest,
        types::{Value, value::Val},
    },
    feature::v1::WriteCustomersRequest,
};
use futures::stream;
use proptest::{collection::btree_map, prelude::*, test_runner::TestRunner};
use serde_json::Value as Json;
use tokio::runtime::Runtime;

use super::{push, text, value};
use crate::support::{FeatureStore, samples::at};

/// What one statement says of each attribute: a number, or that it is not known.
type Says = BTreeMap<&'static str, Option<u8>>;
/// What is known.
type Known = BTreeMap<String, f64>;

#[derive(Clone, Debug)]
enum Said {
    Whole(Says),
    Pushed(Says),
}

fn says() -> impl Strategy<Value = Says> {
    let attribute = prop::sample::select(vec!["annual_income", "savings", "risk_tolerance"]);
    btree_map(attribute, prop::option::weighted(0.8, any::<u8>()), 1..3)
}

/// Statements by their times (s), and an order in which they arrive, some of them again.
fn arrivals() -> impl Strategy<Value = (BTreeMap<i64, Said>, Vec<i64>)> {
    let said = prop_oneof![1 => says().prop_map(Said::Whole), 3 => says().prop_map(Said::Pushed)];
    btree_map(0..8_i64, said, 1..7).prop_flat_map(|said| {
        let mut arriving: Vec<i64> = said.keys().copied().collect();
        arriving.extend(said.keys().step_by(2));
        (Just(said), Just(arriving).prop_shuffle())
    })
}

#[test]
fn what_is_believed_does_not_depend_on_the_order_in_which_statements_came() {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(FeatureStore::start());
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&arrivals(), |(said, order)| {
            let believed = runtime.block_on(async {
                store.execute("truncate customer_statements").await;
                for time in order {
                    say(&store, time, &said[&time]).await;
                }
                believed(&store).await
            });

            prop_assert_eq!(believed, plainly(&said));
            Ok(())
        })
        .unwrap();
}

/// What is known at the time of each statement.
fn plainly(said: &BTreeMap<i64, Said>) -> BTreeMap<i64, Known> {
    let mut known = Known::new();
    let mut at_each = BTreeMap::new();
    for (time, said) in said {
        let says = match said {
            Said::Whole(says) => {
                known.clear();
                says
            }
            Said::Pushed(says) => says,
        };
        for (attribute, number) in says {
            match number {
                Some(number) => known.insert((*attribute).to_owned(), (*number).into()),
                None => known.remove(*attribute),
            };
        }
        at_each.insert(*time, known.clone());
    }
    at_each
}

async fn say(store: &FeatureStore, time: i64, said: &Said) {
    match said {
        Said::Whole(says) => {
            let known = says.iter().filter_map(|(attribute, number)| Some((attribute, (*number)?)));
            let attributes = known.map(|(attribute, number)| {
                (attribute.to_string(), AttributeValue { kind: Some(Kind::Number(number.into())) })
            });
            let customer = Customer {
                user_id: "u1".to_owned(),
                attributes: attributes.collect(),
                event_time: Some(at(time)),
                ..Customer::default()
            };
            let message = WriteCustomersRequest { customers: vec![customer] };
            store.client.clone().write_customers(stream::iter([message])).await.unwrap();
        }
        Said::Pushed(says) => {
            let mut typed_features: HashMap<String, Value> = says
                .iter()
                .map(|(attribute, number)| {
                    let number = number.map(|number| Val::DoubleVal(number.into()));
                    (attribute.to_string(), Value { val: number })
                })
                .collect();
            typed_features.insert("user_id".to_owned(), text("u1"));
            typed_features.insert("event_timestamp".to_owned(), value(Val::UnixTimestampVal(time)));
            let row = PushRequest {
                typed_features,
                stream_feature_view: "customer_profile".to_owned(),
                to: "online".to_owned(),
                ..PushRequest::default()
            };
            push(store, row).await.unwrap();
        }
    }
}

/// What the store believes at the time of each statement.
async fn believed(store: &FeatureStore) -> BTreeMap<i64, Known> {
    let rows: Vec<(i64, Json)> = sqlx::query_as(
        "select distinct on (event_time) extract(epoch from event_time)::bigint, attributes
         from customer_statements order by event_time, revision desc",
    )
    .fetch_all(store.database.store.pool())
    .await
    .unwrap();
    rows.into_iter().map(|(time, attributes)| (time, serde_json::from_value(attributes).unwrap())).collect()
}
