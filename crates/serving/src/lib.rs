//! What every gRPC server of finrank wears: settings, logs, how logs name customers, secret keys,
//! metrics, health, reflection, limits, drain, traces, rich errors, and the conversion between contract messages and entities.
//!
//! It knows no service: what a server serves is given to it.

mod admission;
pub mod config;
pub mod deadline;
mod error;
mod hangup;
pub mod metrics;
mod pseudonym;
pub mod secret;
mod server;
pub mod shutdown;
pub mod status;
pub mod telemetry;
pub mod wire;

pub use error::{Result, ServingError};
pub use hangup::Hangups;
pub use pseudonym::{Pseudonym, Pseudonyms};
pub use server::{Health, Server, ServerConfig};
