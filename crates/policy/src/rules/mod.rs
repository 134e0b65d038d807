//! The kinds of rules. The set is closed: a policy chooses among them, and there is no language to write others in.
//!
//! | kind | passes when |
//! |---|---|
//! | `product_status` | the product is sold |
//! | `sales_window` | the moment lies in the product's window |
//! | `held` | the customer does not hold it |
//! | `category_cap` | the customer holds fewer of its category than so many |
//! | `residence` | the customer's residence is one that the rule and the product allow |
//! | `risk_tolerance` | the product's risk grade is within the customer's tolerance |
//! | `range` | a number of the customer (age, say) lies within bounds of the rule and the product |
//! | `affordability` | the product's amount is within a share of an amount of the customer's |
//! | `need` | the customer has the need that the product serves |
//! | `consent` | the customer has said yes |
//! | `objection` | the customer has not said no |

mod affordability;
mod answers;
mod category_cap;
mod held;
mod need;
mod product_status;
mod range;
mod residence;
mod risk_tolerance;
mod sales_window;

use std::fmt;

use chrono::{DateTime, Utc};
use finrank_model::{ProductClass, ProductId};

pub use affordability::Affordability;
pub use answers::{Consent, Objection};
pub use category_cap::{Category, CategoryCap};
pub use held::Held;
pub use need::Need;
pub use product_status::SoldProduct;
pub use range::{Bound, Range};
pub use residence::Residence;
pub use risk_tolerance::RiskTolerance;
pub(crate) use risk_tolerance::highest_grade;
pub use sales_window::SalesWindow;

use crate::{FactId, Facts, Offered, Policy, Unknown, verdict::RuleResult};

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Names it for good, in answers and in the records of decisions.
    pub code: RuleCode,
    /// For people.
    pub description: String,
    /// The regulation that it serves, or the house rule.
    pub regulation: String,
    /// The classes of products that it concerns.
    pub classes: Vec<ProductClass>,
    /// What becomes of a product that it stands against.
    pub on_failure: OnFailure,
    /// What becomes of a product of which it cannot tell.
    pub on_unknown: OnFailure,
    /// What it checks.
    pub check: Check,
}

/// A rule's name: `[A-Z][A-Z0-9_]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleCode(pub(crate) String);

/// What becomes of a product that a rule does not let pass. Neither is ever offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is excluded.
    #[default]
    Exclude,
    /// A person has to look at it.
    Review,
}

/// What becomes of a product that does not declare what a rule reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undeclared {
    /// The rule cannot tell, and so does not let it pass.
    #[default]
    Exclude,
    /// The rule does not concern it.
    Pass,
}

/// What a rule checks, a struct for each kind.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is the kind that it holds")]
pub enum Check {
    ProductStatus(SoldProduct),
    SalesWindow(SalesWindow),
    Held(Held),
    CategoryCap(CategoryCap),
    Residence(Residence),
    RiskTolerance(RiskTolerance),
    Range(Range),
    Affordability(Affordability),
    Need(Need),
    Consent(Consent),
    Objection(Objection),
}

/// One customer and one product at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// By which the facts are read.
    pub policy: &'a Policy,
    /// What is known of the customer.
    pub facts: &'a Facts,
    /// What the customer holds.
    pub holdings: &'a [Holding<'a>],
    /// What may or may not be offered.
    pub product: Offered<'a>,
    /// When.
    pub moment: DateTime<Utc>,
}

/// A product that a customer holds.
#[derive(Clone, Copy, Debug)]
pub struct Holding<'a> {
    /// Names it.
    pub product_id: &'a ProductId,
    /// The product and its place in the catalogue; `None` if it is in none, and then nobody knows its category.
    pub product: Option<(usize, Offered<'a>)>,
}

/// What a kind of rule can do.
pub(crate) trait Kind {
    /// The facts that it looks at.
    fn facts(&self) -> Vec<FactId> {
        Vec::new()
    }

    /// What it says of a case whose product it concerns.
    fn judge(&self, case: &Case<'_>) -> RuleResult;
}

impl Rule {
    /// Whether it concerns a class of products.
    pub fn concerns(&self, class: ProductClass) -> bool {
        self.classes.contains(&class)
    }

    /// The facts that it looks at.
    pub fn facts(&self) -> Vec<FactId> {
        self.check.kind().facts()
    }

    /// Whether it looks at what the customer holds.
    pub fn looks_at_holdings(&self) -> bool {
        matches!(self.check, Check::Held(_) | Check::CategoryCap(_))
    }

    /// What it says of a case.
    pub(crate) fn judge(&self, case: &Case<'_>) -> RuleResult {
        if self.concerns(case.product.product_class) {
            self.check.kind().judge(case)
        } else {
            RuleResult::NotApplicable
        }
    }
}

impl Check {
    /// The kind, as the file names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ProductStatus(_) => "product_status",
            Self::SalesWindow(_) => "sales_window",
            Self::Held(_) => "held",
            Self::CategoryCap(_) => "category_cap",
            Self::Residence(_) => "residence",
            Self::RiskTolerance(_) => "risk_tolerance",
            Self::Range(_) => "range",
            Self::Affordability(_) => "affordability",
            Self::Need(_) => "need",
            Self::Consent(_) => "consent",
            Self::Objection(_) => "objection",
        }
    }

    fn kind(&self) -> &dyn Kind {
        match self {
            Self::ProductStatus(kind) => kind,
            Self::SalesWindow(kind) => kind,
            Self::Held(kind) => kind,
            Self::CategoryCap(kind) => kind,
            Self::Residence(kind) => kind,
            Self::RiskTolerance(kind) => kind,
            Self::Range(kind) => kind,
            Self::Affordability(kind) => kind,
            Self::Need(kind) => kind,
            Self::Consent(kind) => kind,
            Self::Objection(kind) => kind,
        }
    }
}

impl Case<'_> {
    /// That a fact cannot be relied on, and why.
    pub(crate) fn doubt(&self, id: FactId, unknown: &Unknown) -> RuleResult {
        let fact = self.policy.fact(id);
        RuleResult::Unknown(format!("{} {}", fact.name, unknown.of(fact)))
    }

    /// A fact in words.
    pub(crate) fn fact(&self, id: FactId) -> String {
        self.policy.fact_in_words(id, self.facts)
    }
}

impl Undeclared {
    /// What a rule says of a product that does not declare `what`.
    pub(crate) fn result(self, what: &dyn fmt::Display) -> RuleResult {
        match self {
            Self::Exclude => RuleResult::Unknown(format!("the product does not declare {what}")),
            Self::Pass => RuleResult::NotApplicable,
        }
    }
}

/// What a product declares cannot be read.
pub(crate) fn unreadable(why: impl fmt::Display) -> RuleResult {
    RuleResult::Unknown(format!("the product's {why}"))
}

impl RuleCode {
    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
