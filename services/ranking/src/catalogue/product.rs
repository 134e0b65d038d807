//! What ranking needs to know of a product: enough to leave it out and to name it, not its features.

use finrank_model::{Product, ProductClass, ProductId, ProductStatus};

/// A product in a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueProduct {
    /// Names it.
    pub product_id: ProductId,
    /// What a customer reads.
    pub name: String,
    /// Decides the scenarios.
    pub product_class: ProductClass,
    /// Whether it may be sold.
    pub status: ProductStatus,
}

impl From<Product> for CatalogueProduct {
    fn from(product: Product) -> Self {
        Self {
            product_id: product.product_id,
            name: product.name,
            product_class: product.product_class,
            status: product.status,
        }
    }
}
