//! The registry of model versions.

use chrono::DateTime;
use finrank_model::{EmbeddingSpace, ModelVersion};
use finrank_store::{
    StoreError,
    models::{self, RegisteredModel},
    scratch::ScratchDatabase,
};
use serde_json::json;

fn version(name: &str) -> ModelVersion {
    ModelVersion::parse(name).unwrap()
}

fn model(name: &str, digest: &str) -> RegisteredModel {
    RegisteredModel {
        model_version: version(name),
        embedding_space: EmbeddingSpace::parse(format!("space of {name}")).unwrap(),
        bundle_path: format!("/models/{name}"),
        bundle_sha256: digest.to_owned(),
        manifest: json!({"metrics": {"auc": 0.75}}),
        registered_at: DateTime::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn what_was_registered_is_found_as_it_was() {
    let database = ScratchDatabase::create().await;
    let offered = model("m1", "aa");

    models::register(&database.store, &offered).await.unwrap();
    let found = models::get(&database.store, &version("m1")).await.unwrap().unwrap();

    assert!(found.registered_at > DateTime::UNIX_EPOCH);
    let expected = RegisteredModel { registered_at: found.registered_at, ..offered };
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_same_bundle_again_changes_nothing() {
    let database = ScratchDatabase::create().await;
    models::register(&database.store, &model("m1", "aa")).await.unwrap();
    let before = models::get(&database.store, &version("m1")).await.unwrap();

    models::register(&database.store, &model("m1", "aa")).await.unwrap();

    assert_eq!(models::get(&database.store, &version("m1")).await.unwrap(), before);
}

#[tokio::test]
async fn another_bundle_under_the_same_version_is_refused() {
    let database = ScratchDatabase::create().await;
    models::register(&database.store, &model("m1", "aa")).await.unwrap();

    let error = models::register(&database.store, &model("m1", "bb")).await.unwrap_err();

    assert_eq!(error.to_string(), "model version m1 is registered with bundle aa, not bb");
    let kept = models::get(&database.store, &version("m1")).await.unwrap().unwrap();
    assert_eq!(kept.bundle_sha256, "aa");
}

#[tokio::test]
async fn of_two_bundles_at_the_same_time_one_is_refused() {
    let database = ScratchDatabase::create().await;
    let (one, other) = (model("m1", "aa"), model("m1", "bb"));

    let (first, second) =
        tokio::join!(models::register(&database.store, &one), models::register(&database.store, &other));

    let refused = [&first, &second]
        .into_iter()
        .filter(|result| matches!(result, Err(StoreError::AnotherBundle { .. })))
        .count();
    assert_eq!(refused, 1, "{first:?}, {second:?}");
}

#[tokio::test]
async fn the_newest_is_the_one_registered_last() {
    let database = ScratchDatabase::create().await;
    assert_eq!(models::newest(&database.store).await.unwrap(), None);
    for name in ["m2", "m1"] {
        models::register(&database.store, &model(name, "aa")).await.unwrap();
    }

    let newest = models::newest(&database.store).await.unwrap().unwrap();

    assert_eq!(newest.model_version, version("m1"));
}

#[tokio::test]
async fn an_unknown_version_is_none() {
    let database = ScratchDatabase::create().await;

    assert_eq!(models::get(&database.store, &version("m9")).await.unwrap(), None);
}
