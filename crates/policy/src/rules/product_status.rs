//! What is no longer sold is not offered.

use finrank_model::ProductStatus;

use super::{Case, Kind};
use crate::verdict::RuleResult;

/// The product is sold.
#[derive(Clone, Debug, PartialEq)]
pub struct SoldProduct;

impl Kind for SoldProduct {
    fn judge(&self, case: &Case<'_>) -> RuleResult {
        match case.product.status {
            ProductStatus::Active => RuleResult::Passes,
            ProductStatus::Withdrawn => RuleResult::Fails("the product is withdrawn".to_owned()),
        }
    }
}
