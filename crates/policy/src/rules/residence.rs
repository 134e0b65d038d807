//! A product is offered where it may be sold.

use std::collections::BTreeSet;

use finrank_model::AttributeName;

use super::{Case, Kind, Undeclared, unreadable};
use crate::{FactId, Offered, product::Declared, verdict::RuleResult};

/// The customer's residence is allowed by the rule, if it names any, and by the product, if it declares any.
#[derive(Clone, Debug, PartialEq)]
pub struct Residence {
    /// Where the customer lives.
    pub fact: FactId,
    /// Where the rule allows to sell; absent where only the product says.
    pub allowed: Option<BTreeSet<String>>,
    /// The attribute in which products list where they are sold, between commas.
    pub attribute: Option<AttributeName>,
    /// What becomes of products that list nothing, if the rule allows no places of its own.
    pub undeclared: Undeclared,
}

impl Residence {
    /// What a product lists.
    pub(crate) fn listed<'a>(&self, product: &Offered<'a>) -> Declared<Vec<&'a str>> {
        self.attribute.as_ref().map_or(Declared::No, |name| product.list(name))
    }
}

impl Kind for Residence {
    fn facts(&self) -> Vec<FactId> {
        vec![self.fact]
    }

    fn judge(&self, case: &Case<'_>) -> RuleResult {
        let listed = match self.listed(&case.product) {
            Declared::Unreadable(why) => return unreadable(why),
            Declared::No if self.allowed.is_none() => return self.undeclared.result(&"where it is sold"),
            Declared::No => None,
            Declared::Yes(listed) => Some(listed),
        };
        let lives = match case.facts.text(self.fact) {
            Ok(lives) => lives,
            Err(unknown) => return case.doubt(self.fact, unknown),
        };
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(lives)) {
            return RuleResult::Fails(format!("{}, where it may not be sold", case.fact(self.fact)));
        }
        match listed {
            Some(listed) if !listed.contains(&lives) => {
                let reason =
                    format!("{}, and the product is sold in {}", case.fact(self.fact), listed.join(", "));
                RuleResult::Fails(reason)
            }
            _ => RuleResult::Passes,
        }
    }
}
