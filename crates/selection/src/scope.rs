//! Where products are shown, and when and where a rule holds.

use chrono::{DateTime, Utc};
use finrank_model::ProductClass;

/// Where products will be shown, which decides their classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scenario {
    /// Every class.
    #[default]
    All,
    /// Credit cards and loans.
    Credit,
    /// Wealth products.
    Wealth,
    /// Insurance.
    Insurance,
}

impl Scenario {
    /// Every scenario.
    pub const EVERY: [Self; 4] = [Self::All, Self::Credit, Self::Wealth, Self::Insurance];

    /// The classes that it covers.
    pub fn classes(self) -> &'static [ProductClass] {
        match self {
            Self::All => &ProductClass::ALL,
            Self::Credit => &[ProductClass::CreditCard, ProductClass::Loan],
            Self::Wealth => &[ProductClass::Wealth],
            Self::Insurance => &[ProductClass::Insurance],
        }
    }

    /// As files name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Credit => "credit",
            Self::Wealth => "wealth",
            Self::Insurance => "insurance",
        }
    }

    /// Reads the name.
    pub(crate) fn parse(raw: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|scenario| scenario.as_str() == raw)
    }
}

/// Where and when a rule holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// In requests for these scenarios.
    pub scenarios: Vec<Scenario>,
    /// From this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
}

impl Scope {
    /// Whether a rule holds for a request.
    pub fn holds(&self, scenario: Scenario, moment: DateTime<Utc>) -> bool {
        self.scenarios.contains(&scenario)
            && self.from.is_none_or(|from| from <= moment)
            && self.until.is_none_or(|until| moment < until)
    }

    /// A scenario in which two rules hold at one moment, if there is one.
    pub(crate) fn overlap(&self, other: &Self) -> Option<Scenario> {
        let begins_before_the_end = |one: &Self, other: &Self| match (one.from, other.until) {
            (Some(from), Some(until)) => from < until,
            _ => true,
        };
        let meet = begins_before_the_end(self, other) && begins_before_the_end(other, self);
        self.scenarios.iter().copied().find(|scenario| meet && other.scenarios.contains(scenario))
    }
}
