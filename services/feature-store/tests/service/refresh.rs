//! Refreshes end to end: partitions, visibility, resumption, and who may run at the same time.

use crate::support::{
    FeatureStore,
    samples::{DIMENSION, customer_message, products, user, users},
};
use finrank_contracts::feature::v1::{EmbeddingStatus, EntityKind, RefreshState};
use finrank_model::{Bundle, Embedding, UserRecord};
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test]
async fn writes_what_the_towers_compute_bit_for_bit() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    let bundle = store.register_model("m1", 1).await;

    let run = store.refresh("m1").await;

    assert_eq!(run.state(), RefreshState::Complete, "{}", run.error);
    assert_eq!((run.rows_total, run.rows_done), (31, 31));
    assert_eq!((run.partitions_total, run.partitions_done), (4, 4));
    assert_eq!(stored_users(&store).await, encoded(&bundle, &users(25)));
    let computed: Vec<Vec<u8>> =
        bundle.product.encode(&products(6)).unwrap().iter().map(Embedding::to_le_bytes).collect();
    let stored: Vec<Vec<u8>> =
        sqlx::query_scalar("select vector from product_embeddings order by product_id")
            .fetch_all(store.database.store.pool())
            .await
            .unwrap();
    assert_eq!(stored, computed);
}

#[tokio::test]
async fn takes_the_newest_model_version_when_none_is_named() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("older", 1).await;
    store.register_model("newer", 2).await;

    let run = store.refresh("").await;

    assert_eq!(run.model_version, "newer");
}

#[tokio::test]
async fn completes_an_empty_store_with_an_empty_generation() {
    let mut store = FeatureStore::start().await;
    store.register_model("m1", 1).await;

    let run = store.refresh("m1").await;

    assert_eq!((run.state(), run.rows_total), (RefreshState::Complete, 0));
}

#[tokio::test]
async fn shows_no_embedding_before_the_generation_is_whole() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    store.register_model("m1", 1).await;
    store.refuse_embedding_of("u0024").await;

    let run = store.refresh("m1").await;

    assert_eq!(run.state(), RefreshState::Failed);
    assert!(run.error.contains("refused by the test"), "{}", run.error);
    assert_eq!((run.partitions_done, run.rows_done), (2, 20));
    let status = store.embeddings(EntityKind::User, &["u0001"], "").await.unwrap_err();
    assert_eq!(reason(&status), (Code::FailedPrecondition, "NO_GENERATION".to_owned()));
}

#[tokio::test]
async fn what_stopped_a_run_names_no_customer() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    store.register_model("m1", 1).await;
    let refuse = "alter table user_embeddings add constraint not_this_one check (user_id <> 'u0015')";
    store.execute(refuse).await;

    let run = store.refresh("m1").await;

    assert_eq!(run.state(), RefreshState::Failed);
    assert!(run.error.contains("(SQLSTATE 23514, constraint not_this_one)"), "{}", run.error);
    assert!(!run.error.contains("u0015"), "{}", run.error);
}

#[tokio::test]
async fn goes_on_after_a_failure_with_the_partitions_that_are_missing() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    let bundle = store.register_model("m1", 1).await;
    store.refuse_embedding_of("u0015").await;
    let failed = store.refresh("m1").await;
    let written_first = computed_at(&store, "u0003").await;
    store.refuse_no_more().await;

    let started = store.start_refresh("m1").await.unwrap();
    let resumed = store.watch_refresh(started.run_id).await.pop().unwrap();

    assert!(started.resumed);
    assert_eq!(started.run_id, failed.run_id);
    assert_eq!(
        (resumed.state(), resumed.rows_done, resumed.error.as_str()),
        (RefreshState::Complete, 31, "")
    );
    assert_eq!(stored_users(&store).await, encoded(&bundle, &users(25)));
    assert_eq!(computed_at(&store, "u0003").await, written_first);
}

/// What `kill -9` leaves behind: a run that says it runs, whole partitions, and nobody who holds the lock.
#[tokio::test]
async fn goes_on_with_a_run_whose_worker_was_killed() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    let bundle = store.register_model("m1", 1).await;
    store.refuse_embedding_of("u0015").await;
    let killed = store.refresh("m1").await;
    store.refuse_no_more().await;
    store.execute("update refresh_runs set state = 'running', error = '', finished_at = null").await;

    let started = store.start_refresh("m1").await.unwrap();
    let resumed = store.watch_refresh(started.run_id).await.pop().unwrap();

    assert_eq!((started.run_id, started.resumed), (killed.run_id, true));
    assert_eq!(resumed.state(), RefreshState::Complete);
    assert_eq!(stored_users(&store).await, encoded(&bundle, &users(25)));
}

#[tokio::test]
async fn loses_only_the_partition_at_hand_when_the_workers_connection_is_cut() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    let bundle = store.register_model("m1", 1).await;
    let gate = store.close_gate().await;
    let started = store.start_refresh("m1").await.unwrap();
    store.cut_workers_connection().await;
    let cut = store.watch_refresh(started.run_id).await.pop().unwrap();
    gate.rollback().await.unwrap();

    let resumed = store.refresh("m1").await;

    assert_eq!(cut.state(), RefreshState::Failed);
    assert_eq!((resumed.run_id, resumed.state()), (started.run_id, RefreshState::Complete));
    assert_eq!(stored_users(&store).await, encoded(&bundle, &users(25)));
}

#[tokio::test]
async fn tells_whoever_watches_a_killed_run_that_it_has_failed() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("m1", 1).await;
    let run = store.refresh("m1").await;
    store.execute("update refresh_runs set state = 'running', finished_at = null").await;

    let states = store.watch_refresh(run.run_id).await;

    let last = states.last().unwrap();
    assert_eq!(last.state(), RefreshState::Failed);
    assert!(last.error.contains("its worker is gone"), "{}", last.error);
}

#[tokio::test]
async fn takes_over_from_a_killed_run_of_another_model() {
    let mut store = FeatureStore::start_filled(15, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    store.refuse_embedding_of("u0012").await;
    let killed = store.refresh("m1").await;
    store.refuse_no_more().await;
    store.execute("update refresh_runs set state = 'running', error = '', finished_at = null").await;

    let run = store.refresh("m2").await;

    assert_eq!((run.state(), run.model_version.as_str()), (RefreshState::Complete, "m2"));
    assert!(run.run_id > killed.run_id);
    let left: Vec<i64> = sqlx::query_scalar("select distinct run_id from user_embeddings")
        .fetch_all(store.database.store.pool())
        .await
        .unwrap();
    assert_eq!(left, [run.run_id], "what the new generation has overtaken is dropped");
}

#[tokio::test]
async fn refuses_another_model_while_a_worker_lives_and_joins_its_run_for_the_same() {
    let mut store = FeatureStore::start_filled(15, 2).await;
    store.register_model("m1", 1).await;
    store.register_model("m2", 2).await;
    let gate = store.close_gate().await;
    let started = store.start_refresh("m1").await.unwrap();

    let joined = store.start_refresh("m1").await.unwrap();
    let status = store.start_refresh("m2").await.unwrap_err();
    gate.rollback().await.unwrap();
    let run = store.watch_refresh(started.run_id).await.pop().unwrap();

    assert!(!started.resumed);
    assert_eq!((joined.run_id, joined.resumed), (started.run_id, true));
    assert_eq!(reason(&status), (Code::FailedPrecondition, "REFRESH_UNDER_WAY".to_owned()));
    assert!(status.message().contains("m1"), "{}", status.message());
    assert_eq!(run.state(), RefreshState::Complete);
}

#[tokio::test]
async fn stops_a_run_with_the_server_and_leaves_it_to_be_resumed() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    store.register_model("m1", 1).await;
    let gate = store.close_gate().await;
    let started = store.start_refresh("m1").await.unwrap();

    store.begin_shutdown();
    gate.rollback().await.unwrap();
    let database = store.stopped().await;

    let (state, error): (String, String) =
        sqlx::query_as("select state, error from refresh_runs where run_id = $1")
            .bind(started.run_id)
            .fetch_one(database.store.pool())
            .await
            .unwrap();
    assert_eq!(state, "failed");
    assert!(error.contains("the server was stopped"), "{error}");
}

#[tokio::test]
async fn keeps_the_two_newest_generations() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("m1", 1).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(store.refresh("m1").await.run_id);
    }
    // The old generation goes a moment after the run is complete; a stopped server has no worker any more.
    store.begin_shutdown();
    let database = store.stopped().await;

    let kept: Vec<i64> = sqlx::query_scalar("select distinct run_id from user_embeddings order by run_id")
        .fetch_all(database.store.pool())
        .await
        .unwrap();

    assert_eq!(kept, runs[1..]);
}

#[tokio::test]
async fn brings_a_customer_written_after_one_refresh_with_the_next() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    store.write_customers(vec![customer_message(&user(30), 100)]).await;
    let before = store.embeddings(EntityKind::User, &["u0030"], "").await.unwrap();

    store.refresh("m1").await;

    let after = store.embeddings(EntityKind::User, &["u0030"], "").await.unwrap();
    assert_eq!(before.results[0].status(), EmbeddingStatus::NotMaterialised);
    assert_eq!(after.results[0].status(), EmbeddingStatus::Present);
    assert_eq!(after.results[0].embedding.as_ref().unwrap().values.len(), DIMENSION);
}

#[tokio::test]
async fn refuses_a_model_version_that_is_not_registered_and_a_run_that_never_was() {
    let mut store = FeatureStore::start().await;

    let version = store.start_refresh("nope").await.unwrap_err();
    let newest = store.start_refresh("").await.unwrap_err();
    let request = finrank_contracts::feature::v1::WatchRefreshRequest { run_id: 4711 };
    let run = store.client.watch_refresh(request).await.unwrap_err();

    assert_eq!(reason(&version), (Code::NotFound, "MODEL_VERSION_NOT_FOUND".to_owned()));
    assert_eq!(reason(&newest), (Code::NotFound, "MODEL_VERSION_NOT_FOUND".to_owned()));
    assert_eq!(reason(&run), (Code::NotFound, "REFRESH_RUN_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn refuses_a_bundle_that_is_not_the_registered_one() {
    let mut store = FeatureStore::start().await;
    store.register_model("m1", 1).await;
    store.replace_bundle("m1", 2);

    let status = store.start_refresh("m1").await.unwrap_err();

    assert_eq!(reason(&status), (Code::FailedPrecondition, "BUNDLE_UNUSABLE".to_owned()));
}

fn reason(status: &tonic::Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

/// `(user_id, vector)` in the order of ids, of every row that is there.
async fn stored_users(store: &FeatureStore) -> Vec<(String, Vec<u8>)> {
    sqlx::query_as("select user_id, vector from user_embeddings order by user_id")
        .fetch_all(store.database.store.pool())
        .await
        .unwrap()
}

fn encoded(bundle: &Bundle, users: &[UserRecord]) -> Vec<(String, Vec<u8>)> {
    let embeddings = bundle.user.encode(users).unwrap();
    users
        .iter()
        .zip(embeddings)
        .map(|(user, embedding)| (user.user_id.to_string(), embedding.to_le_bytes()))
        .collect()
}

async fn computed_at(store: &FeatureStore, user_id: &str) -> chrono::DateTime<chrono::Utc> {
    sqlx::query_scalar("select computed_at from user_embeddings where user_id = $1")
        .bind(user_id)
        .fetch_one(store.database.store.pool())
        .await
        .unwrap()
}
