//! Embeddings by id.

use crate::support::{
    FeatureStore,
    samples::{DIMENSION, customer_message, product, user},
};
use finrank_contracts::feature::v1::{
    BatchGetEmbeddingsResponse, BatchGetHoldingsRequest, EmbeddingResult, EmbeddingStatus, EntityKind,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

#[tokio::test]
async fn answers_in_the_order_asked_with_repeated_unknown_and_new_ids() {
    let mut store = FeatureStore::start_filled(12, 3).await;
    let bundle = store.register_model("m1", 1).await;
    let run = store.refresh("m1").await;
    store.write_customers(vec![customer_message(&user(30), 100)]).await;

    let found =
        store.embeddings(EntityKind::User, &["u0007", "ghost", "u0002", "u0030", "u0007"], "").await.unwrap();

    assert_eq!(ids(&found), ["u0007", "ghost", "u0002", "u0030", "u0007"]);
    use EmbeddingStatus::{NotMaterialised, Present, UnknownEntity};
    assert_eq!(statuses(&found), [Present, UnknownEntity, Present, NotMaterialised, Present]);
    let generation = found.generation.unwrap();
    assert_eq!((generation.run_id, generation.model_version.as_str()), (run.run_id, "m1"));
    assert_eq!(
        (generation.embedding_space.as_str(), generation.dimension),
        ("space of m1", DIMENSION as u32)
    );
    assert_eq!(found.results[0].embedding, found.results[4].embedding);
    assert_eq!(found.results[1].embedding, None);
    let computed = bundle.user.encode(&[user(2)]).unwrap();
    let embedding = found.results[2].embedding.as_ref().unwrap();
    assert_eq!(embedding.values, computed[0].as_slice());
    assert_eq!(embedding.embedding_space, "space of m1");
    assert!(embedding.computed_at.is_some() && embedding.features_as_of == generation.features_as_of);
}

#[tokio::test]
async fn returns_products_embeddings_too() {
    let mut store = FeatureStore::start_filled(2, 3).await;
    let bundle = store.register_model("m1", 1).await;
    store.refresh("m1").await;

    let found = store.embeddings(EntityKind::Product, &["p0002", "u0000"], "m1").await.unwrap();

    assert_eq!(statuses(&found), [EmbeddingStatus::Present, EmbeddingStatus::UnknownEntity]);
    let computed = bundle.product.encode(&[product(2)]).unwrap();
    assert_eq!(found.results[0].embedding.as_ref().unwrap().values, computed[0].as_slice());
}

#[tokio::test]
async fn reads_the_newest_generation_unless_a_model_version_is_named() {
    let mut store = FeatureStore::start_filled(2, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m2").await;
    store.refresh("m1").await;

    let served = store.embeddings(EntityKind::User, &["u0000"], "").await.unwrap();
    let named = store.embeddings(EntityKind::User, &["u0000"], "m2").await.unwrap();

    assert_eq!(served.generation.unwrap().model_version, "m1");
    assert_eq!(named.generation.unwrap().model_version, "m2");
    assert_ne!(served.results[0].embedding, named.results[0].embedding);
}

#[tokio::test]
async fn names_the_model_versions_that_are_whole_when_the_one_asked_for_is_not() {
    let mut store = FeatureStore::start_filled(2, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refresh("m1").await;

    let status = store.embeddings(EntityKind::User, &["u0000"], "m2").await.unwrap_err();

    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.get_details_error_info().unwrap().reason, "MODEL_VERSION_NOT_WHOLE");
    assert_eq!(status.message(), "model version m2 has no whole refresh; these have: m1");
}

#[tokio::test]
async fn says_that_nothing_is_whole_yet() {
    let mut store = FeatureStore::start_filled(2, 2).await;

    let status = store.embeddings(EntityKind::Product, &["p0000"], "").await.unwrap_err();

    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.get_details_error_info().unwrap().reason, "NO_GENERATION");
}

#[tokio::test]
async fn names_the_field_that_is_not_valid() {
    let mut store = FeatureStore::start().await;
    let many = vec!["u"; 1001];

    let none = store.embeddings(EntityKind::User, &[], "").await.unwrap_err();
    let too_many = store.embeddings(EntityKind::User, &many, "").await.unwrap_err();
    let empty = store.embeddings(EntityKind::User, &["u1", ""], "").await.unwrap_err();
    let kind = store.embeddings(EntityKind::Unspecified, &["u1"], "").await.unwrap_err();
    let version = store.embeddings(EntityKind::User, &["u1"], "a\nb").await.unwrap_err();
    let holdings = store.client.batch_get_holdings(BatchGetHoldingsRequest::default()).await.unwrap_err();

    let fields = [none, too_many, empty, kind, version, holdings].map(|status| field(&status));
    assert_eq!(fields, ["ids", "ids", "ids[1]", "entity", "model_version", "user_ids"]);
}

fn ids(found: &BatchGetEmbeddingsResponse) -> Vec<&str> {
    found.results.iter().map(|result| result.id.as_str()).collect()
}

fn statuses(found: &BatchGetEmbeddingsResponse) -> Vec<EmbeddingStatus> {
    found.results.iter().map(EmbeddingResult::status).collect()
}

fn field(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument);
    status.get_details_bad_request().unwrap().field_violations[0].field.clone()
}
