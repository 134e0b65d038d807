//! What is kept in memory is what Postgres would say.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use finrank_contracts::{
    common::v1::{AttributeValue, Customer, Event, EventKind, attribute_value::Kind},
    feature::v1::{
        EmbeddingStatus, EntityKind, EraseCustomerRequest, FeatureSelection, FeatureStatus,
        GetFeaturesAsOfRequest, GetOnlineFeaturesRequest, GetOnlineFeaturesResponse, WriteCustomersRequest,
        WriteEventsRequest, feature_store_service_client::FeatureStoreServiceClient,
    },
};
use futures::stream;
use prost_types::Timestamp;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tonic::transport::Channel;

use crate::support::{
    FeatureStore,
    samples::{at, event_message},
};

/// Values that time alone changes within a second.
const DEFINITIONS: &str = r#"
version = 1
purpose = [{ name = "marketing", description = "Offers." }]

[[view]]
name = "profile"
entity = "customer"
source = "attributes"
ttl = "700ms"
description = "What customers say."
owner = "tests"
sensitivity = "personal"
purposes = ["marketing"]
feature = [{ name = "income", type = "number", description = "A year." }]

[[view]]
name = "activity"
entity = "customer"
source = "events"
description = "What customers do."
owner = "tests"
sensitivity = "personal"
purposes = ["marketing"]
feature = [
    { name = "lately", aggregate = "count", window = "500ms", description = "Just now." },
    { name = "ever", aggregate = "count", description = "In all." },
]

[[view]]
name = "demand"
entity = "product"
source = "events"
description = "What customers do with a product."
owner = "tests"
sensitivity = "internal"
purposes = ["marketing"]
feature = [
    { name = "lately", aggregate = "count", window = "500ms", description = "Just now." },
    { name = "ever", aggregate = "count", description = "In all." },
]
"#;

const OF_CUSTOMERS: &[&str] = &["profile:income", "activity:lately", "activity:ever"];
const OF_PRODUCTS: &[&str] = &["demand:lately", "demand:ever"];

fn selection(features: &[&str]) -> Option<FeatureSelection> {
    Some(FeatureSelection {
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        purpose: "marketing".to_owned(),
        ..FeatureSelection::default()
    })
}

async fn online(
    client: &mut FeatureStoreServiceClient<Channel>,
    features: &[&str],
    ids: &[&str],
) -> GetOnlineFeaturesResponse {
    let entity_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let request = GetOnlineFeaturesRequest { selection: selection(features), entity_ids };
    client.get_online_features(request).await.unwrap().into_inner()
}

fn income(user_id: &str, income: f64, event_time: Timestamp) -> Customer {
    let income = AttributeValue { kind: Some(Kind::Number(income)) };
    Customer {
        user_id: user_id.to_owned(),
        attributes: [("income".to_owned(), income)].into(),
        event_time: Some(event_time),
        ..Customer::default()
    }
}

/// A moment so many milliseconds from now, before or after.
fn from_now(milliseconds: i64) -> Timestamp {
    let moment = Utc::now() + chrono::TimeDelta::milliseconds(milliseconds);
    Timestamp { seconds: moment.timestamp(), nanos: (moment.timestamp_subsec_micros() * 1000) as i32 }
}

#[tokio::test]
async fn answers_from_memory_what_has_not_changed() {
    let mut store = FeatureStore::start_configured(|config| {
        config.cache.max_silence = Duration::from_secs(3600);
    })
    .await;
    store.fill(3, 5).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let features = ["customer_profile:owns_home", "customer_activity:last_applied"];
    // A reading is kept unless the horizon moves just then.
    for _ in 0..5 {
        online(&mut store.client, &features, &["u0000", "u0001"]).await;
        store.embeddings(EntityKind::User, &["u0000", "u0001"], "").await.unwrap();
    }
    let rows = online(&mut store.client, &features, &["u0000", "u0001"]).await.rows;
    let embeddings = store.embeddings(EntityKind::User, &["u0000", "u0001"], "").await.unwrap();

    let mut nobody_reads = store.database.store.pool().begin().await.unwrap();
    sqlx::query("lock table customer_statements, event_statements, user_embeddings")
        .execute(&mut *nobody_reads)
        .await
        .unwrap();

    let again = online(&mut store.client, &features, &["u0001", "u0000", "u0001"]).await.rows;
    let values = |row: usize| rows[row].values.clone();
    assert_eq!(
        again.into_iter().map(|row| row.values).collect::<Vec<_>>(),
        [values(1), values(0), values(1)]
    );
    assert_eq!(store.embeddings(EntityKind::User, &["u0000", "u0001"], "").await.unwrap(), embeddings);
}

#[tokio::test]
async fn every_answer_is_given_again_bit_for_bit_while_two_servers_write() {
    let store = FeatureStore::start_defining(DEFINITIONS).await;
    let writers = [store.client.clone(), store.second_server().await];
    let readers = writers.clone();
    let users = ["u0", "u1", "u2", "u3"];
    let products = ["p0", "p1"];

    let write = async |(seed, mut client): (u64, FeatureStoreServiceClient<Channel>)| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut written: Vec<Event> = Vec::new();
        for number in 0..150 {
            let user_id = users[random.random_range(0..users.len())];
            let product_id = products[random.random_range(0..products.len())];
            // Some come late, some ahead of their time.
            let event_time = from_now(random.random_range(-600..300));
            if random.random_bool(0.3) {
                let customers = vec![income(user_id, f64::from(number), event_time)];
                client.write_customers(stream::iter([WriteCustomersRequest { customers }])).await.unwrap();
            } else {
                let event =
                    event_message(&format!("{seed}-{number}"), user_id, product_id, EventKind::Viewed, 0);
                let event = match written.len() {
                    // A correction, which may name the other product.
                    count if count > 0 && random.random_bool(0.3) => {
                        let event = written.swap_remove(random.random_range(0..count));
                        let (product_id, revision) = (product_id.to_owned(), event.revision + 1);
                        Event { product_id, revision, retracted: random.random_bool(0.2), ..event }
                    }
                    _ => Event { event_time: Some(event_time), ..event },
                };
                written.push(event.clone());
                let events = vec![event];
                client.write_events(stream::iter([WriteEventsRequest { events }])).await.unwrap();
            }
        }
    };
    let read = async |mut client: FeatureStoreServiceClient<Channel>| {
        let mut answers = Vec::new();
        for _ in 0..200 {
            answers.push((OF_CUSTOMERS, online(&mut client, OF_CUSTOMERS, &users).await));
            answers.push((OF_PRODUCTS, online(&mut client, OF_PRODUCTS, &products).await));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answers
    };
    let (_, answers) = tokio::join!(
        futures::future::join_all((0..).zip(writers).map(write)),
        futures::future::join_all(readers.map(read)),
    );

    let mut client = store.client.clone();
    let mut seen = BTreeSet::new();
    for (features, answer) in answers.concat() {
        let request = GetFeaturesAsOfRequest {
            selection: selection(features),
            entity_ids: answer.rows.iter().map(|row| row.entity_id.clone()).collect(),
            moment: answer.header.unwrap().known_at,
            definitions_sha256: String::new(),
        };
        let again = client.get_features_as_of(request).await.unwrap().into_inner();
        seen.extend(answer.rows.iter().map(|row| format!("{:?}", row.values)));
        assert_eq!(again.rows, answer.rows);
    }
    assert!(seen.len() > 20, "values change all the while");
}

#[tokio::test]
async fn a_correction_that_names_another_product_changes_both() {
    let mut store = FeatureStore::start_defining(DEFINITIONS).await;
    let viewed = |product_id, revision| Event {
        revision,
        ..event_message("e1", "u0", product_id, EventKind::Viewed, 0)
    };
    store.write_events(vec![viewed("p0", 0)]).await;
    // A reading is kept unless the horizon moves just then.
    for _ in 0..5 {
        online(&mut store.client, OF_PRODUCTS, &["p0", "p1"]).await;
    }

    store.write_events(vec![viewed("p1", 1)]).await;

    let rows = online(&mut store.client, OF_PRODUCTS, &["p0", "p1"]).await.rows;
    let statuses: Vec<_> = rows.iter().map(|row| row.values[1].status()).collect();
    assert_eq!(statuses, [FeatureStatus::NotFound, FeatureStatus::Present]);
}

#[tokio::test]
async fn a_model_version_that_is_stuck_does_not_have_others_forgotten() {
    let mut store = FeatureStore::start_configured(|config| {
        config.live.enabled = true;
        config.live.interval = Duration::from_millis(20);
        config.cache.max_silence = Duration::from_secs(3600);
    })
    .await;
    store.fill(4, 5).await;
    for (seed, model) in (1..).zip(["moves", "stuck"]) {
        store.register_model(model, seed).await;
        store.refresh(model).await;
    }
    // Its bundle is not the registered one any more.
    store.replace_bundle("stuck", 3);
    change(&mut store, "u0001").await;
    // A reading is kept unless the horizon moves just then.
    for _ in 0..5 {
        store.embeddings(EntityKind::User, &["u0001"], "moves").await.unwrap();
    }
    let kept = store.embeddings(EntityKind::User, &["u0001"], "moves").await.unwrap();

    change(&mut store, "u0002").await;

    let mut nobody_reads = store.database.store.pool().begin().await.unwrap();
    sqlx::query("lock table live_user_embeddings").execute(&mut *nobody_reads).await.unwrap();
    assert_eq!(store.embeddings(EntityKind::User, &["u0001"], "moves").await.unwrap(), kept);
}

/// Writes something about a customer, and waits until their embedding is computed and the server has heard of it.
async fn change(store: &mut FeatureStore, user_id: &str) {
    store.write_customers(vec![income(user_id, 1.0, from_now(-1))]).await;
    store.until_live("moves").await;
    let now: DateTime<Utc> =
        sqlx::query_scalar("select clock_timestamp()").fetch_one(store.database.store.pool()).await.unwrap();
    let heard = |answer: GetOnlineFeaturesResponse| {
        let known_at = answer.header.unwrap().known_at.unwrap();
        (known_at.seconds, known_at.nanos) > (now.timestamp(), now.timestamp_subsec_nanos() as i32)
    };
    while !heard(online(&mut store.client, &["customer_profile:owns_home"], &[user_id]).await) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_written_customer_is_read_as_written_at_once_every_time() {
    let mut store = FeatureStore::start_defining(DEFINITIONS).await;

    for number in 0..50 {
        let number = f64::from(number);
        store.write_customers(vec![income("u0", number, from_now(-1))]).await;
        let rows = online(&mut store.client, OF_CUSTOMERS, &["u0"]).await.rows;
        let read = rows[0].values[0].value.clone();
        assert_eq!(read, Some(finrank_contracts::feature::v1::feature_value::Value::Number(number)));
    }
}

#[tokio::test]
async fn whoever_was_erased_is_forgotten_by_every_server() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let mut servers = [store.client.clone(), store.second_server().await];
    let features = ["customer_profile:owns_home"];
    for client in &mut servers {
        for _ in 0..5 {
            online(client, &features, &["u0001"]).await;
        }
    }
    store.embeddings(EntityKind::User, &["u0001"], "").await.unwrap();

    store.client.erase_customer(EraseCustomerRequest { user_id: "u0001".to_owned() }).await.unwrap();

    let found = store.embeddings(EntityKind::User, &["u0001"], "").await.unwrap();
    assert_eq!(found.results[0].status(), EmbeddingStatus::UnknownEntity);
    let status = online(&mut servers[0], &features, &["u0001"]).await.rows[0].values[0].status();
    assert_eq!(status, FeatureStatus::NotFound);
    // The other server hears of it in its next turn.
    while online(&mut servers[1], &features, &["u0001"]).await.rows[0].values[0].status()
        != FeatureStatus::NotFound
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn another_generation_is_read_as_soon_as_its_refresh_is_seen_to_be_complete() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    for (seed, model) in (0..).zip(["m1", "m2", "m3"]) {
        store.register_model(model, seed).await;
        let run = store.refresh(model).await;

        for _ in 0..5 {
            let found = store.embeddings(EntityKind::User, &["u0000", "u0002"], "").await.unwrap();
            assert_eq!(found.generation.unwrap().run_id, run.run_id);
        }
    }
}

#[tokio::test]
async fn a_customer_all_of_whom_was_taken_back_is_unknown_however_often_read_before() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    for _ in 0..5 {
        store.embeddings(EntityKind::User, &["u0001"], "m1").await.unwrap();
    }
    let retraction = Customer {
        user_id: "u0001".to_owned(),
        event_time: Some(at(100)),
        revision: 1,
        retracted: true,
        ..Customer::default()
    };

    store.write_customers(vec![retraction]).await;

    let found = store.embeddings(EntityKind::User, &["u0001"], "m1").await.unwrap();
    assert_eq!(found.results[0].status(), EmbeddingStatus::UnknownEntity);
}
