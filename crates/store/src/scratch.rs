//! A database for one test: its own, with the schema, dropped at the end.
//!
//! It lies in the cluster that `FINRANK_TEST_DATABASE_URL` names (`scripts/test` starts one), or else in a
//! private cluster under the system's temporary directory, which is started once, serves later runs too, and is
//! stopped by `finrank postgres stop --data-dir /tmp/finrank-scratch/pg`.

use std::{env, time::Duration};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{DatabaseConfig, Store, cluster};

/// Names the server to make scratch databases in, as a URL of one of its databases.
const SERVER_VARIABLE: &str = "FINRANK_TEST_DATABASE_URL";

/// A database of one test.
#[derive(Debug)]
pub struct ScratchDatabase {
    /// Connected, the schema up to date.
    pub store: Store,
    server: String,
    name: String,
}

impl ScratchDatabase {
    /// Makes an empty database with the schema.
    ///
    /// # Panics
    /// When there is no Postgres to make it in; a test cannot go on without.
    pub async fn create() -> Self {
        let server = tokio::task::spawn_blocking(server).await.expect("looking for Postgres panicked");
        let name = format!("scratch_{}", Uuid::now_v7().simple());
        let mut connection =
            PgConnection::connect(&server).await.expect("the tests' Postgres does not answer");
        execute(&mut connection, &format!("create database {name}")).await;

        let url = with_database(&server, &name);
        let config = DatabaseConfig {
            url,
            max_connections: 8,
            acquire_timeout: Duration::from_secs(30),
            // A test holds a transaction open for as long as it keeps others waiting.
            idle_in_transaction_limit: Duration::from_secs(10 * 60),
            ..DatabaseConfig::default()
        };
        let store = Store::connect(&config).await.expect("the scratch database does not answer");
        store.migrate().await.expect("the migrations do not apply");
        Self { store, server, name }
    }
}

impl Drop for ScratchDatabase {
    /// Drops the database from a thread of its own, since the test's runtime may be ending.
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            if let Ok(mut client) = crate::bulk::connect(&server) {
                // Best effort: a database that stays costs some megabytes until its cluster is removed.
                let _ = client.batch_execute(&format!("drop database if exists {name} with (force)"));
            }
        });
        let _ = dropping.join();
    }
}

async fn execute(connection: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(connection)
        .await
        .expect("the statement is ours");
}

/// A URL of the server's maintenance database.
fn server() -> String {
    if let Ok(url) = env::var(SERVER_VARIABLE) {
        return url;
    }
    let config = cluster::ClusterConfig {
        data_dir: env::temp_dir().join("finrank-scratch/pg"),
        bin_dir: None,
        port: None,
    };
    cluster::start(&config).expect("Postgres starts").url("postgres")
}

/// The same server's URL with another database.
fn with_database(server: &str, database: &str) -> String {
    let (authority, _) = server.rsplit_once('/').expect("a Postgres URL names a database");
    format!("{authority}/{database}")
}
