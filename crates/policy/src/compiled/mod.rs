//! A policy over a whole catalogue: the product side of every rule is worked out once, so that one customer's eligible
//! products are a few operations on bitmaps. It says the same as [`Policy::judge`] of every product, by another path.

mod customer_side;
mod ladder;
mod product_side;
mod set;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use set::ProductSet;

use self::{
    customer_side::{Test, Tested},
    product_side::Sides,
};
use crate::{Facts, Holding, Offered, OnFailure, Policy, Rule};

/// A policy, prepared for the products of one catalogue.
#[derive(Debug)]
pub struct CompiledPolicy {
    policy: Arc<Policy>,
    rules: Vec<CompiledRule>,
    products: usize,
}

/// One rule over a catalogue.
#[derive(Debug)]
struct CompiledRule {
    /// What it does not concern.
    exempt: ProductSet,
    /// Of what it cannot tell, whoever the customer is.
    unreadable: ProductSet,
    test: Test,
}

/// What a rule stands against, for one customer.
struct Answer {
    fails: ProductSet,
    unknown: ProductSet,
}

/// What of a catalogue one customer may be offered at a moment.
#[derive(Clone, Debug)]
pub struct Admission {
    /// What may be offered.
    pub eligible: ProductSet,
    /// What only a person may decide on.
    pub human_review: ProductSet,
    /// How many products each rule stands against, in the order of the policy, whether or not others do too.
    pub against: Vec<usize>,
}

impl CompiledPolicy {
    /// Prepares a policy for products, whose places are those of the list. Takes some ten milliseconds for 100,000.
    pub fn new(policy: Arc<Policy>, products: &[Offered<'_>]) -> Self {
        let rules = policy.rules().iter().map(|rule| CompiledRule::of(rule, products)).collect();
        Self { policy, rules, products: products.len() }
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// What a customer may be offered.
    pub fn admit(&self, facts: &Facts, holdings: &[Holding<'_>], moment: DateTime<Utc>) -> Admission {
        let mut review = ProductSet::empty(self.products);
        let mut excluded = ProductSet::empty(self.products);
        let mut against = Vec::with_capacity(self.rules.len());
        for (rule, compiled) in self.policy.rules().iter().zip(&self.rules) {
            let answer = compiled.answer(facts, holdings, moment);
            against.push(answer.fails.len() + answer.unknown.len());
            for (set, outcome) in [(&answer.fails, rule.on_failure), (&answer.unknown, rule.on_unknown)] {
                match outcome {
                    OnFailure::Exclude => excluded.add(set),
                    OnFailure::Review => review.add(set),
                }
            }
        }
        let mut eligible = excluded.clone();
        eligible.add(&review);
        review.take_out(&excluded);
        Admission { eligible: eligible.others(), human_review: review, against }
    }
}

impl CompiledRule {
    fn of(rule: &Rule, products: &[Offered<'_>]) -> Self {
        let mut sides = Sides::new(rule, products);
        let test = sides.test(&rule.check);
        Self { exempt: sides.exempt, unreadable: sides.unreadable, test }
    }

    fn answer(&self, facts: &Facts, holdings: &[Holding<'_>], moment: DateTime<Utc>) -> Answer {
        let products = self.exempt.universe();
        let mut concerned = self.exempt.clone().others();
        match self.test.of(products, facts, holdings, moment) {
            Tested::Unknown => Answer { fails: ProductSet::empty(products), unknown: concerned },
            Tested::Sorted(passing, mut unknown) => {
                unknown.add(&self.unreadable);
                unknown.keep(&concerned);
                concerned.take_out(&unknown);
                concerned.take_out(&passing);
                Answer { fails: concerned, unknown }
            }
        }
    }
}
