//! The feature store as its clients meet it: real Postgres, real sockets, the generated client.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod cache;
mod changes;
mod clock;
mod connections;
mod embeddings;
mod feast;
mod features;
mod feed;
mod ingest;
mod ingest_oracle;
mod live;
mod live_oracle;
mod outage;
mod people;
mod promotions;
mod refresh;
mod reload;
mod round_trips;
mod shared_refresh;
mod statistics;
mod support;
mod tower_inputs;
mod towers;
mod traffic;
mod verify;
mod watch;
mod write_rows;
