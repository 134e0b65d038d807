//! A product with its embedding, from the row to the wire.

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1;
use finrank_model::{Attributes, Embedding};
use finrank_serving::wire;
use finrank_store::records::ProductRow;
use sqlx::types::Json;

use crate::{FeatureStoreError, Result, embeddings::Generation};

/// Columns of a product and its embedding.
pub(super) struct EmbeddedProductRow {
    pub(super) product_id: String,
    pub(super) product_class: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) issuer: String,
    pub(super) risk_grade: Option<i16>,
    pub(super) status: String,
    pub(super) attributes: Json<Attributes>,
    pub(super) event_time: DateTime<Utc>,
    pub(super) vector: Vec<u8>,
    pub(super) computed_at: DateTime<Utc>,
}

impl EmbeddedProductRow {
    pub(super) fn on_the_wire(self, generation: &Generation) -> Result<v1::ProductEmbedding> {
        let embedding = Embedding::from_le_bytes(&self.vector, generation.dimension)
            .map_err(FeatureStoreError::StoredVector)?;
        let product = ProductRow {
            product_id: self.product_id,
            product_class: self.product_class,
            name: self.name,
            description: self.description,
            issuer: self.issuer,
            risk_grade: self.risk_grade,
            status: self.status,
            attributes: self.attributes,
            event_time: self.event_time,
        };
        Ok(v1::ProductEmbedding {
            product: Some(wire::product_to_wire(&product.parse()?)),
            embedding: Some(generation.embedding_on_the_wire(
                &embedding,
                generation.features_as_of,
                self.computed_at,
            )),
        })
    }
}
