//! Bulk transfer: binary COPY through the blocking `postgres` crate, which sqlx does not speak.
//! To be called where blocking is allowed.

use postgres::{Client, NoTls};

use crate::{Result, StoreError};

/// Opens a connection for bulk transfer.
///
/// # Errors
/// [`StoreError::Unreachable`] when Postgres does not answer.
pub fn connect(url: &str) -> Result<Client> {
    let config: postgres::Config = url
        .parse()
        .map_err(|error: postgres::Error| StoreError::Url(error.to_string()))?;
    config.connect(NoTls).map_err(|error| StoreError::Unreachable {
        address: address(&config),
        reason: error.to_string(),
    })
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
