//! The policy itself, as every reader sees it: codes and names are unique, whatever is referred to is there, and every
//! fact is of the type that its rules need.

use std::fmt;

use chrono::{DateTime, Utc};
use finrank_model::{Sha256Digest, features::FeatureRef};

use crate::{
    Case, Fact, FactId, FactState, FactValue, Facts, Rule, Unknown, Verdict,
    verdict::{Finding, RuleResult},
};

/// What one file says about who may be offered what.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub(crate) version: PolicyVersion,
    pub(crate) digest: Sha256Digest,
    pub(crate) text: String,
    pub(crate) description: String,
    pub(crate) source: FactSource,
    pub(crate) facts: Vec<Fact>,
    pub(crate) profiling: Option<Profiling>,
    pub(crate) rules: Vec<Rule>,
}

/// What the owner of a policy calls it, such as `2026-11`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion(pub(crate) String);

/// Whom to ask for facts, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactSource {
    /// The feature service that serves them.
    pub service: String,
    /// The purpose that is stated.
    pub purpose: String,
}

/// When a customer is not profiled, and what is offered then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiling {
    /// The flag by which a customer objects to profiling.
    pub objection: FactId,
    /// The products' feature whose largest values are offered first to who objects.
    pub popularity: FeatureRef,
    /// The purpose for which that feature is asked for.
    pub purpose: String,
}

impl Policy {
    /// What its owner calls it.
    pub fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// The file's SHA-256: which policy this is, whatever it calls itself.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// The file itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// For people.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Whom to ask for facts.
    pub fn source(&self) -> &FactSource {
        &self.source
    }

    /// In the order of the file.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// One of them.
    pub fn fact(&self, id: FactId) -> &Fact {
        &self.facts[id.0]
    }

    /// Who is not profiled; absent if the policy leaves that open, and then everyone is.
    pub fn profiling(&self) -> Option<&Profiling> {
        self.profiling.as_ref()
    }

    /// In the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a customer may be profiled: one who is known not to have objected. An objection that cannot be read, or
    /// that is too old, still is one.
    pub fn may_profile(&self, facts: &Facts) -> bool {
        let Some(profiling) = &self.profiling else {
            return true;
        };
        not_objected(facts.get(profiling.objection))
    }

    /// What all rules say of one customer and one product: the plain reading, rule by rule.
    pub fn judge(&self, case: &Case<'_>) -> Verdict {
        let findings = self.rules.iter().enumerate();
        Verdict::of(
            self,
            findings.map(|(rule, checked)| Finding { rule, result: checked.judge(case) }).collect(),
        )
    }

    /// The facts that what was found rests on, each once, in the order of the file.
    pub fn facts_of(&self, findings: &[Finding]) -> Vec<FactId> {
        let applied = findings.iter().filter(|finding| finding.result != RuleResult::NotApplicable);
        let mut facts: Vec<FactId> = applied.flat_map(|finding| self.rules[finding.rule].facts()).collect();
        let dates: Vec<FactId> = facts.iter().filter_map(|&id| self.fact(id).dated_by).collect();
        facts.extend(dates);
        facts.sort_unstable();
        facts.dedup();
        facts
    }

    /// A fact in words: `risk_tolerance is 2 (of 2026-01-31)`.
    pub(crate) fn fact_in_words(&self, id: FactId, facts: &Facts) -> String {
        let (fact, state) = (self.fact(id), facts.get(id));
        let value = match (&state.value, &state.served) {
            (Ok(FactValue::Money(currency, minor)), _) => format!("is {minor} {currency} (minor units)"),
            (Ok(_), Some(served)) => format!("is {served}"),
            (Ok(_), None) => "is known".to_owned(),
            (Err(unknown), _) => unknown.of(fact),
        };
        format!("{} {value}{}", fact.name, of_date(state.dated))
    }
}

/// A flag that is no, or one that a known customer never stated.
pub(crate) fn not_objected(state: &FactState) -> bool {
    matches!(&state.value, Ok(FactValue::Flag(false)) | Err(Unknown::NotStated))
}

fn of_date(dated: Option<DateTime<Utc>>) -> String {
    dated.map(|dated| format!(" (of {})", dated.format("%Y-%m-%d"))).unwrap_or_default()
}

impl PolicyVersion {
    /// As the file has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
