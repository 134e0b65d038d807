//! Who may keep whom from Postgres: nobody those who wait.

use std::time::Duration;

use finrank_contracts::feature::v1::{
    BatchGetHoldingsRequest, EntityKind, ExportCustomerRequest, ListRefreshesRequest, RefreshState,
    StartRefreshRequest,
};
use finrank_store::{DatabaseConfig, Store, scratch::ScratchDatabase};
use tokio::time;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::FeatureStore;

/// A server with so many connections for requests and for the background.
async fn start(requests: u32, background: u32) -> FeatureStore {
    let database = ScratchDatabase::create().await;
    let config = DatabaseConfig {
        url: database.store.url().to_owned(),
        max_connections: requests,
        background_connections: background,
        ..DatabaseConfig::default()
    };
    let connected = Store::connect(&config).await.unwrap();
    let mut store = FeatureStore::start_connected_configured(database, connected, |config| {
        config.server.request_timeout = Duration::from_secs(1);
    })
    .await;
    store.fill(25, 3).await;
    store.register_model("m1", 1).await;
    store
}

fn holdings() -> BatchGetHoldingsRequest {
    BatchGetHoldingsRequest { user_ids: vec!["u0001".to_owned()] }
}

#[tokio::test]
async fn exports_that_come_to_no_end_keep_nobody_from_postgres() {
    let mut store = start(1, 5).await;
    let mut gate = store.database.store.pool().begin().await.unwrap();
    // An export tells of the models by which embeddings were made.
    sqlx::query("lock table model_versions in access exclusive mode").execute(&mut *gate).await.unwrap();
    let mut exports = Vec::new();
    for _ in 0..4 {
        let request = ExportCustomerRequest { user_id: "u0001".to_owned() };
        exports.push(store.client.export_customer(request).await.unwrap().into_inner());
    }

    let request = ExportCustomerRequest { user_id: "u0001".to_owned() };
    let fifth = store.client.export_customer(request.clone()).await;
    let read = store.client.batch_get_holdings(holdings()).await;
    let refreshes = store.client.list_refreshes(ListRefreshesRequest::default()).await;
    gate.rollback().await.unwrap();
    for mut export in exports {
        while export.message().await.unwrap().is_some() {}
    }
    let sixth = store.client.export_customer(request).await;

    let refused = fifth.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "EXPORTS_UNDER_WAY");
    assert!(refused.get_details_retry_info().is_some());
    assert!(read.is_ok(), "{read:?}");
    assert!(refreshes.is_ok(), "{refreshes:?}");
    assert!(sixth.is_ok(), "{sixth:?}");
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_any_more_gives_its_connection_back() {
    let mut store = start(1, 5).await;
    store.refresh("m1").await;
    let _gate = store.close_gate().await;

    let abandoned = store.embeddings(EntityKind::User, &["u0001"], "").await.unwrap_err();
    // The gate stays closed: what was asked is answered by nobody, and the one connection is with it.
    let others = async { while store.client.batch_get_holdings(holdings()).await.is_err() {} };
    let answered = time::timeout(Duration::from_secs(60), others).await;

    assert_eq!(abandoned.code(), Code::DeadlineExceeded, "{abandoned}");
    assert!(answered.is_ok(), "the connection never came back");
}

#[tokio::test]
async fn more_workers_than_connections_are_refused() {
    let mut store = start(1, 7).await;

    let request = |workers| StartRefreshRequest { workers, ..StartRefreshRequest::default() };
    let refused = store.start_requested_refresh(request(4)).await.unwrap_err();
    let started = store.start_requested_refresh(request(3)).await.unwrap();

    let violation = &refused.get_details_bad_request().unwrap().field_violations[0];
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(violation.field, "workers");
    assert_eq!(
        violation.description,
        "is 4, more than 3: database.background_connections is 7, of which exports may take 4"
    );
    let run = store.watch_refresh(started.run_id).await.pop().unwrap();
    assert_eq!(run.state(), RefreshState::Complete, "{}", run.error);
}
