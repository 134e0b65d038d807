//! What a request may wish of the products that it is answered with: which to choose from, and how unlike they should be.

use finrank_model::{ProductClass, ProductId};

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

/// How much unlikeness counts beside the score, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Diversity(f64);

impl Diversity {
    /// Of a number; `None` unless it is 0 to 1.
    pub fn new(diversity: f64) -> Option<Self> {
        // The zero takes the sign off another one.
        (0.0..=1.0).contains(&diversity).then_some(Self(diversity + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}
