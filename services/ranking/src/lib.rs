//! Ranking: which products to offer to a customer, best first.
//!
//! | room | tells |
//! |---|---|
//! | [`index`] | the embeddings of one generation, searched exactly or approximately |
//! | [`catalogue`] | products, index and scorer of one generation, replaced as one |
//! | [`pipeline`] | from a customer's embedding to a decision, stage by stage |
//! | `snapshot` | the beginning of the stream of product embeddings, checked and put together |
//! | `feed` | what is held of the catalogue: a snapshot, and the changes after it |
//! | [`fetch_snapshot`] | a snapshot for who wants one and no more |
//! | `subscription` | from that stream to the catalogue in service |
//! | `feature_store` | what is asked of the feature store |
//! | `last_known` | what it said of customers lately, for when it cannot |
//! | [`Explanations`] | why a model scores as it does, and the reasons that are told |
//! | `facts` | what it says of a customer, in the words of the policy |
//! | `in_force` | a file that requests are decided by, read anew and swapped |
//! | `policies` | the policy in force, and what is compiled of it |
//! | `selections` | the business rules in force |
//! | [`Popularity`] | what is offered first to who objects to profiling, or where nothing better is known |
//! | `traffic` | what is tried beside the model that is served, and for whom |
//! | `shadow` | a model that ranks what was decided once more, and is shown to nobody |
//! | `service` | the contract, rpc by rpc |
//! | [`serve`] | the server around it |
//!
//! It knows Faiss, bundles and the contracts. Embeddings, holdings, facts and products reach it over gRPC; Postgres it
//! touches for the log of its own decisions alone: it hands a connection to `finrank-decisions`, and asks nothing of it
//! itself.

pub mod catalogue;
mod config;
mod deadline;
mod error;
mod explanations;
mod facts;
mod feature_store;
mod feed;
mod fetch;
#[cfg(test)]
mod fixtures;
mod generation;
mod in_force;
pub mod index;
mod last_known;
pub mod pipeline;
mod policies;
mod popularity;
mod selections;
mod server;
mod service;
mod shadow;
mod snapshot;
mod subscription;
mod traffic;

pub use config::{
    DegradationConfig, ExplanationsConfig, PolicyConfig, RankingConfig, RetrievalConfig, SelectionConfig,
    SubscriptionConfig, TrafficConfig,
};
pub use error::{FileError, RankingError, Result};
pub use explanations::Explanations;
pub use fetch::fetch_snapshot;
pub use generation::Generation;
pub use popularity::Popularity;
pub use server::serve;
pub use snapshot::{Snapshot, SnapshotError};
