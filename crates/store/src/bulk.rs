//! Bulk transfer: binary COPY through the blocking `postgres` crate, which sqlx does not speak.
//! To be called where blocking is allowed.

use std::{error::Error, fmt, iter, time::Duration};

use postgres::{Client, NoTls, error::DbError};

use crate::{
    Result, StoreError,
    session::{self, Session},
    tls,
};

/// A worker computes a page of embeddings between two statements, which takes seconds. One that was stopped for longer
/// gives up its partition to another.
const SESSION: Session = Session { idle_in_transaction: Duration::from_secs(10 * 60), statement_limit: None };

/// Opens a connection for bulk transfer. Postgres ends it when this host is lost, within half a minute.
///
/// # Errors
/// [`StoreError::Unreachable`] when Postgres does not answer, or not as securely as the URL wants it; as
/// [`crate::Store::connect`] otherwise.
pub fn connect(url: &str) -> Result<Client> {
    let (mut config, connector) = tls::bulk_config(url)?;
    let stated = config.get_options().unwrap_or_default().to_owned();
    let settings = SESSION.settings(&stated);
    let settings = settings.iter().map(|(name, value)| format!("-c {name}={value}"));
    config
        .options(settings.chain([stated.clone()]).collect::<Vec<_>>().join(" ").trim())
        .keepalives_idle(session::KEEPALIVE_IDLE)
        .keepalives_interval(session::KEEPALIVE_INTERVAL)
        .keepalives_retries(session::KEEPALIVE_COUNT)
        .tcp_user_timeout(session::UNACKNOWLEDGED_LIMIT);
    let connected = match connector {
        Some(connector) => config.connect(connector),
        None => config.connect(NoTls),
    };
    connected.map_err(|error| StoreError::Unreachable {
        address: address(&config),
        reason: BulkError::from(error).to_string(),
    })
}

/// What went wrong in a bulk transfer, in words that name nobody.
///
/// What Postgres tells as DETAIL and as the place in a COPY quotes the row that it refuses, with the customer's id. Errors
/// end in logs and in `refresh_runs`, where no erasure finds them, so that of a refusal only the message, its code and the
/// constraint are kept. sqlx's errors say no more than the message, either.
#[derive(Clone, Debug)]
pub struct BulkError {
    reason: String,
    is_closed: bool,
}

impl BulkError {
    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }
}

impl From<postgres::Error> for BulkError {
    fn from(error: postgres::Error) -> Self {
        let reason = match error.as_db_error() {
            Some(refusal) => in_short(refusal),
            None => in_full(&error),
        };
        Self { reason, is_closed: error.is_closed() }
    }
}

impl fmt::Display for BulkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Its reasons are in its words: whoever prints an error's sources would print DETAIL again.
impl Error for BulkError {}

fn in_short(refusal: &DbError) -> String {
    let (severity, message, code) = (refusal.severity(), refusal.message(), refusal.code().code());
    match refusal.constraint() {
        Some(constraint) => format!("{severity}: {message} (SQLSTATE {code}, constraint {constraint})"),
        None => format!("{severity}: {message} (SQLSTATE {code})"),
    }
}

/// What went wrong with the reasons behind it: by itself the error says no more than "error connecting to server".
fn in_full(error: &postgres::Error) -> String {
    let reasons = iter::successors(error.source(), |&reason| reason.source());
    reasons.fold(error.to_string(), |text, reason| format!("{text}: {reason}"))
}

fn address(config: &postgres::Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .zip(config.get_ports().iter().chain(std::iter::repeat(&5432)))
        .map(|(host, port)| match host {
            postgres::config::Host::Tcp(host) => format!("{host}:{port}"),
            postgres::config::Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    format!("{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}
