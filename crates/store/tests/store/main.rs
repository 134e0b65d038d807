//! The store against a real Postgres.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod cluster;
mod connect;
mod features;
mod models;
mod moments;
mod promotions;
mod records;
mod schema;
mod tls;
