//! What finrank speaks of and what its models are: entities, feature transforms, towers, scorer, bundle.
//!
//! Pure: plain functions over slices and arrays, no I/O beyond reading and writing a bundle's directory.
//! It knows nothing of Postgres, gRPC, candle or Faiss.
//!
//! [`UserEncoder`] and [`ProductEncoder`] turn entities into [`Embedding`]s by a fitted transform and a
//! [`Tower`]; [`features`] declares what may be known of entities; [`policy`] what a model must show; [`MlpScorer`]
//! scores a pair of embeddings, [`SplitScorer`] the same for many candidates, by a [`Calibration`] that makes the score a
//! probability; [`Explainer`] says what in a customer made it so, [`reasons`] says that to people; a [`Bundle`] carries them all.

mod attribution;
pub mod bundle;
mod calibration;
mod dense;
mod digest;
mod embedding;
mod encoder;
mod entities;
mod error;
mod experiment;
pub mod features;
mod ids;
pub mod policy;
pub mod reasons;
mod score;
mod scorer;
mod split_scorer;
mod stability;
pub mod toml_file;
mod tower;
pub mod transform;

pub use attribution::{Attribution, Explainer, FeatureMeans, InputName};
pub use bundle::{Bundle, DataWindow, Manifest, Provenance, bundle_directory};
pub use calibration::{Calibration, Isotonic, Platt};
pub use dense::Dense;
pub use digest::{Parts, Sha256Digest};
pub use embedding::{Embedding, InvalidEmbedding};
pub use encoder::{ProductEncoder, UserEncoder};
pub use entities::{
    AttributeName, AttributeValue, Attributes, Customer, Event, EventKind, InvalidField, Money, Product,
    ProductClass, ProductDraft, ProductStatus, Revision, RiskGrade, Statement, UserRecord, event_time,
    parse_moment,
};
pub use error::{InvalidFile, ModelError};
pub use experiment::{Arm, Experiment, Share};
pub use ids::{EmbeddingSpace, EventId, ExperimentName, ModelVersion, OutcomeId, ProductId, UserId};
pub use score::Score;
pub use scorer::MlpScorer;
pub use split_scorer::SplitScorer;
pub use stability::{EMPTY_SHARE, stability_index};
pub use tower::{DIMENSION, FeatureRows, Tower};
pub use transform::{ProductTransform, TableTransform, TransformConfig, UserTransform};
