//! What can go wrong before a server serves.

use std::{net::SocketAddr, path::PathBuf};

use thiserror::Error;

/// The crate's result.
pub type Result<T, E = ServingError> = std::result::Result<T, E>;

/// What can go wrong before a server serves.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServingError {
    /// Another process listens there.
    #[error(
        "the address {0} is in use; stop what listens there, or choose another (--listen, or server.listen in the settings)"
    )]
    AddressInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The settings cannot be read.
    #[error("settings: {0}")]
    Config(#[from] ::config::ConfigError),
    /// The log filter cannot be read.
    #[error("log.filter {filter:?}: {reason}")]
    LogFilter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key cannot be had.
    #[error("{setting} {}: {reason}", path.display())]
    Key {
        /// What names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Metrics cannot be served.
    #[error("metrics.listen: cannot serve metrics on {address}: {reason}")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The server stopped on an error.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptor set cannot be served.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}
