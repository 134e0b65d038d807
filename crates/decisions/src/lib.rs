//! The log of decisions: every one that was made, in one chain of hashes, with signed checkpoints, in Postgres.
//!
//! | room | tells |
//! |---|---|
//! | [`chain`] | how a record is hashed onto those before it |
//! | [`checkpoint`] | how the chain is signed, and how a signature is checked |
//! | [`entry`] | what is written of a decision, and how what is personal stands apart |
//! | [`contents`] | what decisions were made from and is nobody's own, kept by digest |
//! | [`writer`] | the queue, and the one task that writes |
//! | [`read`] | one decision, as it is kept |
//! | [`proof`] | that a decision stands in the log, for whoever has no access to it |
//! | [`export`] | a part of the log, to be verified without the database |
//! | [`exported`] | such a part, verified |
//! | [`outcome`] | what a customer did with what was offered |
//! | [`rates`] | what came of what each model ranked |
//! | [`counterfactual`] | what its greedy order would have brought, where chance had a part |
//! | [`shadow`] | what a model that is shown to nobody says beside a decision |
//! | [`verify`] | the whole log, computed again |
//!
//! It knows Postgres and the contract's messages, and nothing of how decisions are made.

pub mod chain;
pub mod checkpoint;
mod config;
pub mod contents;
pub mod counterfactual;
pub mod entry;
mod error;
pub mod export;
pub mod exported;
pub mod outcome;
pub mod proof;
pub mod rates;
pub mod read;
pub mod shadow;
pub mod verify;
pub mod writer;

pub use config::{DecisionLogConfig, Mode};
pub use error::{DecisionLogError, Result};
