//! Postgres as the rest of finrank sees it: finding or starting it, its schema, connections, bulk transfer,
//! and what both learning and serving read: the rows that towers run on, and feature values at any moment.
//!
//! Queries that only one service asks stand in that service.

pub mod bulk;
pub mod cluster;
mod connect;
mod error;
pub mod features;
pub mod models;
pub mod moments;
pub mod records;
pub mod scratch;
mod session;
mod tls;

pub use connect::{DatabaseConfig, Store, is_connection_lost};
pub use error::{Result, StoreError};
