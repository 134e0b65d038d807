//! What a customer holds is not offered again.

use super::{Case, Kind};
use crate::verdict::RuleResult;

/// The customer does not hold the product.
#[derive(Clone, Debug, PartialEq)]
pub struct Held;

impl Kind for Held {
    fn judge(&self, case: &Case<'_>) -> RuleResult {
        if case.holdings.iter().any(|holding| holding.product_id == case.product.product_id) {
            RuleResult::Fails("the customer holds it".to_owned())
        } else {
            RuleResult::Passes
        }
    }
}
