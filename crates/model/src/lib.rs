//! What finrank speaks of and what its models are: entities, feature transforms, towers, scorer, bundle.
//!
//! Pure: plain functions over slices and arrays, no I/O beyond reading and writing a bundle's directory.
//! It knows nothing of Postgres, gRPC, candle or Faiss.

mod embedding;
mod entities;
mod ids;

pub use embedding::{Embedding, InvalidEmbedding};
pub use entities::{
    AttributeName, AttributeValue, Attributes, Customer, Event, EventKind, InvalidField, Money, Product,
    ProductClass, ProductDraft, ProductStatus, RiskGrade, UserRecord,
};
pub use ids::{EmbeddingSpace, EventId, ModelVersion, ProductId, UserId};
