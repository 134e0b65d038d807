//! Nobody is offered more risk than they were found to tolerate.

use finrank_model::RiskGrade;

use super::{Case, Kind};
use crate::{FactId, Finite, verdict::RuleResult};

/// The product's risk grade, R1 to R5, is at most the customer's tolerance, C1 to C5 as 1 to 5.
#[derive(Clone, Debug, PartialEq)]
pub struct RiskTolerance {
    /// The customer's tolerance.
    pub fact: FactId,
}

/// A tolerance as the highest grade that it allows; `None` for a number that is no tolerance.
pub(crate) fn highest_grade(tolerance: Finite) -> Option<u8> {
    let whole = tolerance.get();
    ((1.0..=5.0).contains(&whole) && whole.fract() == 0.0).then_some(whole as u8)
}

impl Kind for RiskTolerance {
    fn facts(&self) -> Vec<FactId> {
        vec![self.fact]
    }

    fn judge(&self, case: &Case<'_>) -> RuleResult {
        let Some(grade) = case.product.risk_grade.map(RiskGrade::get) else {
            return RuleResult::Unknown("the product has no risk grade".to_owned());
        };
        let tolerance = match case.facts.number(self.fact) {
            Ok(tolerance) => tolerance,
            Err(unknown) => return case.doubt(self.fact, unknown),
        };
        match highest_grade(tolerance) {
            Some(highest) if grade <= highest => RuleResult::Passes,
            Some(_) => {
                RuleResult::Fails(format!("{}, and the product's risk is R{grade}", case.fact(self.fact)))
            }
            None => RuleResult::Unknown(format!("{}, which is no tolerance of 1 to 5", case.fact(self.fact))),
        }
    }
}
