//! Cover is offered to who has something to cover.

use std::collections::BTreeMap;

use finrank_model::AttributeName;

use super::{Case, Kind, Undeclared, unreadable};
use crate::{FactId, product::Declared, verdict::RuleResult};

/// The product names a need, and the flag that stands for this need is yes. A need that the rule does not name is
/// nobody's.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// The attribute in which products name the need that they serve.
    pub attribute: AttributeName,
    /// The customer's flag for each need.
    pub needs: BTreeMap<String, FactId>,
    /// What becomes of products that name no need.
    pub undeclared: Undeclared,
}

impl Kind for Need {
    fn facts(&self) -> Vec<FactId> {
        self.needs.values().copied().collect()
    }

    fn judge(&self, case: &Case<'_>) -> RuleResult {
        let need = match case.product.text(&self.attribute) {
            Declared::Yes(need) => need,
            Declared::No => return self.undeclared.result(&self.attribute),
            Declared::Unreadable(why) => return unreadable(why),
        };
        let Some(&fact) = self.needs.get(need) else {
            return unreadable(format!("{} is {need:?}, of which the policy knows nothing", self.attribute));
        };
        match case.facts.flag(fact) {
            Ok(true) => RuleResult::Passes,
            Ok(false) => {
                RuleResult::Fails(format!("{}, and the product serves the need {need:?}", case.fact(fact)))
            }
            Err(unknown) => case.doubt(fact, unknown),
        }
    }
}
