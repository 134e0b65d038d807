//! Imports against a real Postgres: idempotent, whatever the order of arrival, and nothing bad gets in or is lost.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod arrival;
mod caravan;
mod csv;
mod interrupted;
mod rejects;
mod support;
mod synthetic;
