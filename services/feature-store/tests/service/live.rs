//! Embeddings between refreshes: who is written is fresh without one.

use finrank_contracts::{
    common::v1::{Customer, EventKind},
    feature::v1::{EmbeddingStatus, EntityKind, RefreshState},
};
use finrank_model::Bundle;

use crate::support::{
    FeatureStore,
    learned::{computed, found},
    samples::{customer_message, event_message, product, product_message, user},
};

async fn values(store: &mut FeatureStore, kind: EntityKind, id: &str, version: &str) -> Option<Vec<f32>> {
    let result = store.embeddings(kind, &[id], version).await.unwrap().results.remove(0);
    result.embedding.map(|embedding| embedding.values)
}

async fn status(store: &mut FeatureStore, kind: EntityKind, id: &str) -> EmbeddingStatus {
    store.embeddings(kind, &[id], "m1").await.unwrap().results[0].status()
}

#[tokio::test]
async fn attributes_events_and_products_are_fresh_without_a_refresh() {
    let mut store = FeatureStore::start_filled_live(12, 3).await;
    let bundle = store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let before = computed(&store, &bundle).await;

    let like_another = Customer { user_id: "u0003".to_owned(), ..customer_message(&user(8), 200) };
    store.write_customers(vec![like_another, customer_message(&user(20), 100)]).await;
    store.write_events(vec![event_message("e1", "u0004", "p0001", EventKind::Acquired, 200)]).await;
    store.write_products(vec![product_message(&product(9), 100)]).await;
    store.until_live("m1").await;

    let now = computed(&store, &bundle).await;
    for (kind, id) in [
        (EntityKind::User, "u0003"),
        (EntityKind::User, "u0004"),
        (EntityKind::User, "u0020"),
        (EntityKind::Product, "p0009"),
    ] {
        assert_ne!(before.get(id), now.get(id), "{id}");
        assert_eq!(values(&mut store, kind, id, "").await.as_ref(), now.get(id), "{id}");
    }
}

#[tokio::test]
async fn says_of_what_moment_a_live_embedding_is() {
    let mut store = FeatureStore::start_filled_live(12, 3).await;
    store.register_model("m1", 1).await;
    let run = store.refresh("m1").await;
    store.write_customers(vec![customer_message(&user(3), 200)]).await;
    store.until_live("m1").await;

    let found = store.embeddings(EntityKind::User, &["u0003", "u0004"], "").await.unwrap();

    let generation = found.generation.unwrap();
    let moment = |moment: Option<prost_types::Timestamp>| moment.map(|it| (it.seconds, it.nanos)).unwrap();
    let as_of = |index: usize| moment(found.results[index].embedding.as_ref().unwrap().features_as_of);
    assert_eq!(generation.run_id, run.run_id);
    assert_eq!(as_of(1), moment(generation.features_as_of));
    assert!(as_of(0) > as_of(1));
    let computed_at = moment(found.results[0].embedding.as_ref().unwrap().computed_at);
    assert!(computed_at <= as_of(0), "nothing newer than that went into it");
}

#[tokio::test]
async fn whom_everything_was_taken_back_of_is_unknown_and_leaves_no_live_row() {
    let mut store = FeatureStore::start_filled_live(12, 3).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    store.write_customers(vec![customer_message(&user(20), 100)]).await;
    store.until_live("m1").await;
    let before = status(&mut store, EntityKind::User, "u0020").await;

    let gone = Customer { revision: 1, retracted: true, ..customer_message(&user(20), 100) };
    store.write_customers(vec![gone]).await;
    store.until_live("m1").await;

    assert_eq!(before, EmbeddingStatus::Present);
    assert_eq!(status(&mut store, EntityKind::User, "u0020").await, EmbeddingStatus::UnknownEntity);
    assert_eq!(store.count("select count(*) from live_user_embeddings").await, 0);
}

#[tokio::test]
async fn stays_fresh_while_a_full_refresh_runs_and_after_it() {
    let mut store = FeatureStore::start_filled_live(45, 3).await;
    let bundle = store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let gate = store.keep_from_writing("user_embeddings").await;
    let run = store.start_refresh("m1").await.unwrap();
    store.until_someone_waits_to_write("user_embeddings").await;

    // Behind and ahead of where the refresh is.
    let changed =
        |index, like| Customer { user_id: user(index).user_id.into(), ..customer_message(&user(like), 200) };
    store.write_customers(vec![changed(1, 8), changed(44, 9)]).await;
    store.until_live("m1").await;
    let now = computed(&store, &bundle).await;
    let meanwhile = [
        values(&mut store, EntityKind::User, "u0001", "").await,
        values(&mut store, EntityKind::User, "u0044", "").await,
    ];
    gate.commit().await.unwrap();
    let run = store.watch_refresh(run.run_id).await.pop().unwrap();

    assert_eq!(meanwhile.map(Option::unwrap), [now["u0001"].clone(), now["u0044"].clone()]);
    assert_eq!(run.state(), RefreshState::Complete);
    for id in ["u0001", "u0044", "u0020"] {
        assert_eq!(values(&mut store, EntityKind::User, id, "").await.as_ref(), Some(&now[id]), "{id}");
    }
}

#[tokio::test]
async fn a_refresh_takes_over_the_live_rows_that_it_covers() {
    let mut store = FeatureStore::start_filled_live(12, 3).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    store.write_customers(vec![customer_message(&user(3), 200)]).await;
    store.write_products(vec![product_message(&product(1), 200)]).await;
    store.until_live("m1").await;
    let rows =
        "select (select count(*) from live_user_embeddings) + (select count(*) from live_product_embeddings)";
    let before = store.count(rows).await;

    store.refresh("m1").await;

    assert_eq!(before, 2);
    // The worker says that the run is complete, and cleans up after that.
    while store.count(rows).await > 0 {
        tokio::task::yield_now().await;
    }
    let watermarks = "select count(*) from live_watermarks join refresh_runs using (model_version)
                      where live_watermarks.known_at < refresh_runs.known_at";
    assert_eq!(store.count(watermarks).await, 0, "what the run knows need not be computed again");
}

#[tokio::test]
async fn a_model_version_without_a_generation_keeps_nothing_live() {
    let mut store = FeatureStore::start_filled_live(12, 3).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    store.write_customers(vec![customer_message(&user(3), 200)]).await;
    store.until_live("m1").await;
    let of_the_first = "select (select count(*) from live_watermarks where model_version = 'm1')
                             + (select count(*) from live_user_embeddings where model_version = 'm1')";
    assert_eq!(store.count(of_the_first).await, 2);

    store.refresh("m2").await;
    store.refresh("m2").await;

    while store.count(of_the_first).await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.count("select count(*) from live_watermarks").await, 1);
}

#[tokio::test]
async fn each_model_version_that_is_read_is_fresh_and_one_that_cannot_be_computed_keeps_no_other_from_it() {
    let mut store = FeatureStore::start_filled_live(12, 3).await;
    let first = store.register_model("m1", 1).await;
    let second = store.register_model("m2", 2).await;
    store.refresh("m1").await;
    store.refresh("m2").await;
    let before = computed(&store, &first).await;
    store.replace_bundle("m1", 9);

    let changed = Customer { user_id: "u0003".to_owned(), ..customer_message(&user(8), 200) };
    store.write_customers(vec![changed]).await;
    store.until_live("m2").await;

    let now = computed(&store, &second).await;
    assert_eq!(values(&mut store, EntityKind::User, "u0003", "m2").await.as_ref(), Some(&now["u0003"]));
    assert_eq!(values(&mut store, EntityKind::User, "u0003", "m1").await.as_ref(), Some(&before["u0003"]));
}

/// Notes each live row that is written.
const NOTE_WHAT_IS_COMPUTED: &str = "create table computed (user_id text, known_at timestamptz);
     create function note() returns trigger language plpgsql as
     $$ begin insert into computed values (new.user_id, new.known_at); return null; end $$;
     create trigger note after insert or update on live_user_embeddings for each row execute function note()";

#[tokio::test]
async fn two_servers_compute_each_change_once_and_none_is_lost_when_one_of_them_dies() {
    let mut store = FeatureStore::start_filled_live(30, 3).await;
    let bundle = store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let _second = store.second_server().await;
    store.execute(NOTE_WHAT_IS_COMPUTED).await;
    let changed = |index: usize| Customer {
        user_id: user(index).user_id.into(),
        ..customer_message(&user(index + 1), 200)
    };

    for index in 0..15 {
        store.write_customers(vec![changed(index)]).await;
    }
    store.until_live("m1").await;
    let computed_once = store.count("select count(*) from computed").await;
    let gate = store.keep_from_writing("live_user_embeddings").await;
    store.write_customers((15..30).map(changed).collect()).await;
    store.until_someone_waits_to_write("live_user_embeddings").await;
    store
        .execute(
            "select pg_terminate_backend(pid) from pg_locks
             where relation = 'live_user_embeddings'::regclass and not granted",
        )
        .await;
    gate.commit().await.unwrap();
    store.until_live("m1").await;

    assert_eq!(computed_once, 15);
    assert_eq!(store.count("select count(*) from computed").await, 30);
    assert_everyone_is_fresh(&mut store, &bundle).await;
}

#[tokio::test]
async fn what_was_learned_in_one_moment_goes_in_one_step_however_much_it_is() {
    let mut store = FeatureStore::start_filled_live(12, 3).await;
    let bundle = store.register_model("m1", 1).await;
    store.refresh("m1").await;

    // As every writer does: the lock, then the time, then the rows.
    store
        .execute(
            "begin;
             select pg_advisory_xact_lock_shared(1718185586, 1802399607);
             insert into customer_statements (user_id, attributes, event_time, known_at)
             select user_id, '{}', to_timestamp(300), (select clock_timestamp()) from customers;
             commit",
        )
        .await;
    store.until_live("m1").await;

    assert_eq!(store.count("select count(*) from live_user_embeddings").await, 12);
    assert_everyone_is_fresh(&mut store, &bundle).await;
}

#[tokio::test]
async fn without_live_embeddings_who_is_written_waits_for_the_next_refresh() {
    let mut store = FeatureStore::start_filled(12, 3).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;

    store.write_customers(vec![customer_message(&user(20), 100)]).await;

    assert_eq!(status(&mut store, EntityKind::User, "u0020").await, EmbeddingStatus::NotMaterialised);
    store.refresh("m1").await;
    assert_eq!(status(&mut store, EntityKind::User, "u0020").await, EmbeddingStatus::Present);
}

async fn assert_everyone_is_fresh(store: &mut FeatureStore, bundle: &Bundle) {
    let computed = computed(store, bundle).await;
    for (id, values) in found(store).await {
        assert_eq!(values.as_ref(), computed.get(&id), "{id}");
    }
}
