//! Connections to Postgres: a pool for questions, and the schema brought up to date.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::{Result, StoreError};

/// Where Postgres is, and how much of it to use.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host:port/database`. Empty when none is configured, which no connection takes.
    pub url: String,
    /// Connections of this process at most.
    pub max_connections: u32,
    /// How long a request waits for a free connection.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: String::new(), max_connections: 16, acquire_timeout: Duration::from_secs(5) }
    }
}

/// A pool of connections to one database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    url: String,
}

impl Store {
    /// Connects once, so that what is wrong is said at once and in Postgres's own words: the pool would try
    /// again until its time is up, and then say no more than that. Later connections are made when needed.
    ///
    /// # Errors
    /// [`StoreError::Url`], or [`StoreError::Unreachable`] naming host and port but not the password.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self> {
        let options =
            PgConnectOptions::from_str(&config.url).map_err(|error| StoreError::Url(error.to_string()))?;
        let unreachable = |reason| StoreError::Unreachable { address: address(&options), reason };
        let limit = config.acquire_timeout;
        let connection = timeout(limit, PgConnection::connect_with(&options))
            .await
            .map_err(|_| unreachable(format!("no answer within {limit:?}")))?
            .map_err(|error| unreachable(error.to_string()))?;
        // A goodbye that fails says nothing of the connections to come.
        let _ = connection.close().await;
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(limit)
            .connect_lazy_with(options);
        Ok(Self { pool, url: config.url.clone() })
    }

    /// Applies the migrations that the database lacks. Safe to call from several processes at once.
    ///
    /// # Errors
    /// When a migration fails, or the database has one that this program does not know.
    pub async fn migrate(&self) -> Result<()> {
        sqlx::migrate!("../../migrations").run(&self.pool).await?;
        Ok(())
    }

    /// The connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The database's URL, password included: for [`crate::bulk::connect`], not for messages.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// `host:port/database`, for messages.
fn address(options: &PgConnectOptions) -> String {
    format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default())
}
