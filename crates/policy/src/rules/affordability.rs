//! Nobody is offered what they cannot pay for, or bear the loss of.

use super::{Case, Kind, Undeclared, unreadable};
use crate::{
    FactId,
    product::{Declared, DeclaredAmount},
    verdict::RuleResult,
};

/// The product's amount, and what the customer has committed already, are together at most so many hundredths of what
/// the customer has: `100 · (amount + committed) ≤ percent · capacity`, in whole minor units of one currency. An
/// amount in another currency is not compared; the rule stands against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Affordability {
    /// What the customer has: income or savings, say.
    pub capacity: FactId,
    /// What of it is spoken for, such as the service of other debts.
    pub committed: Option<FactId>,
    /// The share, in hundredths.
    pub percent: u32,
    /// What the product asks for.
    pub amount: DeclaredAmount,
    /// What becomes of products that declare no amount.
    pub undeclared: Undeclared,
}

impl Kind for Affordability {
    fn facts(&self) -> Vec<FactId> {
        [self.capacity].into_iter().chain(self.committed).collect()
    }

    fn judge(&self, case: &Case<'_>) -> RuleResult {
        let (currency, amount) = match case.product.amount(&self.amount) {
            Declared::Yes(amount) => amount,
            Declared::No => return self.undeclared.result(&self.amount.attribute),
            Declared::Unreadable(why) => return unreadable(why),
        };
        let (own, capacity) = match case.facts.money(self.capacity) {
            Ok(capacity) => capacity,
            Err(unknown) => return case.doubt(self.capacity, unknown),
        };
        let committed = match self.committed.map(|id| (id, case.facts.money(id))) {
            None => 0,
            Some((_, Ok((_, committed)))) => committed.max(0),
            Some((id, Err(unknown))) => return case.doubt(id, unknown),
        };
        let has = || case.fact(self.capacity);
        let asked =
            || format!("the product's {} is {amount} {currency} (minor units)", self.amount.attribute);
        if *own != currency {
            return RuleResult::Fails(format!("{}, and {}: they are not compared", has(), asked()));
        }
        let asked_for = 100 * (i128::from(amount) + i128::from(committed));
        if asked_for <= i128::from(self.percent) * i128::from(capacity) {
            return RuleResult::Passes;
        }
        let besides = self.committed.map(|id| format!(" beside {}", case.fact(id))).unwrap_or_default();
        RuleResult::Fails(format!("{}, and {}{besides}: over {} %", has(), asked(), self.percent))
    }
}
