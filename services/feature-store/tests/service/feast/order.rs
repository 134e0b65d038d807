//! Whole statements, their corrections and retractions, and pushed ones in any order of arrival, some of them again, held
//! to the plain rule: in the order of their times a whole one replaces all that was known, and a pushed one what it states;
//! of one time the highest revision is the whole one, unless it takes it back, and what was pushed lies over it.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_contracts::{
    common::v1::{AttributeValue, Customer, Product, ProductClass, ProductStatus, attribute_value::Kind},
    feast::{
        server::PushRequest,
        types::{Value, value::Val},
    },
    feature::v1::{WriteCustomersRequest, WriteProductsRequest},
};
use finrank_model::features::{Definitions, Entity, FeatureRef};
use finrank_store::features::{Asked, FeaturePlan, FeatureValue, Value as FeatureValueKind};
use futures::stream;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    test_runner::TestRunner,
};
use tokio::runtime::Runtime;
use tonic::Code;

use super::{push, text, value};
use crate::support::{FeatureStore, samples::at};

const ATTRIBUTES: [&str; 3] = ["fee", "rate", "limit"];
/// Statements are true since one of so many seconds.
const TIMES: i64 = 4;

/// What one statement says of each attribute: a number, or that it is not known.
type Says = BTreeMap<&'static str, Option<u8>>;

/// A statement and since when it is true (s).
#[derive(Clone, Debug)]
struct Said {
    time: i64,
    how: How,
    says: Says,
}

#[derive(Clone, Debug)]
enum How {
    /// `other` stands for all that a product is beside its attributes.
    Whole {
        revision: u32,
        retracted: bool,
        other: u8,
    },
    Pushed,
}

/// What is known.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    attributes: BTreeMap<&'static str, u8>,
    /// Nothing of a customer who was only ever pushed.
    other: Option<u8>,
}

fn says() -> impl Strategy<Value = Says> {
    btree_map(prop::sample::select(&ATTRIBUTES), prop::option::weighted(0.8, any::<u8>()), 1..3)
}

/// Statements as they arrive, in any order and some of them again: whole ones by their times and revisions, and pushed
/// ones, perhaps several of one time.
fn arrivals() -> impl Strategy<Value = Vec<Said>> {
    let whole = btree_map((0..TIMES, 0..3_u32), (says(), any::<bool>(), any::<u8>()), 0..6);
    let whole = whole.prop_map(|named| {
        let said = named.into_iter().map(|((time, revision), (says, retracted, other))| Said {
            time,
            how: How::Whole { revision, retracted: retracted && revision > 0, other },
            says,
        });
        said.collect::<Vec<_>>()
    });
    let pushed = (0..TIMES, says()).prop_map(|(time, says)| Said { time, how: How::Pushed, says });
    (whole, vec(pushed, 1..6)).prop_flat_map(|(whole, pushed)| {
        let said = [whole, pushed].concat();
        let again = said.iter().step_by(3).cloned();
        Just(said.iter().cloned().chain(again).collect::<Vec<_>>()).prop_shuffle()
    })
}

#[test]
fn what_is_believed_does_not_depend_on_the_order_in_which_statements_came() {
    held_to_the_plain_rule(Entity::Customer);
}

#[test]
fn a_product_is_what_its_statements_say_in_whatever_order_they_came() {
    held_to_the_plain_rule(Entity::Product);
}

fn held_to_the_plain_rule(entity: Entity) {
    let definitions = definitions(entity);
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(FeatureStore::start_defining(&definitions));
    let plan = plan(&definitions);
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&arrivals(), |arriving| {
            runtime.block_on(async {
                store.execute("truncate customer_statements, product_statements").await;
                let mut arrived = Vec::new();
                for said in arriving {
                    let nothing_yet = known_at(&arrived, said.time, entity).is_none();
                    let written = say(&store, &said, entity).await;
                    if entity == Entity::Product && nothing_yet && matches!(said.how, How::Pushed) {
                        prop_assert_eq!(written.unwrap_err().code(), Code::NotFound);
                    } else {
                        written.unwrap();
                        arrived.push(said);
                    }
                }

                for time in 0..TIMES {
                    let known = known_at(&arrived, time, entity).unwrap_or_default();
                    prop_assert_eq!(believed_at(&store, &plan, time).await, known.attributes, "at {}", time);
                }
                let known = known_at(&arrived, TIMES, entity).and_then(|known| known.other);
                if entity == Entity::Product {
                    prop_assert_eq!(product(&store).await, known.map(columns));
                }
                Ok(())
            })
        })
        .unwrap();
}

/// What is known at a time; nothing if there is no such customer or product.
fn known_at(arrived: &[Said], time: i64, entity: Entity) -> Option<Known> {
    let mut known: Option<Known> = None;
    for time in 0..=time {
        let at_it = || arrived.iter().filter(move |said| said.time == time);
        let revision = |said: &&Said| match said.how {
            How::Whole { revision, .. } => Some(revision),
            How::Pushed => None,
        };
        let highest = at_it().filter(|said| revision(said).is_some()).max_by_key(revision);
        if let Some(Said { how: How::Whole { retracted: false, other, .. }, says, .. }) = highest {
            let says = says.iter().filter_map(|(name, number)| Some((*name, (*number)?)));
            known = Some(Known { attributes: says.collect(), other: Some(*other) });
        }
        for said in at_it().filter(|said| matches!(said.how, How::Pushed)) {
            // Attributes alone are no product.
            let known = match &mut known {
                None if entity == Entity::Product => continue,
                known => known.get_or_insert_default(),
            };
            for (&name, number) in &said.says {
                match number {
                    Some(number) => known.attributes.insert(name, *number),
                    None => known.attributes.remove(name),
                };
            }
        }
    }
    known
}

async fn say(store: &FeatureStore, said: &Said, entity: Entity) -> Result<(), tonic::Status> {
    let How::Whole { revision, retracted, other } = said.how else {
        return push(store, row(said, entity)).await;
    };
    let known = said.says.iter().filter_map(|(name, number)| Some((name, (*number)?)));
    let attributes = known
        .map(|(name, number)| {
            ((*name).to_owned(), AttributeValue { kind: Some(Kind::Number(number.into())) })
        })
        .collect();
    let event_time = Some(at(said.time));
    let mut client = store.client.clone();
    match entity {
        Entity::Customer => {
            let customer = Customer { user_id: "x".to_owned(), attributes, event_time, revision, retracted };
            let message = WriteCustomersRequest { customers: vec![customer] };
            client.write_customers(stream::iter([message])).await?;
        }
        Entity::Product => {
            let (name, status, grade) = columns(other);
            let status = format!("PRODUCT_STATUS_{}", status.to_uppercase());
            let product = Product {
                product_id: "x".to_owned(),
                product_class: ProductClass::Loan.into(),
                name,
                status: ProductStatus::from_str_name(&status).unwrap().into(),
                risk_grade: grade.map(|grade| grade.unsigned_abs().into()),
                attributes,
                event_time,
                revision,
                retracted,
                ..Product::default()
            };
            let message = WriteProductsRequest { products: vec![product] };
            client.write_products(stream::iter([message])).await?;
        }
    }
    Ok(())
}

/// The row of a push.
fn row(said: &Said, entity: Entity) -> PushRequest {
    let columns = said.says.iter().map(|(name, number)| {
        let number = number.map(|number| Val::DoubleVal(number.into()));
        ((*name).to_owned(), Value { val: number })
    });
    let mut typed_features: HashMap<String, Value> = columns.collect();
    let key = match entity {
        Entity::Customer => "user_id",
        Entity::Product => "product_id",
    };
    typed_features.insert(key.to_owned(), text("x"));
    typed_features.insert("event_timestamp".to_owned(), value(Val::UnixTimestampVal(said.time)));
    PushRequest {
        typed_features,
        stream_feature_view: "terms".to_owned(),
        to: "online".to_owned(),
        ..PushRequest::default()
    }
}

/// Name, status and risk grade, which follow from one number.
fn columns(other: u8) -> (String, String, Option<i16>) {
    let status = if other.is_multiple_of(2) { "active" } else { "withdrawn" };
    let grade = other % 6;
    (other.to_string(), status.to_owned(), (grade > 0).then(|| grade.into()))
}

/// The product as it is offered.
async fn product(store: &FeatureStore) -> Option<(String, String, Option<i16>)> {
    sqlx::query_as("select name, status, risk_grade from products")
        .fetch_optional(store.database.store.pool())
        .await
        .unwrap()
}

/// The attributes that features give at a time, as far as they are known.
async fn believed_at(store: &FeatureStore, plan: &FeaturePlan, time: i64) -> BTreeMap<&'static str, u8> {
    let as_of = DateTime::from_timestamp(time, 0).unwrap();
    // By tomorrow all that was written has come to be known.
    let asked = Asked { id: "x".to_owned(), as_of, known_at: Utc::now() + TimeDelta::days(1) };
    let rows = plan.read(&store.database.store, &[asked]).await.unwrap();
    let number = |value: &FeatureValue| match value.value {
        Some(FeatureValueKind::Number(number)) => Some(number as u8),
        _ => None,
    };
    ATTRIBUTES.into_iter().zip(&rows[0]).filter_map(|(name, value)| Some((name, number(value)?))).collect()
}

fn plan(definitions: &str) -> FeaturePlan {
    let features = ATTRIBUTES.map(|name| FeatureRef::parse(&format!("terms:{name}")).unwrap());
    FeaturePlan::compile(&Definitions::parse(definitions).unwrap(), &features, "marketing", None).unwrap()
}

fn definitions(entity: Entity) -> String {
    let entity = match entity {
        Entity::Customer => "customer",
        Entity::Product => "product",
    };
    let features = ATTRIBUTES.map(|name| {
        format!(
            r#"[[view.feature]]
name = "{name}"
type = "number"
description = "A number."
"#
        )
    });
    format!(
        r#"version = 1
purpose = [{{ name = "marketing", description = "Offers." }}]
[[view]]
name = "terms"
entity = "{entity}"
source = "attributes"
description = "What it is like."
owner = "tests"
sensitivity = "internal"
purposes = ["marketing"]
{}"#,
        features.concat()
    )
}
