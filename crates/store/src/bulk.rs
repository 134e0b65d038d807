//! Bulk transfer: binary COPY through the blocking `postgres` crate, which sqlx does not speak.
//! To be called where blocking is allowed.

use std::{error::Error, iter};

use postgres::{Client, NoTls};

use crate::{Result, StoreError};

/// Opens a connection for bulk transfer.
///
/// # Errors
/// [`StoreError::Unreachable`] when Postgres does not answer.
pub fn connect(url: &str) -> Result<Client> {
    let config: postgres::Config =
        url.parse().map_err(|error: postgres::Error| StoreError::Url(in_full(&error)))?;
    config
        .connect(NoTls)
        .map_err(|error| StoreError::Unreachable { address: address(&config), reason: in_full(&error) })
}

/// What went wrong with the reasons behind it: by itself the error says no more than "db error".
pub(crate) fn in_full(error: &postgres::Error) -> String {
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
