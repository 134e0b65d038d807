//! The catalogue as a stream.

use crate::support::{
    FeatureStore,
    samples::{product, product_message, products},
    watching::{Snapshot, heartbeat, news, snapshot, watch},
};
use finrank_contracts::{
    common::v1::ProductStatus,
    feature::v1::{SnapshotReason, WatchProductEmbeddingsRequest, watch_product_embeddings_response::Step},
};
use tonic::{Code, Request};
use tonic_types::StatusExt;

#[tokio::test]
async fn sends_a_snapshot_then_heartbeats_then_the_next_generation() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    let first_model = store.register_model("m1", 1).await;
    let second_model = store.register_model("m2", 2).await;
    let first_run = store.refresh("m1").await;
    let mut watched = watch(&mut store, "").await;

    let first = snapshot(&mut watched).await;
    heartbeat(&mut watched).await;
    let second_run = store.refresh("m2").await;
    let second = snapshot(&mut watched).await;

    assert_eq!((first.reason, second.reason), (SnapshotReason::First, SnapshotReason::ModelVersionChanged));
    assert_eq!(first.generation.run_id, first_run.run_id);
    assert_eq!(values(&first), computed(&first_model, 5));
    assert_eq!(second.generation.run_id, second_run.run_id);
    assert_eq!(second.generation.embedding_space, "space of m2");
    assert_eq!(values(&second), computed(&second_model, 5));
    let shown = first.products[2].product.as_ref().unwrap();
    assert_eq!(*shown, product_message(&product(2), 100));
}

#[tokio::test]
async fn sends_a_large_catalogue_in_chunks_in_the_order_of_ids() {
    let mut store = FeatureStore::start().await;
    for thousand in products(2100).chunks(1000) {
        store.write_products(thousand.iter().map(|product| product_message(product, 100)).collect()).await;
    }
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let mut watched = watch(&mut store, "").await;

    let snapshot = snapshot(&mut watched).await;

    assert_eq!(snapshot.chunks, [1000, 1000, 100]);
    let ids: Vec<&str> =
        snapshot.products.iter().map(|shown| shown.product.as_ref().unwrap().product_id.as_str()).collect();
    assert!(ids.is_sorted());
}

#[tokio::test]
async fn keeps_every_message_within_what_a_client_takes_by_default() {
    let mut store = FeatureStore::start().await;
    let wordy = |index| {
        let mut message = product_message(&product(index), 100);
        message.description = "x".repeat(8192);
        message
    };
    for part in [0..500, 500..900] {
        store.write_products(part.map(wordy).collect()).await;
    }
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let mut watched = watch(&mut store, "").await;

    let snapshot = snapshot(&mut watched).await;

    assert_eq!(snapshot.products.len(), 900);
    assert_eq!(snapshot.chunks.len(), 3, "7 MB in messages of at most 3 MB");
}

#[tokio::test]
async fn waits_with_heartbeats_until_there_is_a_generation() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    store.register_model("m1", 1).await;
    let mut watched = watch(&mut store, "m1").await;

    heartbeat(&mut watched).await;
    let run = store.refresh("m1").await;

    assert_eq!(snapshot(&mut watched).await.generation.run_id, run.run_id);
}

#[tokio::test]
async fn stays_with_the_model_version_that_was_asked_for() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;
    let mut watched = watch(&mut store, "m1").await;
    snapshot(&mut watched).await;

    store.refresh("m2").await;
    heartbeat(&mut watched).await;
    let own = store.refresh("m1").await;

    let steps = news(&mut watched).await;
    let [Step::GenerationChanged(changed), Step::Progress(_)] = &steps[..] else { panic!("{steps:?}") };
    let next = changed.generation.as_ref().unwrap();
    assert_eq!((next.run_id, next.model_version.as_str()), (own.run_id, "m1"));
}

#[tokio::test]
async fn sends_a_withdrawn_product_and_no_other_without_waiting_for_its_embedding() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    let mut watched = watch(&mut store, "").await;
    snapshot(&mut watched).await;

    let mut withdrawn = product_message(&product(2), 200);
    withdrawn.set_status(ProductStatus::Withdrawn);
    store.write_products(vec![withdrawn.clone()]).await;

    let steps = news(&mut watched).await;
    let [Step::Upsert(shown), Step::Progress(_)] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(shown.product, Some(withdrawn));
}

#[tokio::test]
async fn refuses_a_model_version_that_is_not_registered() {
    let mut store = FeatureStore::start().await;
    let request = WatchProductEmbeddingsRequest { model_version: "nope".to_owned(), ..Default::default() };

    let status = store.client.watch_product_embeddings(request).await.unwrap_err();

    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.get_details_error_info().unwrap().reason, "MODEL_VERSION_NOT_FOUND");
}

#[tokio::test]
async fn ends_when_the_server_stops() {
    let mut store = FeatureStore::start_filled(3, 5).await;
    let mut watched = watch(&mut store, "").await;
    heartbeat(&mut watched).await;

    store.begin_shutdown();
    while watched.message().await.unwrap().is_some() {}

    store.stopped().await;
}

#[tokio::test]
async fn ends_at_its_clients_deadline() {
    let mut store = FeatureStore::start().await;
    let mut request = Request::new(WatchProductEmbeddingsRequest::default());
    request.metadata_mut().insert("grpc-timeout", "700m".parse().unwrap());
    let mut watched = store.client.watch_product_embeddings(request).await.unwrap().into_inner();

    let mut heartbeats = 0;
    let status = loop {
        match watched.message().await {
            Ok(step) => heartbeats += u32::from(step.expect("the stream ends with a status").step.is_some()),
            Err(status) => break status,
        }
    };

    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");
    assert!(heartbeats > 0, "it streams until then");
}

fn values(snapshot: &Snapshot) -> Vec<&[f32]> {
    snapshot.products.iter().map(|shown| shown.embedding.as_ref().unwrap().values.as_slice()).collect()
}

fn computed(bundle: &finrank_model::Bundle, count: usize) -> Vec<Vec<f32>> {
    let embeddings = bundle.product.encode(&products(count)).unwrap();
    embeddings.iter().map(|embedding| embedding.as_slice().to_vec()).collect()
}
