//! What customers have allowed or forbidden.

use super::{Case, Kind};
use crate::{FactId, policy::not_objected, verdict::RuleResult};

/// The customer has said yes.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    /// The flag that says so.
    pub fact: FactId,
}

/// The customer has not said no: the flag is no, or a known customer never stated it. An objection that is too old or
/// cannot be read is one all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Objection {
    /// The flag by which the customer objects.
    pub fact: FactId,
}

impl Kind for Consent {
    fn facts(&self) -> Vec<FactId> {
        vec![self.fact]
    }

    fn judge(&self, case: &Case<'_>) -> RuleResult {
        match case.facts.flag(self.fact) {
            Ok(true) => RuleResult::Passes,
            Ok(false) => RuleResult::Fails(case.fact(self.fact)),
            Err(unknown) => case.doubt(self.fact, unknown),
        }
    }
}

impl Kind for Objection {
    fn facts(&self) -> Vec<FactId> {
        vec![self.fact]
    }

    fn judge(&self, case: &Case<'_>) -> RuleResult {
        if not_objected(case.facts.get(self.fact)) {
            return RuleResult::Passes;
        }
        match case.facts.flag(self.fact) {
            Ok(_) => RuleResult::Fails(case.fact(self.fact)),
            Err(unknown) => case.doubt(self.fact, unknown),
        }
    }
}
