//! What is held on a person, and its erasure.

mod export;

use finrank_contracts::{
    common::v1::EventKind,
    feast::server::{PushRequest, grpc_feature_server_client::GrpcFeatureServerClient},
    feature::v1::{
        EmbeddingResult, EmbeddingStatus, EntityKind, EraseCustomerRequest, EraseCustomerResponse,
        ExportCustomerRequest, RefreshState, WriteCustomersRequest, export_customer_response::Item,
    },
};
use futures::stream;
use sqlx::{Postgres, Transaction};
use tokio::task::JoinHandle;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    FeatureStore,
    samples::{at, customer_message, event_message, income, user},
};

async fn export(store: &mut FeatureStore, user_id: &str) -> Result<Vec<Item>, Status> {
    let request = ExportCustomerRequest { user_id: user_id.to_owned() };
    let mut answers = store.client.export_customer(request).await?.into_inner();
    let mut items = Vec::new();
    while let Some(answer) = answers.message().await? {
        items.push(answer.item.unwrap());
    }
    Ok(items)
}

async fn erase(store: &mut FeatureStore, user_id: &str) -> Result<EraseCustomerResponse, Status> {
    let request = EraseCustomerRequest { user_id: user_id.to_owned() };
    store.client.erase_customer(request).await.map(tonic::Response::into_inner)
}

/// The tables of which a row, whatever its columns, holds the text.
async fn tables_that_name(store: &FeatureStore, text: &str) -> Vec<String> {
    let pool = store.database.store.pool();
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables
         where table_schema = 'public' and table_type = 'BASE TABLE' order by table_name",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.contains(&"event_statements".to_owned()), "{tables:?}");
    let mut naming = Vec::new();
    for table in tables {
        let query = format!("select exists (select from {table} t where t::text like '%{text}%')");
        if sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(pool).await.unwrap() {
            naming.push(table);
        }
    }
    naming
}

#[tokio::test]
async fn erases_a_customer_from_every_table_and_tells_how_much() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    // The first of a partition, so that its bound is this id.
    assert!(tables_that_name(&store, "u0010").await.contains(&"refresh_partitions".to_owned()));

    let receipt = erase(&mut store, "u0010").await.unwrap();

    let removed: Vec<(&str, u64)> =
        receipt.removed.iter().map(|removed| (removed.table.as_str(), removed.rows)).collect();
    let events = user(10).held.len() as u64;
    assert_eq!(
        removed,
        [
            ("customer_statements", 1),
            ("event_statements", events),
            ("user_embeddings", 1),
            ("live_user_embeddings", 0),
            ("refresh_changes", 0),
            ("refresh_partitions", 1),
            ("feature_outliers", 0),
            ("served_samples", 0),
            ("decision_inputs", 0),
            ("decision_outcomes", 0),
            ("shadow_decisions", 0)
        ]
    );
    assert_eq!(tables_that_name(&store, "u0010").await, Vec::<String>::new());
    assert_eq!(tables_that_name(&store, &receipt.erasure_id).await, ["erasures"]);
    let found = store.embeddings(EntityKind::User, &["u0010", "u0011"], "").await.unwrap();
    let statuses: Vec<_> = found.results.iter().map(EmbeddingResult::status).collect();
    assert_eq!(statuses, [EmbeddingStatus::UnknownEntity, EmbeddingStatus::Present]);
    for refusal in
        [erase(&mut store, "u0010").await.unwrap_err(), export(&mut store, "u0010").await.unwrap_err()]
    {
        assert_eq!(refusal.code(), Code::NotFound);
        assert_eq!(refusal.get_details_error_info().unwrap().reason, "USER_NOT_FOUND");
    }
}

#[tokio::test]
async fn what_was_believed_of_an_erased_customer_does_not_come_back_with_a_push_under_way() {
    let mut store = FeatureStore::start().await;
    store.write_customers(vec![income("u0099", 10.0, at(100), 0)]).await;
    let gate = close_gate_for_pushes(&store).await;
    let pushing = tokio::spawn(SaidOf { user_id: "u0099", seconds: 200 }.push(store.channel.clone()));
    until_someone_waits_at_the_gate_for_pushes(&store).await;

    erase_while(&store, "u0099", gate, pushing).await;

    assert_eq!(tables_that_name(&store, "u0099").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_pushed_of_an_erased_customer_does_not_come_back_with_what_shines_through_it() {
    let store = FeatureStore::start().await;
    SaidOf { user_id: "u0099", seconds: 200 }.push(store.channel.clone()).await;
    let gate = close_gate_for_pushes(&store).await;
    let late = WriteCustomersRequest { customers: vec![income("u0099", 10.0, at(100), 0)] };
    let mut client = store.client.clone();
    let writing = tokio::spawn(async move {
        client.write_customers(stream::iter([late])).await.unwrap();
    });
    until_someone_waits_at_the_gate_for_pushes(&store).await;

    erase_while(&store, "u0099", gate, writing).await;

    assert_eq!(tables_that_name(&store, "u0099").await, Vec::<String>::new());
}

/// A push of somebody's savings.
struct SaidOf {
    user_id: &'static str,
    seconds: i64,
}

impl SaidOf {
    async fn push(self, channel: Channel) {
        let features = [
            ("user_id", self.user_id.to_owned()),
            ("event_timestamp", chrono::DateTime::from_timestamp(self.seconds, 0).unwrap().to_rfc3339()),
            ("savings", "1".to_owned()),
        ];
        let row = PushRequest {
            features: features.map(|(name, text)| (name.to_owned(), text)).into(),
            stream_feature_view: "customer_profile".to_owned(),
            to: "online".to_owned(),
            ..PushRequest::default()
        };
        GrpcFeatureServerClient::new(channel).push(row).await.unwrap();
    }
}

/// Keeps pushed statements of customers from being inserted, though their writers have read what they rest on, until it
/// is dropped.
async fn close_gate_for_pushes(store: &FeatureStore) -> Transaction<'static, Postgres> {
    store
        .execute(
            "create function wait_at_the_gate() returns trigger language plpgsql as
             $$ begin perform pg_advisory_xact_lock_shared(42); return new; end $$;
             create trigger gate before insert on customer_statements for each row
             when (new.stated is not null) execute function wait_at_the_gate()",
        )
        .await;
    let mut gate = store.database.store.pool().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(42)").execute(&mut *gate).await.unwrap();
    gate
}

async fn until_someone_waits_at_the_gate_for_pushes(store: &FeatureStore) {
    until_someone_waits_for(store, "classid = 0 and objid = 42").await;
}

/// Waits until someone waits for an advisory lock of this database.
async fn until_someone_waits_for(store: &FeatureStore, lock: &str) {
    let waits = format!(
        "select count(*) from pg_locks
         where locktype = 'advisory' and not granted and {lock}
           and database = (select oid from pg_database where datname = current_database())"
    );
    while store.count(&waits).await == 0 {
        tokio::task::yield_now().await;
    }
}

/// Erases a customer while someone waits at the gate, which opens once the erasure is over or waits itself.
async fn erase_while(
    store: &FeatureStore,
    user_id: &'static str,
    gate: Transaction<'static, Postgres>,
    waiting: JoinHandle<()>,
) {
    let mut client = store.client.clone();
    let mut erasing = tokio::spawn(async move {
        client.erase_customer(EraseCustomerRequest { user_id: user_id.to_owned() }).await
    });
    let erased = tokio::select! {
        erased = &mut erasing => Some(erased),
        // The lock of whoever erases.
        () = until_someone_waits_for(store, "classid = 1718185586 and objid = 1701994867") => None,
    };
    gate.commit().await.unwrap();
    waiting.await.unwrap();
    match erased {
        Some(erased) => erased.unwrap().unwrap(),
        None => erasing.await.unwrap().unwrap(),
    };
}

#[tokio::test]
async fn erases_a_customer_whose_embedding_a_refresh_is_about_to_write() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    store.register_model("m1", 1).await;
    let gate = store.close_gate().await;
    let run = store.start_refresh("m1").await.unwrap();
    store.until_someone_waits_at_the_gate().await;
    let mut client = store.client.clone();
    let erasing = tokio::spawn(async move {
        client.erase_customer(EraseCustomerRequest { user_id: "u0003".to_owned() }).await
    });

    gate.commit().await.unwrap();
    erasing.await.unwrap().unwrap();
    let run = store.watch_refresh(run.run_id).await.pop().unwrap();

    assert_eq!(run.state(), RefreshState::Complete, "{run:?}");
    assert_eq!(tables_that_name(&store, "u0003").await, Vec::<String>::new());
}

#[tokio::test]
async fn exports_and_erases_live_embeddings_too() {
    let mut store = FeatureStore::start_filled_live(25, 6).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    store.write_customers(vec![customer_message(&user(3), 200)]).await;
    store.until_live("m1").await;

    let items = export(&mut store, "u0003").await.unwrap();
    let receipt = erase(&mut store, "u0003").await.unwrap();

    let runs: Vec<i64> = items
        .iter()
        .filter_map(|item| match item {
            Item::Embedding(embedding) => Some(embedding.run_id),
            _ => None,
        })
        .collect();
    assert_eq!((runs.len(), runs[0]), (2, 0), "the live one, and the run's");
    assert!(
        receipt.removed.iter().any(|removed| removed.table == "live_user_embeddings" && removed.rows == 1)
    );
    assert_eq!(tables_that_name(&store, "u0003").await, Vec::<String>::new());
}

/// Stops a step of live embeddings after it has read and before it writes, for as long as somebody else has the lock.
const STOP_STEPS: &str = "create function stop() returns trigger language plpgsql as
     $$ begin perform pg_advisory_xact_lock_shared(4711); return null; end $$;
     create trigger stop before insert on live_user_embeddings for each statement execute function stop()";

#[tokio::test]
async fn erases_a_customer_whose_live_embedding_is_about_to_be_written() {
    let mut store = FeatureStore::start_filled_live(25, 6).await;
    store.register_model("m1", 1).await;
    store.refresh("m1").await;
    store.execute(STOP_STEPS).await;
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database =
                       (select oid from pg_database where datname = current_database())";
    let mut gate = store.database.store.pool().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(4711)").execute(&mut *gate).await.unwrap();
    store.write_customers(vec![customer_message(&user(3), 200)]).await;
    while store.count(waiting).await == 0 {
        tokio::task::yield_now().await;
    }
    let mut client = store.client.clone();
    let erasing = tokio::spawn(async move {
        client.erase_customer(EraseCustomerRequest { user_id: "u0003".to_owned() }).await
    });

    // The erasure waits for the step, too, or else has ended.
    while store.count(waiting).await == 1 && !erasing.is_finished() {
        tokio::task::yield_now().await;
    }
    gate.commit().await.unwrap();
    erasing.await.unwrap().unwrap();
    store.until_live("m1").await;

    assert_eq!(tables_that_name(&store, "u0003").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_run_that_was_stopped_resumes_around_an_erased_customer() {
    let mut store = FeatureStore::start_filled(25, 6).await;
    store.register_model("m1", 1).await;
    store.refuse_embedding_of("u0015").await;
    store.refresh("m1").await;
    store.refuse_no_more().await;

    // The bounds of both partitions that are left.
    erase(&mut store, "u0010").await.unwrap();
    erase(&mut store, "u0020").await.unwrap();
    erase(&mut store, "u0024").await.unwrap();
    let run = store.refresh("m1").await;

    assert_eq!(run.state(), RefreshState::Complete);
    let ids: Vec<String> = (0..25).map(|index| format!("u{index:04}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found = store.embeddings(EntityKind::User, &ids, "").await.unwrap();
    let missing: Vec<&str> = found
        .results
        .iter()
        .filter(|result| result.status() != EmbeddingStatus::Present)
        .map(|result| result.id.as_str())
        .collect();
    assert_eq!(missing, ["u0010", "u0020", "u0024"]);
}

#[tokio::test]
async fn someone_of_whom_only_events_are_known_can_be_erased_too() {
    let mut store = FeatureStore::start().await;
    store.write_events(vec![event_message("e1", "u7", "p1", EventKind::Viewed, 100)]).await;

    assert_eq!(export(&mut store, "u7").await.unwrap().len(), 1);
    erase(&mut store, "u7").await.unwrap();

    assert_eq!(tables_that_name(&store, "u7").await, Vec::<String>::new());
}
