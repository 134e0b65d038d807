//! What ranking needs to know of a product: enough to name it, and to tell whom it may be offered to.

use finrank_model::{Attributes, Product, ProductClass, ProductId, ProductStatus, RiskGrade, Score};
use finrank_policy::Offered;
use finrank_selection::Candidate;

/// A product in a catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogueProduct {
    /// Names it.
    pub product_id: ProductId,
    /// What a customer reads.
    pub name: String,
    /// Who issues it; empty when unknown.
    pub issuer: String,
    /// Decides the scenarios.
    pub product_class: ProductClass,
    /// Whether it may be sold.
    pub status: ProductStatus,
    /// How risky it is, when graded.
    pub risk_grade: Option<RiskGrade>,
    /// What else it declares: rules read amounts, bounds and windows there.
    pub attributes: Attributes,
}

impl CatalogueProduct {
    /// The product as the policy's rules see it.
    pub fn offered(&self) -> Offered<'_> {
        Offered {
            product_id: &self.product_id,
            product_class: self.product_class,
            status: self.status,
            risk_grade: self.risk_grade,
            attributes: &self.attributes,
        }
    }

    /// The product as the selection's rules see it, before anything is scored.
    pub fn unscored(&self) -> Candidate<'_> {
        Candidate {
            product_id: &self.product_id,
            product_class: self.product_class,
            issuer: &self.issuer,
            score: Score::from_logit(f32::NEG_INFINITY),
        }
    }
}

impl From<Product> for CatalogueProduct {
    fn from(product: Product) -> Self {
        Self {
            product_id: product.product_id,
            name: product.name,
            issuer: product.issuer,
            product_class: product.product_class,
            status: product.status,
            risk_grade: product.risk_grade,
            attributes: product.attributes,
        }
    }
}
