//! Which embeddings: one refresh of one model, as the feature store numbers them.

use finrank_model::{EmbeddingSpace, ModelVersion};

/// One whole refresh, whose embeddings may be used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The refresh run that wrote it.
    pub run_id: i64,
    /// The model whose towers ran.
    pub model_version: ModelVersion,
    /// Names the pair of towers: embeddings of two spaces never meet.
    pub embedding_space: EmbeddingSpace,
    /// How many components an embedding has.
    pub dimension: usize,
}
