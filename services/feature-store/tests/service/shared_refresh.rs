//! Refreshes by several workers, of a part, by way of trial, and ended before they are whole.

use crate::support::{
    FeatureStore,
    samples::{customer_message, product_message, products, user, users},
};
use chrono::{TimeDelta, Utc};
use finrank_contracts::feature::v1::{
    CancelRefreshRequest, EntityKind, ListRefreshesRequest, RefreshRun, RefreshScope, RefreshState,
    StartRefreshRequest,
};
use finrank_model::{Bundle, Embedding};
use finrank_serving::wire;
use tonic::{Code, Status};
use tonic_types::StatusExt;

#[tokio::test]
async fn shares_a_run_among_workers_without_a_lost_or_doubled_row() {
    let mut store = FeatureStore::start_filled(230, 12).await;
    let bundle = store.register_model("m1", 1).await;
    let gate = store.close_gate().await;
    let started = store.start_requested_refresh(request(|it| it.workers = 4)).await.unwrap();

    // Each holds a partition of its own.
    store.until_waiting_at_the_gate(4).await;
    gate.rollback().await.unwrap();
    let run = store.watch_refresh(started.run_id).await.pop().unwrap();

    assert_eq!((run.state(), run.rows_done), (RefreshState::Complete, 242), "{}", run.error);
    assert!(run.rows_per_second > 0.0);
    assert_eq!(stored_users(&store).await, encoded_users(&bundle, 230));
}

#[tokio::test]
async fn shares_a_run_among_servers() {
    let mut store = FeatureStore::start_filled(45, 3).await;
    let bundle = store.register_model("m1", 1).await;
    let mut second = store.second_server().await;
    let gate = store.close_gate().await;
    let started = store.start_refresh("m1").await.unwrap();
    store.until_someone_waits_at_the_gate().await;

    let joined = second.start_refresh(request(|_| ())).await.unwrap().into_inner().run.unwrap();
    // One worker of each.
    store.until_waiting_at_the_gate(2).await;
    gate.rollback().await.unwrap();
    let run = store.watch_refresh(started.run_id).await.pop().unwrap();

    assert_eq!((joined.run_id, joined.resumed), (started.run_id, true));
    assert_eq!((run.state(), run.rows_done), (RefreshState::Complete, 48), "{}", run.error);
    assert_eq!(stored_users(&store).await, encoded_users(&bundle, 45));
}

#[tokio::test]
async fn completes_a_run_although_one_of_its_workers_dies() {
    let mut store = FeatureStore::start_filled(45, 3).await;
    let bundle = store.register_model("m1", 1).await;
    let gate = store.close_gate().await;
    let started = store.start_requested_refresh(request(|it| it.workers = 2)).await.unwrap();
    store.until_waiting_at_the_gate(2).await;

    store.cut_one_workers_connection().await;
    gate.rollback().await.unwrap();
    let run = store.watch_refresh(started.run_id).await.pop().unwrap();

    assert_eq!((run.state(), run.rows_done), (RefreshState::Complete, 48), "{}", run.error);
    assert_eq!(stored_users(&store).await, encoded_users(&bundle, 45));
}

#[tokio::test]
async fn reads_a_partition_that_has_grown_page_by_page() {
    let mut store = FeatureStore::start_filled(25, 2).await;
    let bundle = store.register_model("m1", 1).await;
    store.refuse_embedding_of("u0024").await;
    store.refresh("m1").await;
    store.refuse_no_more().await;
    // The last partition was planned with 5 customers and has 65 now; those at its pages' ends included.
    let late = (25..85).map(|number| customer_message(&user(number), 100)).collect();
    store.write_customers(late).await;

    let run = store.refresh("m1").await;

    assert_eq!((run.state(), run.rows_done, run.partitions_done), (RefreshState::Complete, 87, 4));
    let ids: Vec<String> = stored_users(&store).await.into_iter().map(|(user_id, _)| user_id).collect();
    let known: Vec<String> = users(85).iter().map(|user| user.user_id.to_string()).collect();
    assert_eq!(ids, known);
    assert_eq!(stored_users(&store).await[..25], encoded_users(&bundle, 25));
}

#[tokio::test]
async fn ends_a_cancelled_run_and_begins_anew_after_it() {
    let mut store = FeatureStore::start_filled(25, 2).await;
    store.register_model("m1", 1).await;
    let gate = store.close_gate().await;
    let started = store.start_refresh("m1").await.unwrap();
    store.until_someone_waits_at_the_gate().await;

    let cancelled = cancel(&mut store, started.run_id).await.unwrap();
    gate.rollback().await.unwrap();
    let last = store.watch_refresh(started.run_id).await.pop().unwrap();
    let again = store.start_refresh("m1").await.unwrap();
    let complete = store.watch_refresh(again.run_id).await.pop().unwrap();

    assert_eq!(cancelled.state(), RefreshState::Cancelled);
    assert_eq!((last.state(), last.rows_done), (RefreshState::Cancelled, 0));
    assert!(!again.resumed && again.run_id > started.run_id);
    assert_eq!((complete.state(), complete.rows_done), (RefreshState::Complete, 27));
    let status = cancel(&mut store, complete.run_id).await.unwrap_err();
    assert_eq!(reason(&status), (Code::FailedPrecondition, "REFRESH_COMPLETE".to_owned()));
    let status = cancel(&mut store, 4711).await.unwrap_err();
    assert_eq!(reason(&status), (Code::NotFound, "REFRESH_RUN_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn lists_runs_page_by_page_newest_first() {
    let mut store = FeatureStore::start_filled(3, 2).await;
    store.register_model("m1", 1).await;
    let first = store.refresh("m1").await;
    let second = store.refresh("m1").await;

    let newest = list(&mut store, 1, "").await.unwrap();
    let rest = list(&mut store, 1, &newest.1).await.unwrap();
    let all = list(&mut store, 0, "").await.unwrap();
    let status = list(&mut store, 0, "x").await.unwrap_err();

    assert_eq!((newest.0, rest), (vec![second.run_id], (vec![first.run_id], String::new())));
    assert_eq!(all, (vec![second.run_id, first.run_id], String::new()));
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "page_token");
}

#[tokio::test]
async fn says_what_it_would_do_and_leaves_nothing_behind() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    store.register_model("m1", 1).await;

    let full = store.start_requested_refresh(request(|it| it.dry_run = true)).await.unwrap();
    let before = list(&mut store, 0, "").await.unwrap();
    store.refresh("m1").await;
    store.write_customers(vec![customer_message(&user(3), 200)]).await;
    let changes = |it: &mut StartRefreshRequest| {
        it.dry_run = true;
        it.scope = RefreshScope::Changes.into();
    };
    let changes = store.start_requested_refresh(request(changes)).await.unwrap();
    let after = list(&mut store, 0, "").await.unwrap();

    assert_eq!((full.run_id, full.rows_total, full.partitions_total), (0, 31, 4));
    assert_eq!((changes.run_id, changes.rows_total, changes.partitions_total), (0, 1, 1));
    assert_eq!((before.0.len(), after.0.len()), (0, 1));
}

/// What a run of a part leaves out, the next run of changes brings.
#[tokio::test]
async fn refreshes_only_users_and_forgets_no_product() {
    let mut store = FeatureStore::start_filled(12, 3).await;
    let bundle = store.register_model("m1", 1).await;
    let only_users = |scope: RefreshScope| {
        move |it: &mut StartRefreshRequest| {
            it.scope = scope.into();
            it.only = EntityKind::User.into();
        }
    };
    let nothing_to_add_to = store.start_requested_refresh(request(only_users(RefreshScope::Full))).await;
    store.refresh("m1").await;
    let changed = products(4).pop().unwrap();
    store.write_products(vec![product_message(&changed, 200)]).await;
    store.write_customers(vec![customer_message(&user(12), 200)]).await;

    let all_users = run(&mut store, only_users(RefreshScope::Full)).await;
    let changed_users = run(&mut store, only_users(RefreshScope::Changes)).await;
    let changes = run(&mut store, |it| it.scope = RefreshScope::Changes.into()).await;

    assert_eq!(reason(&nothing_to_add_to.unwrap_err()).1, "NO_GENERATION");
    assert_eq!((all_users.rows_done, all_users.only()), (13, EntityKind::User));
    assert_eq!(changed_users.rows_done, 1);
    assert_eq!(changes.rows_done, 2, "the product that the runs of users left out");
    let product = store.embeddings(EntityKind::Product, &[changed.product_id.as_str()], "").await.unwrap();
    let embedding = product.results[0].embedding.clone().unwrap().values;
    assert_eq!(embedding, bundle.product.encode(&[changed]).unwrap()[0].as_slice());
}

#[tokio::test]
async fn takes_changes_since_a_moment_that_leaves_nothing_out() {
    let mut store = FeatureStore::start_filled(12, 3).await;
    store.register_model("m1", 1).await;
    let before = Utc::now() - TimeDelta::hours(1);
    store.refresh("m1").await;
    let since = |moment| {
        move |it: &mut StartRefreshRequest| {
            it.scope = RefreshScope::Changes.into();
            it.since = Some(wire::timestamp(moment));
        }
    };

    let all_again = run(&mut store, since(before)).await;
    let too_late = store.start_requested_refresh(request(since(Utc::now()))).await.unwrap_err();
    let for_a_full_one = store
        .start_requested_refresh(request(|it| it.since = Some(wire::timestamp(before))))
        .await
        .unwrap_err();

    assert_eq!((all_again.state(), all_again.rows_done), (RefreshState::Complete, 15));
    for status in [too_late, for_a_full_one] {
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "since");
    }
}

fn request(change: impl FnOnce(&mut StartRefreshRequest)) -> StartRefreshRequest {
    let mut request = StartRefreshRequest { model_version: "m1".to_owned(), ..Default::default() };
    change(&mut request);
    request
}

async fn run(store: &mut FeatureStore, change: impl FnOnce(&mut StartRefreshRequest)) -> RefreshRun {
    let started = store.start_requested_refresh(request(change)).await.unwrap();
    store.watch_refresh(started.run_id).await.pop().unwrap()
}

async fn cancel(store: &mut FeatureStore, run_id: i64) -> Result<RefreshRun, Status> {
    Ok(store.client.cancel_refresh(CancelRefreshRequest { run_id }).await?.into_inner().run.unwrap())
}

async fn list(store: &mut FeatureStore, page_size: u32, token: &str) -> Result<(Vec<i64>, String), Status> {
    let request = ListRefreshesRequest { page_size, page_token: token.to_owned() };
    let response = store.client.list_refreshes(request).await?.into_inner();
    Ok((response.runs.iter().map(|run| run.run_id).collect(), response.next_page_token))
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().unwrap().reason)
}

/// `(user_id, vector)` in the order of ids, of every row that is there.
async fn stored_users(store: &FeatureStore) -> Vec<(String, Vec<u8>)> {
    sqlx::query_as("select user_id, vector from user_embeddings order by user_id")
        .fetch_all(store.database.store.pool())
        .await
        .unwrap()
}

fn encoded_users(bundle: &Bundle, count: usize) -> Vec<(String, Vec<u8>)> {
    let users = users(count);
    let embeddings = bundle.user.encode(&users).unwrap();
    let vectors = embeddings.iter().map(Embedding::to_le_bytes);
    users.iter().map(|user| user.user_id.to_string()).zip(vectors).collect()
}
