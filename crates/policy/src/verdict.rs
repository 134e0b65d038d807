//! What all rules together say of a customer and a product.

use crate::{OnFailure, Policy};

/// May it be offered?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Yes.
    Eligible,
    /// Not by a machine: a person has to look.
    HumanReview,
    /// No.
    Excluded,
}

/// The outcome, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The strictest that any rule asks for.
    pub outcome: Outcome,
    /// One of each rule, in the order of the policy.
    pub findings: Vec<Finding>,
}

/// What one rule says.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which: its place in the policy.
    pub rule: usize,
    /// What it says.
    pub result: RuleResult,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleResult {
    /// It does not concern the product.
    NotApplicable,
    /// Nothing against it.
    Passes,
    /// No, and from what values.
    Fails(String),
    /// It cannot tell, which counts as no; the words say for want of what.
    Unknown(String),
}

impl RuleResult {
    /// Whether the rule stands against the product.
    pub fn is_against(&self) -> bool {
        matches!(self, Self::Fails(_) | Self::Unknown(_))
    }

    /// From what values it stands against the product; empty if it does not.
    pub fn reason(&self) -> &str {
        match self {
            Self::NotApplicable | Self::Passes => "",
            Self::Fails(reason) | Self::Unknown(reason) => reason,
        }
    }

    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotApplicable => "NOT_APPLICABLE",
            Self::Passes => "PASSES",
            Self::Fails(_) => "FAILS",
            Self::Unknown(_) => "UNKNOWN",
        }
    }
}

impl Outcome {
    /// As files and contracts name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eligible => "eligible",
            Self::HumanReview => "human_review",
            Self::Excluded => "excluded",
        }
    }
}

impl Verdict {
    pub(crate) fn of(policy: &Policy, findings: Vec<Finding>) -> Self {
        let outcome = findings.iter().map(|finding| {
            let rule = &policy.rules()[finding.rule];
            match &finding.result {
                RuleResult::NotApplicable | RuleResult::Passes => Outcome::Eligible,
                RuleResult::Fails(_) => rule.on_failure.outcome(),
                RuleResult::Unknown(_) => rule.on_unknown.outcome(),
            }
        });
        Self { outcome: outcome.max().unwrap_or(Outcome::Eligible), findings }
    }

    /// The findings that stand against the product.
    pub fn against(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.result.is_against())
    }
}

impl OnFailure {
    /// The outcome that it leads to.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Exclude => Outcome::Excluded,
            Self::Review => Outcome::HumanReview,
        }
    }
}
