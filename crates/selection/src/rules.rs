//! The rules themselves, as every reader sees them: codes are unique, numbers are what they must be, and no two pins want one
//! place.

use std::fmt;

use chrono::{DateTime, Utc};
use finrank_model::{ProductClass, ProductId, Sha256Digest};

use crate::{Candidate, Scenario, Scope};

/// What one file says about which candidates are offered in which place.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectionRules {
    pub(crate) version: String,
    pub(crate) digest: Sha256Digest,
    pub(crate) text: String,
    pub(crate) description: String,
    pub(crate) pins: Vec<Rule<Pin>>,
    pub(crate) boosts: Vec<Rule<Boost>>,
    pub(crate) caps: Vec<Rule<Cap>>,
    pub(crate) diversity: Vec<Rule<Diversity>>,
    pub(crate) exploration: Vec<Rule<Exploration>>,
}

/// A rule's code, by which answers and the log name it: `[A-Z][A-Z0-9_]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectionCode(pub(crate) String);

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule<T> {
    /// Names it for good.
    pub code: SelectionCode,
    /// For people.
    pub description: String,
    /// Where and when it holds.
    pub scope: Scope,
    /// What it says.
    pub says: T,
}

/// A product has a place, if it may be offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// Which.
    pub product_id: ProductId,
    /// From 1.
    pub place: usize,
}

/// The odds of some products count for more in the order, or for less.
#[derive(Clone, Debug, PartialEq)]
pub struct Boost {
    /// By how much, above 0.
    pub factor: f64,
    /// Of which.
    pub of: Which,
}

/// An answer holds no more than so many of one category.
#[derive(Clone, Debug, PartialEq)]
pub struct Cap {
    /// What makes a category.
    pub per: Per,
    /// How many, at least 1.
    pub most: usize,
    /// It concerns only these.
    pub of: Which,
}

/// What makes a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// The class.
    Class,
    /// The issuer. Products of which nobody knows it are of one.
    Issuer,
}

/// Some products. Of each list that has entries a product must match one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Which {
    /// Of these classes.
    pub classes: Vec<ProductClass>,
    /// From these issuers.
    pub issuers: Vec<String>,
    /// These.
    pub product_ids: Vec<ProductId>,
}

/// How much unlikeness counts beside the score, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Diversity(f64);

/// Places that now and then go to another candidate, so that it can be learned what others would have done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exploration {
    /// How often each of the places does, above 0 and at most a half.
    pub epsilon: f64,
    /// The first of the places, from 1. Those before it are never explored.
    pub from_place: usize,
    /// How many of the best that would not be offered may take a place.
    pub challengers: usize,
}

/// The rules that hold for one request.
#[derive(Clone, Debug)]
pub struct InForce<'r> {
    /// In the order of their places.
    pub pins: Vec<&'r Rule<Pin>>,
    /// In the order of the file, as the rest.
    pub boosts: Vec<&'r Rule<Boost>>,
    /// All of them hold at once.
    pub caps: Vec<&'r Rule<Cap>>,
    /// How much unlikeness counts.
    pub diversity: Diversity,
    /// The first that holds.
    pub exploration: Option<&'r Rule<Exploration>>,
}

impl SelectionRules {
    /// What its owner calls it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The file's SHA-256: which rules these are, whatever they call themselves.
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

    /// Every rule by its kind, code, scope and description, in the order of kinds.
    pub fn outline(&self) -> Vec<(&'static str, &SelectionCode, &Scope, &str)> {
        fn of<'r, T>(
            kind: &'static str,
            rules: &'r [Rule<T>],
        ) -> impl Iterator<Item = (&'static str, &'r SelectionCode, &'r Scope, &'r str)> {
            rules.iter().map(move |rule| (kind, &rule.code, &rule.scope, rule.description.as_str()))
        }
        of("pin", &self.pins)
            .chain(of("boost", &self.boosts))
            .chain(of("cap", &self.caps))
            .chain(of("diversity", &self.diversity))
            .chain(of("exploration", &self.exploration))
            .collect()
    }

    /// What holds for a request.
    pub fn in_force(&self, scenario: Scenario, moment: DateTime<Utc>) -> InForce<'_> {
        fn holding<T>(rules: &[Rule<T>], scenario: Scenario, moment: DateTime<Utc>) -> Vec<&Rule<T>> {
            rules.iter().filter(|rule| rule.scope.holds(scenario, moment)).collect()
        }
        let mut pins = holding(&self.pins, scenario, moment);
        pins.sort_by_key(|pin| pin.says.place);
        InForce {
            pins,
            boosts: holding(&self.boosts, scenario, moment),
            caps: holding(&self.caps, scenario, moment),
            diversity: holding(&self.diversity, scenario, moment)
                .first()
                .map_or_else(Diversity::default, |rule| rule.says),
            exploration: holding(&self.exploration, scenario, moment).first().copied(),
        }
    }
}

impl InForce<'_> {
    /// The same where a request says how much unlikeness counts.
    #[must_use]
    pub fn with_diversity(self, wished: Option<Diversity>) -> Self {
        Self { diversity: wished.unwrap_or(self.diversity), ..self }
    }

    /// The same for candidates that no model scored: there are no odds to boost, no scores to weigh against unlikeness, and
    /// no order of a model to learn anything about.
    #[must_use]
    pub fn unscored(self) -> Self {
        Self { boosts: Vec::new(), diversity: Diversity::default(), exploration: None, ..self }
    }

    /// The same without exploration.
    #[must_use]
    pub fn unexplored(self) -> Self {
        Self { exploration: None, ..self }
    }

    /// By what boosts multiply a candidate's odds; 1 without one.
    pub(crate) fn factor(&self, candidate: &Candidate<'_>) -> f64 {
        let hits = self.boosts.iter().filter(|boost| boost.says.of.covers(candidate));
        hits.map(|boost| boost.says.factor).product()
    }
}

impl Which {
    /// Whether these are all products.
    pub fn is_everything(&self) -> bool {
        self.classes.is_empty() && self.issuers.is_empty() && self.product_ids.is_empty()
    }

    /// Whether a candidate is one of them.
    pub fn covers(&self, candidate: &Candidate<'_>) -> bool {
        (self.classes.is_empty() || self.classes.contains(&candidate.product_class))
            && (self.issuers.is_empty() || self.issuers.iter().any(|issuer| issuer == candidate.issuer))
            && (self.product_ids.is_empty() || self.product_ids.contains(candidate.product_id))
    }
}

impl Diversity {
    /// Of a number; `None` unless it is 0 to 1.
    pub fn new(diversity: f64) -> Option<Self> {
        // The zero takes the sign off another one.
        (0.0..=1.0).contains(&diversity).then_some(Self(diversity + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl SelectionCode {
    /// As the file has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SelectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
