//! Connections to Postgres: a pool for questions, and the schema brought up to date.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::{Result, StoreError, session::Session, tls};

/// How long background work waits for a free connection: it has nobody who waits for it, and a run that fails is begun
/// again from its last partition.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(60);
/// How long a background transaction may stand open without a statement, while a client reads what it was sent, say.
const BACKGROUND_IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10 * 60);

/// Where Postgres is, and how much of it to use.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://user:password@host:port/database`, with `?sslmode=verify-full&sslrootcert=FILE` to be sure of a server
    /// on another host. Empty when none is configured, which no connection takes.
    pub url: String,
    /// Connections of this process at most for requests that somebody waits for.
    pub max_connections: u32,
    /// Connections of a server at most for work that takes its time: refreshes, live embeddings, training sets,
    /// verifications, exports and the feed of products. The connections by which refreshes write come on top, one for each
    /// worker.
    pub background_connections: u32,
    /// How long a request waits for a free connection.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// How long a request's transaction may stand open without a statement before Postgres ends it, and with it the locks
    /// of a process that was stopped; that of background work ten minutes. Sessions of a host that is lost Postgres ends
    /// within half a minute (`tcp_keepalives_*` and `tcp_user_timeout` of each session). What the URL's own
    /// `options` say of any of these stands.
    #[serde(with = "humantime_serde")]
    pub idle_in_transaction_limit: Duration,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            max_connections: 16,
            background_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            idle_in_transaction_limit: Duration::from_secs(60),
        }
    }
}

/// A pool of connections to one database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    config: Arc<DatabaseConfig>,
    /// When a connection was last found cut: the older ones are not trusted any more.
    cut: Arc<Mutex<Option<Instant>>>,
}

impl Store {
    /// Connects once, so that what is wrong is said at once and in Postgres's own words: the pool would try
    /// again until its time is up, and then say no more than that. Later connections are made when needed.
    ///
    /// # Errors
    /// [`StoreError::Url`], or [`StoreError::Unreachable`] naming host and port but not the password.
    pub async fn connect(config: &DatabaseConfig) -> Result<Self> {
        let options = options(config, requests(config, None))?;
        let unreachable = |reason| StoreError::Unreachable { address: address(&options), reason };
        let limit = config.acquire_timeout;
        let connection = timeout(limit, PgConnection::connect_with(&options))
            .await
            .map_err(|_| unreachable(format!("no answer within {limit:?}")))?
            .map_err(|error| unreachable(error.to_string()))?;
        // A goodbye that fails says nothing of the connections to come.
        let _ = connection.close().await;
        let cut = Arc::default();
        let pool = pool(options, config.max_connections, limit, &cut);
        Ok(Self { pool, config: Arc::new(config.clone()), cut })
    }

    /// The same database by connections of its own, on which Postgres ends a statement that takes longer than `limit`: a
    /// request that met its deadline keeps its connection until its statement has ended.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn limited(&self, limit: Duration) -> Result<Self> {
        let options = options(&self.config, requests(&self.config, Some(limit)))?;
        let pool = pool(options, self.config.max_connections, self.config.acquire_timeout, &self.cut);
        Ok(Self { pool, ..self.clone() })
    }

    /// The same database by connections of its own, for work that takes its time, so that however much of it there is takes
    /// none from requests.
    ///
    /// # Errors
    /// [`StoreError::Url`].
    pub fn in_background(&self) -> Result<Self> {
        let session = Session { idle_in_transaction: BACKGROUND_IDLE_IN_TRANSACTION, statement_limit: None };
        let options = options(&self.config, session)?;
        let patience = BACKGROUND_PATIENCE.max(self.config.acquire_timeout);
        let pool = pool(options, self.config.background_connections, patience, &self.cut);
        Ok(Self { pool, ..self.clone() })
    }

    /// Applies the migrations that the database lacks. Safe to call from several processes at once.
    ///
    /// # Errors
    /// When a migration fails, or the database has one that this program does not know.
    pub async fn migrate(&self) -> Result<()> {
        sqlx::migrate!("../../migrations").run(&self.pool).await?;
        Ok(())
    }

    /// Asks what may be asked twice. A connection may have been cut since it was last used, by a restart of Postgres for
    /// one, and that is found out only by using it: then the question is asked again on a new one.
    ///
    /// # Errors
    /// What Postgres says, or why it cannot be reached.
    pub async fn ask<T, F>(&self, question: impl Fn(PgPool) -> F) -> Result<T, sqlx::Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        match question(self.pool.clone()).await {
            Err(error) if is_connection_lost(&error) => {
                *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                question(self.pool.clone()).await
            }
            answered => answered,
        }
    }

    /// The connections. One of them may turn out to have been cut; whoever cannot live with that asks by
    /// [`Store::ask`].
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The database's URL, password included: for [`crate::bulk::connect`], not for messages.
    pub fn url(&self) -> &str {
        &self.config.url
    }
}

/// The sessions of requests.
fn requests(config: &DatabaseConfig, statement_limit: Option<Duration>) -> Session {
    Session { idle_in_transaction: config.idle_in_transaction_limit, statement_limit }
}

fn options(config: &DatabaseConfig, session: Session) -> Result<PgConnectOptions> {
    let options = tls::options(&config.url)?;
    let settings = session.settings(options.get_options().unwrap_or_default());
    Ok(options.options(settings))
}

fn pool(
    options: PgConnectOptions,
    connections: u32,
    patience: Duration,
    cut: &Arc<Mutex<Option<Instant>>>,
) -> PgPool {
    let last_cut = cut.clone();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        // It would ask each connection whether it lives before each question: a round trip of its own. Whoever
        // finds one cut says so instead (see `ask`), and all that were made before are given up.
        .test_before_acquire(false)
        .before_acquire(move |_, connection| {
            let last_cut = *last_cut.lock().unwrap_or_else(PoisonError::into_inner);
            let since_cut = last_cut.map(|cut| cut.elapsed());
            Box::pin(async move { Ok(since_cut.is_none_or(|since_cut| connection.age < since_cut)) })
        })
        .connect_lazy_with(options)
}

/// `host:port/database`, for messages.
fn address(options: &PgConnectOptions) -> String {
    format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default())
}

/// Whether it is the connection that failed, and not what was asked over it.
pub fn is_connection_lost(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Database, Io, Tls, WorkerCrashed};
    match error {
        Io(_) | Tls(_) | WorkerCrashed => true,
        // Class 57P: the server shuts down or is starting; class 08: the connection.
        Database(refusal) => {
            refusal.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
        }
        _ => false,
    }
}
