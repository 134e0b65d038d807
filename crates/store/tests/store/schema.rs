//! The migrations.

use chrono::DateTime;
use finrank_store::{DatabaseConfig, Store, bulk, records, scratch::ScratchDatabase};
use tokio::task::spawn_blocking;

#[tokio::test]
async fn migrating_again_keeps_what_is_stored() {
    let database = ScratchDatabase::create().await;
    add_customer(&database.store, "kept").await;

    database.store.migrate().await.unwrap();

    assert_eq!(user_ids(&database.store).await, ["kept"]);
}

#[tokio::test]
async fn processes_may_migrate_at_the_same_time() {
    let database = ScratchDatabase::create().await;
    let fresh = Fresh::create(&database.store, "").await;

    let (first, second) = tokio::join!(fresh.store.migrate(), fresh.store.migrate());

    first.unwrap();
    second.unwrap();
    fresh.drop().await;
}

#[tokio::test]
async fn ids_sort_by_their_bytes_whatever_the_locale_of_the_database() {
    let database = ScratchDatabase::create().await;
    let english = "template template0 locale_provider icu icu_locale 'en-US' locale 'C'";
    let fresh = Fresh::create(&database.store, english).await;
    fresh.store.migrate().await.unwrap();
    for id in ["é", "a", "B", "a-1", "aa"] {
        add_customer(&fresh.store, id).await;
    }

    let ids = user_ids(&fresh.store).await;

    assert_eq!(ids, ["B", "a", "a-1", "aa", "é"]);
    fresh.drop().await;
}

/// A database without the schema, beside the one of a test.
struct Fresh {
    store: Store,
    name: String,
    server: String,
}

impl Fresh {
    async fn create(beside: &Store, options: &str) -> Self {
        let (authority, name) = beside.url().rsplit_once('/').unwrap();
        let name = format!("{name}_fresh");
        execute(beside.url().to_owned(), format!("create database {name} {options}")).await;
        let config = DatabaseConfig { url: format!("{authority}/{name}"), ..DatabaseConfig::default() };
        Self { store: Store::connect(&config).await.unwrap(), name, server: beside.url().to_owned() }
    }

    async fn drop(self) {
        self.store.pool().close().await;
        execute(self.server, format!("drop database {}", self.name)).await;
    }
}

async fn execute(url: String, statement: String) {
    spawn_blocking(move || bulk::connect(&url).unwrap().batch_execute(&statement).unwrap()).await.unwrap();
}

async fn add_customer(store: &Store, user_id: &str) {
    sqlx::query("insert into customer_statements (user_id, attributes, event_time) values ($1, '{}', $2)")
        .bind(user_id)
        .bind(DateTime::UNIX_EPOCH)
        .execute(store.pool())
        .await
        .unwrap();
}

async fn user_ids(store: &Store) -> Vec<String> {
    let records = records::user_records(store, None, None, 100).await.unwrap();
    records.into_iter().map(|record| record.user_id.to_string()).collect()
}
