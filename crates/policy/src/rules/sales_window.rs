//! A product is offered within its sales window only.

use finrank_model::AttributeName;

use super::{Case, Kind, unreadable};
use crate::{product::Declared, verdict::RuleResult};

/// From one moment that the product declares until before another; what it does not declare is open.
#[derive(Clone, Debug, PartialEq)]
pub struct SalesWindow {
    /// The attribute with the first moment.
    pub from: AttributeName,
    /// The attribute with the moment at which it ends.
    pub until: AttributeName,
}

impl Kind for SalesWindow {
    fn judge(&self, case: &Case<'_>) -> RuleResult {
        let (from, until) = match (case.product.moment(&self.from), case.product.moment(&self.until)) {
            (Declared::Unreadable(why), _) | (_, Declared::Unreadable(why)) => return unreadable(why),
            (from, until) => (from, until),
        };
        match (from, until) {
            (Declared::No, Declared::No) => RuleResult::NotApplicable,
            (Declared::Yes(from), _) if case.moment < from => {
                RuleResult::Fails(format!("it is sold only from {}", from.to_rfc3339()))
            }
            (_, Declared::Yes(until)) if case.moment >= until => {
                RuleResult::Fails(format!("it was sold only until {}", until.to_rfc3339()))
            }
            _ => RuleResult::Passes,
        }
    }
}
