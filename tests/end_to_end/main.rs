//! End to end: the real binary, a real Postgres, real servers on real sockets, real clients.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod bad_input;
mod batch;
mod commands;
mod decisions;
mod eligibility;
mod explain_decision;
mod explain_item;
mod explanations;
mod feast;
mod features;
mod grpcurl;
mod kills;
mod ladder;
mod life_cycle;
mod metrics;
mod models;
mod recommendations;
mod selection;
mod towers;
mod traffic;
mod world;
