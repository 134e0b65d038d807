//! Refreshes of what has changed, held to full ones.

use std::collections::BTreeMap;

use finrank_contracts::{
    common::v1::{Customer, EventKind},
    feature::v1::{EmbeddingStatus, EntityKind, RefreshRun, RefreshScope, RefreshState},
};
use finrank_model::Bundle;
use finrank_store::records;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use tokio::runtime::Runtime;

use crate::support::{
    FeatureStore,
    samples::{customer_message, event_message, product, product_message, user},
};

/// Customers and products that there may be.
const USERS: usize = 25;
const PRODUCTS: usize = 6;

/// Something that is learned between two refreshes.
#[derive(Clone, Debug)]
enum Learned {
    /// What user `index` may know of another customer, true since so many seconds; old, perhaps.
    Customer {
        index: usize,
        like: usize,
        seconds: i64,
    },
    CustomerIsGone {
        index: usize,
    },
    Event {
        user: usize,
        product: usize,
        kind: EventKind,
        revision: u32,
        retracted: bool,
        seconds: i64,
    },
    Product {
        index: usize,
        like: usize,
        seconds: i64,
    },
    ProductIsGone {
        index: usize,
    },
}

fn learned() -> impl Strategy<Value = Learned> {
    let kinds = prop::sample::select(vec![EventKind::Acquired, EventKind::Closed, EventKind::Viewed]);
    let event = (0..USERS, 0..PRODUCTS, kinds, 0..3_u32, any::<bool>(), 0..400_i64);
    prop_oneof![
        (0..USERS, 0..USERS, 0..400_i64).prop_map(|(index, like, seconds)| Learned::Customer {
            index,
            like,
            seconds
        }),
        (0..USERS).prop_map(|index| Learned::CustomerIsGone { index }),
        event.prop_map(|(user, product, kind, revision, retracted, seconds)| Learned::Event {
            user,
            product,
            kind,
            revision,
            retracted: retracted && revision > 0,
            seconds
        }),
        (0..PRODUCTS, 0..PRODUCTS, 0..400_i64).prop_map(|(index, like, seconds)| Learned::Product {
            index,
            like,
            seconds
        }),
        (0..PRODUCTS).prop_map(|index| Learned::ProductIsGone { index }),
    ]
}

async fn learn(store: &mut FeatureStore, learned: &Learned) {
    match *learned {
        Learned::Customer { index, like, seconds } => {
            let said =
                Customer { user_id: user(index).user_id.into(), ..customer_message(&user(like), seconds) };
            store.write_customers(vec![said]).await;
        }
        Learned::CustomerIsGone { index } => {
            let gone = Customer { revision: 1, retracted: true, ..customer_message(&user(index), 100) };
            store.write_customers(vec![gone]).await;
        }
        Learned::Event { user: index, product: of, kind, revision, retracted, seconds } => {
            // The id of the event by which the product may have come to be held.
            let of = product(of).product_id.to_string();
            let id = format!("acquired {of}");
            let mut event = event_message(&id, user(index).user_id.as_str(), &of, kind, seconds);
            (event.revision, event.retracted) = (revision, retracted);
            store.write_events(vec![event]).await;
        }
        Learned::Product { index, like, seconds } => {
            let mut said = product_message(&product(like), seconds);
            said.product_id = product(index).product_id.into();
            store.write_products(vec![said]).await;
        }
        Learned::ProductIsGone { index } => {
            let mut gone = product_message(&product(index), 100);
            (gone.revision, gone.retracted) = (1, true);
            store.write_products(vec![gone]).await;
        }
    }
}

async fn refresh_changes(store: &mut FeatureStore) -> RefreshRun {
    let started = store.start_scoped_refresh("m1", RefreshScope::Changes).await.unwrap();
    store.watch_refresh(started.run_id).await.pop().unwrap()
}

/// What readers find of everyone and everything.
async fn found(store: &mut FeatureStore) -> Vec<(String, Option<Vec<f32>>)> {
    let users: Vec<String> = (0..USERS).map(|index| user(index).user_id.into()).collect();
    let products: Vec<String> = (0..PRODUCTS).map(|index| product(index).product_id.into()).collect();
    let mut found = Vec::new();
    for (kind, ids) in [(EntityKind::User, users), (EntityKind::Product, products)] {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let answer = store.embeddings(kind, &ids, "m1").await.unwrap();
        for result in answer.results {
            found.push((result.id, result.embedding.map(|embedding| embedding.values)));
        }
    }
    found
}

/// What a full refresh would compute of all that is known now.
async fn computed(store: &FeatureStore, bundle: &Bundle) -> BTreeMap<String, Vec<f32>> {
    let users = records::user_records(&store.database.store, None, None, 1000).await.unwrap();
    let products = records::product_records(&store.database.store, None, None, 1000).await.unwrap();
    let embeddings = bundle.user.encode(&users).unwrap().into_iter();
    let mut computed: BTreeMap<_, _> = users
        .iter()
        .zip(embeddings)
        .map(|(user, embedding)| (user.user_id.to_string(), embedding.as_slice().to_vec()))
        .collect();
    let embeddings = bundle.product.encode(&products).unwrap().into_iter();
    computed.extend(
        products
            .iter()
            .zip(embeddings)
            .map(|(product, embedding)| (product.product_id.to_string(), embedding.as_slice().to_vec())),
    );
    computed
}

#[test]
fn a_generation_of_changes_is_what_a_full_refresh_would_have_computed() {
    let runtime = Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() });
    let rounds = vec(vec(learned(), 0..12), 1..5);

    runner
        .run(&rounds, |rounds| {
            runtime.block_on(async {
                let mut store = FeatureStore::start_filled(USERS - 5, PRODUCTS - 1).await;
                let bundle = store.register_model("m1", 1).await;
                store.refresh("m1").await;
                for round in &rounds {
                    for learned in round {
                        learn(&mut store, learned).await;
                    }
                    let run = refresh_changes(&mut store).await;

                    prop_assert_eq!(run.state(), RefreshState::Complete);
                    prop_assert!(run.base_run_id.is_some());
                    let computed = computed(&store, &bundle).await;
                    for (id, values) in found(&mut store).await {
                        prop_assert_eq!(values.as_ref(), computed.get(&id), "{}", id);
                    }
                }
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn computes_only_who_has_changed_and_keeps_one_row_each_below_the_kept_generations() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let mut computed = Vec::new();

    for round in 1..=4_i64 {
        store.write_customers(vec![customer_message(&user(3), 100 + round)]).await;
        computed.push(refresh_changes(&mut store).await.rows_done);
    }

    assert_eq!(computed, [1, 1, 1, 1]);
    let rows = async |user_id: &str| -> i64 {
        sqlx::query_scalar("select count(*) from user_embeddings where user_id = $1")
            .bind(user_id)
            .fetch_one(store.database.store.pool())
            .await
            .unwrap()
    };
    // Two generations are kept, so that of who changes each time two rows are.
    assert_eq!((rows("u0003").await, rows("u0004").await), (2, 1));
    let states: Vec<String> = sqlx::query_scalar("select state from refresh_runs order by run_id")
        .fetch_all(store.database.store.pool())
        .await
        .unwrap();
    assert_eq!(states, ["merged", "merged", "merged", "complete", "complete"]);
}

#[tokio::test]
async fn a_generation_without_changes_is_whole_all_the_same() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let before = found(&mut store).await;

    let run = refresh_changes(&mut store).await;

    assert_eq!((run.state(), run.rows_total), (RefreshState::Complete, 0));
    assert_eq!(found(&mut store).await, before);
    let served = store.embeddings(EntityKind::User, &["u0001"], "").await.unwrap().generation.unwrap();
    assert_eq!(served.run_id, run.run_id);
}

#[tokio::test]
async fn without_a_generation_to_add_to_everything_is_computed() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    store.register_model("m1", 1).await;

    let run = refresh_changes(&mut store).await;

    assert_eq!((run.base_run_id, run.rows_done), (None, (USERS + PRODUCTS) as u64));
}

#[tokio::test]
async fn a_run_of_changes_that_failed_goes_on_with_what_is_missing() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    store.register_model("m1", 1).await;
    let full = store.refresh("m1").await;
    store.write_customers((0..USERS).map(|index| customer_message(&user(index), 200)).collect()).await;
    store.refuse_embedding_of("u0015").await;
    let failed = refresh_changes(&mut store).await;
    let found_meanwhile = store.embeddings(EntityKind::User, &["u0001"], "").await.unwrap();
    store.refuse_no_more().await;

    let started = store.start_scoped_refresh("m1", RefreshScope::Changes).await.unwrap();
    let resumed = store.watch_refresh(started.run_id).await.pop().unwrap();

    assert_eq!((failed.state(), failed.base_run_id), (RefreshState::Failed, Some(full.run_id)));
    assert_eq!(found_meanwhile.generation.unwrap().run_id, full.run_id, "readers stay on the last whole one");
    assert_eq!((started.run_id, started.resumed), (failed.run_id, true));
    assert_eq!((resumed.state(), resumed.rows_done), (RefreshState::Complete, USERS as u64));
}

#[tokio::test]
async fn changes_of_another_model_do_not_meet() {
    let mut store = FeatureStore::start_filled(USERS, PRODUCTS).await;
    let first = store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    store.refresh("m2").await;
    store.write_customers(vec![customer_message(&user(3), 200)]).await;

    let run = refresh_changes(&mut store).await;

    assert_eq!((run.state(), run.rows_done), (RefreshState::Complete, 1));
    let of_the_first = computed(&store, &first).await;
    let answer = store.embeddings(EntityKind::User, &["u0003", "u0004"], "m1").await.unwrap();
    for result in answer.results {
        assert_eq!(result.status(), EmbeddingStatus::Present);
        assert_eq!(result.embedding.unwrap().values, of_the_first[&result.id], "{}", result.id);
    }
}
