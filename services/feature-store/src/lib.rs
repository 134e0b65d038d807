//! The feature store: rows in, features and embeddings out.
//!
//! | room | tells |
//! |---|---|
//! | [`import`] | files into Postgres |
//! | `ingest` | client streams into Postgres |
//! | [`refresh`] | what is in Postgres through the towers into embeddings |
//! | `changes` | who has changed, by when that was learned |
//! | `live` | embeddings of whoever has changed since then |
//! | `towers` | the features that a model's towers read beside records |
//! | `tower_inputs` | what was fed to a user tower, for whoever explains a score |
//! | `embeddings` | embeddings and holdings by id |
//! | `statistics` | what features are like, and whether they are as expected |
//! | `people` | all that is held on one person, and its erasure |
//! | `cache` | what was read lately, for as long as it is right |
//! | `features` | which features are served, and up to which moment |
//! | `served` | a sample of what was served, to be held to history |
//! | `watch` | the catalogue as a stream |
//! | `service` | the contracts, rpc by rpc: the feature store's, and the model registry's |
//! | `feast` | Feast's contracts, put into the words of ours |
//! | [`serve`] | the server around it |
//!
//! It knows Postgres, bundles and the contract. It trains nothing and ranks nothing.

mod bundles;
mod cache;
mod changes;
mod client;
mod config;
mod embeddings;
mod error;
mod feast;
mod features;
pub mod import;
mod ingest;
mod live;
mod people;
pub mod refresh;
mod served;
mod server;
mod service;
mod statistics;
mod tower_inputs;
mod towers;
mod watch;

pub use config::{
    CacheConfig, FeastConfig, FeatureStoreConfig, FeaturesConfig, LiveConfig, PromotionConfig, RefreshConfig,
    SampleConfig, WatchConfig,
};
pub use error::{FeatureStoreError, Result};
pub use features::BUILT_IN_DEFINITIONS;
pub use server::serve;
