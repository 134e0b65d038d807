//! A product with its embedding, from the row to the wire.

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1;
use finrank_model::{
    Attributes, Embedding, InvalidField, Product, ProductClass, ProductDraft, ProductId, ProductStatus,
    RiskGrade,
};
use finrank_serving::wire;
use sqlx::types::Json;

use crate::{FeatureStoreError, Result, embeddings::Generation};

/// Columns of a product and its embedding.
pub(super) struct ProductRow {
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

impl ProductRow {
    pub(super) fn on_the_wire(self, generation: &Generation) -> Result<v1::ProductEmbedding> {
        let embedding = Embedding::from_le_bytes(&self.vector, generation.dimension)
            .map_err(FeatureStoreError::StoredVector)?;
        let embedding = generation.embedding_on_the_wire(&embedding, self.computed_at);
        let product = self.product().map_err(FeatureStoreError::StoredRow)?;
        Ok(v1::ProductEmbedding {
            product: Some(wire::product_to_wire(&product)),
            embedding: Some(embedding),
        })
    }

    fn product(self) -> Result<Product, InvalidField> {
        // The column's check keeps the grade within 1 to 5; a negative one would fail as u32::MAX does.
        let grade = |grade: i16| RiskGrade::new(u32::try_from(grade).unwrap_or(u32::MAX));
        ProductDraft {
            product_id: ProductId::parse(self.product_id)?,
            product_class: ProductClass::parse(&self.product_class)?,
            name: self.name,
            description: self.description,
            issuer: self.issuer,
            risk_grade: self.risk_grade.map(grade).transpose()?,
            status: ProductStatus::parse(&self.status)?,
            attributes: self.attributes.0,
            event_time: self.event_time,
        }
        .check()
    }
}
