//! What a request may wish of the products that it is answered with: which to choose from, and how unlike they should be.

use finrank_model::{ProductClass, ProductId};
pub use finrank_selection::Diversity;

use crate::catalogue::CatalogueProduct;

/// Which products to choose from. Of each list that has entries a product must match one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Of one of these classes.
    pub classes: Vec<ProductClass>,
    /// From one of these issuers.
    pub issuers: Vec<String>,
    /// One of these.
    pub product_ids: Vec<ProductId>,
}

impl Filters {
    /// Whether every product passes.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.issuers.is_empty() && self.product_ids.is_empty()
    }

    /// Whether a product does.
    pub fn pass(&self, product: &CatalogueProduct) -> bool {
        matches(&self.classes, &product.product_class)
            && matches(&self.issuers, &product.issuer)
            && matches(&self.product_ids, &product.product_id)
    }
}

fn matches<T: PartialEq>(wanted: &[T], found: &T) -> bool {
    wanted.is_empty() || wanted.contains(found)
}
