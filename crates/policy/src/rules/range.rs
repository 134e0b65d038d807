//! A number of the customer, such as the age, lies within bounds.

use finrank_model::AttributeName;

use super::{Case, Kind, Undeclared, unreadable};
use crate::{FactId, Finite, Offered, product::Declared, verdict::RuleResult};

/// The fact lies between a minimum and a maximum, both included.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The customer's number.
    pub fact: FactId,
    /// The least.
    pub minimum: Bound,
    /// The most.
    pub maximum: Bound,
    /// What becomes of products that do not declare a bound for which the rule has no own.
    pub undeclared: Undeclared,
}

/// One end: what the rule says and what the product says, whichever is stricter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bound {
    /// Of the rule.
    pub fixed: Option<Finite>,
    /// The attribute with the product's own.
    pub attribute: Option<AttributeName>,
}

impl Bound {
    /// The bound of a product, by which of two is the stricter; `Ok(None)` where there is none.
    pub(crate) fn of(
        &self,
        product: &Offered<'_>,
        undeclared: Undeclared,
        stricter: fn(Finite, Finite) -> Finite,
    ) -> Result<Option<Finite>, RuleResult> {
        let Some(attribute) = &self.attribute else {
            return Ok(self.fixed);
        };
        match (product.number(attribute), self.fixed) {
            (Declared::Unreadable(why), _) => Err(unreadable(why)),
            (Declared::Yes(declared), Some(fixed)) => Ok(Some(stricter(declared, fixed))),
            (Declared::Yes(declared), None) => Ok(Some(declared)),
            (Declared::No, Some(fixed)) => Ok(Some(fixed)),
            (Declared::No, None) => match undeclared.result(attribute) {
                RuleResult::NotApplicable => Ok(None),
                unknown => Err(unknown),
            },
        }
    }
}

impl Kind for Range {
    fn facts(&self) -> Vec<FactId> {
        vec![self.fact]
    }

    fn judge(&self, case: &Case<'_>) -> RuleResult {
        let minimum = match self.minimum.of(&case.product, self.undeclared, Finite::max) {
            Ok(minimum) => minimum,
            Err(result) => return result,
        };
        let maximum = match self.maximum.of(&case.product, self.undeclared, Finite::min) {
            Ok(maximum) => maximum,
            Err(result) => return result,
        };
        if minimum.is_none() && maximum.is_none() {
            return RuleResult::NotApplicable;
        }
        let number = match case.facts.number(self.fact) {
            Ok(number) => number,
            Err(unknown) => return case.doubt(self.fact, unknown),
        };
        match (minimum, maximum) {
            (Some(minimum), _) if number < minimum => {
                RuleResult::Fails(format!("{}, below {minimum}", case.fact(self.fact)))
            }
            (_, Some(maximum)) if number > maximum => {
                RuleResult::Fails(format!("{}, above {maximum}", case.fact(self.fact)))
            }
            _ => RuleResult::Passes,
        }
    }
}
