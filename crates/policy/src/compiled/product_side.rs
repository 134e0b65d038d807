//! The product side of each kind of rule, worked out once.

use std::{cmp::Reverse, collections::HashMap};

use chrono::{DateTime, Utc};
use finrank_model::{ProductStatus, RiskGrade};

use super::{
    ProductSet,
    customer_side::{Test, Upper},
    ladder::Ladder,
};
use crate::{
    Currency, FactId, Finite, Offered, Rule,
    product::Declared,
    rules::{Affordability, Check, Need, Range, Residence, SalesWindow, Undeclared},
};

/// Sorts products by what a rule can say of them without a customer.
pub(super) struct Sides<'a> {
    products: &'a [Offered<'a>],
    /// What the rule does not concern.
    pub(super) exempt: ProductSet,
    /// Of what it cannot tell, whoever the customer is.
    pub(super) unreadable: ProductSet,
}

impl<'a> Sides<'a> {
    pub(super) fn new(rule: &Rule, products: &'a [Offered<'a>]) -> Self {
        let mut exempt = ProductSet::empty(products.len());
        for (place, product) in products.iter().enumerate() {
            if !rule.concerns(product.product_class) {
                exempt.insert(place);
            }
        }
        Self { products, exempt, unreadable: ProductSet::empty(products.len()) }
    }

    fn none(&self) -> ProductSet {
        ProductSet::empty(self.products.len())
    }

    fn those(&self, holds: impl Fn(&Offered<'_>) -> bool) -> ProductSet {
        let mut set = self.none();
        for (place, product) in self.products.iter().enumerate() {
            if holds(product) {
                set.insert(place);
            }
        }
        set
    }

    /// What the concerned products declare, with their places; the others are sorted out.
    fn declared<T>(
        &mut self,
        undeclared: Undeclared,
        read: impl Fn(&Offered<'a>) -> Declared<T>,
    ) -> Vec<(T, usize)> {
        let mut declared = Vec::new();
        for (place, product) in self.products.iter().enumerate() {
            if self.exempt.contains(place) {
                continue;
            }
            match (read(product), undeclared) {
                (Declared::Yes(value), _) => declared.push((value, place)),
                (Declared::No, Undeclared::Pass) => self.exempt.insert(place),
                (Declared::No, Undeclared::Exclude) | (Declared::Unreadable(_), _) => {
                    self.unreadable.insert(place);
                }
            }
        }
        declared
    }

    /// Sorts the products out, and says how the rest are tested for a customer.
    pub(super) fn test(&mut self, check: &Check) -> Test {
        match check {
            Check::ProductStatus(_) => {
                Test::Products(self.those(|product| product.status == ProductStatus::Active))
            }
            Check::SalesWindow(window) => self.window(window),
            Check::Held(_) => Test::Held,
            Check::CategoryCap(cap) => {
                let declared = self.declared(cap.undeclared, |product| cap.category.of(product));
                Test::Cap {
                    most: cap.most,
                    category: cap.category.clone(),
                    members: self.grouped(declared.into_iter().map(|(name, place)| (name.to_owned(), place))),
                }
            }
            Check::Residence(residence) => self.residence(residence),
            Check::RiskTolerance(risk) => {
                let grade = |product: &Offered<'_>| product.risk_grade.map(RiskGrade::get);
                let graded = self.declared(Undeclared::Exclude, |product| {
                    grade(product).map_or(Declared::No, Declared::Yes)
                });
                let ladder = Ladder::of(self.products.len(), graded);
                Test::Risk { fact: risk.fact, up_to: [1, 2, 3, 4, 5].map(|grade| ladder.up_to(&grade)) }
            }
            Check::Range(range) => self.range(range),
            Check::Affordability(affordability) => self.affordability(affordability),
            Check::Need(need) => self.need(need),
            Check::Consent(consent) => Test::Consent(consent.fact),
            Check::Objection(objection) => Test::Objection(objection.fact),
        }
    }

    fn window(&mut self, window: &SalesWindow) -> Test {
        let (mut from, mut until) = (Vec::new(), Vec::new());
        let windows = self.declared(Undeclared::Pass, |product| {
            match (product.moment(&window.from), product.moment(&window.until)) {
                (Declared::Unreadable(why), _) | (_, Declared::Unreadable(why)) => Declared::Unreadable(why),
                (Declared::No, Declared::No) => Declared::No,
                (from, until) => Declared::Yes((from, until)),
            }
        });
        for ((begins, ends), place) in windows {
            // What is not declared is open.
            let begins = if let Declared::Yes(begins) = begins { begins } else { DateTime::<Utc>::MIN_UTC };
            let ends = if let Declared::Yes(ends) = ends { ends } else { DateTime::<Utc>::MAX_UTC };
            from.push((begins, place));
            until.push((Reverse(ends), place));
        }
        let universe = self.products.len();
        Test::Window { from: Ladder::of(universe, from), until: Ladder::of(universe, until) }
    }

    fn residence(&mut self, residence: &Residence) -> Test {
        // A product that lists nothing is sold wherever the rule allows.
        let own = residence.allowed.is_some();
        let listed = self.declared(residence.undeclared, |product| match residence.listed(product) {
            Declared::Yes(places) => Declared::Yes(Some(places)),
            Declared::No if own => Declared::Yes(None),
            Declared::No => Declared::No,
            Declared::Unreadable(why) => Declared::Unreadable(why),
        });
        let mut anywhere = self.none();
        let mut pairs = Vec::new();
        for (places, place) in listed {
            match places {
                None => anywhere.insert(place),
                Some(places) => pairs.extend(places.into_iter().map(|lives| (lives.to_owned(), place))),
            }
        }
        Test::Residence {
            fact: residence.fact,
            by_place: self.grouped(pairs),
            anywhere,
            allowed: residence.allowed.as_ref().map(|allowed| allowed.iter().cloned().collect()),
        }
    }

    fn range(&mut self, range: &Range) -> Test {
        let bounds = self.declared(Undeclared::Pass, |product| {
            let minimum = range.minimum.of(product, range.undeclared, Finite::max);
            let maximum = range.maximum.of(product, range.undeclared, Finite::min);
            match (minimum, maximum) {
                (Ok(None), Ok(None)) => Declared::No,
                (Ok(minimum), Ok(maximum)) => Declared::Yes((minimum, maximum)),
                (Err(result), _) | (_, Err(result)) => Declared::Unreadable(result.reason().to_owned()),
            }
        });
        let universe = self.products.len();
        let minimum = bounds.iter().map(|((minimum, _), place)| (*minimum, *place));
        let maximum = bounds
            .iter()
            .map(|((_, maximum), place)| (Reverse(maximum.map_or(Upper::None, Upper::Bound)), *place));
        Test::Range {
            fact: range.fact,
            minimum: Ladder::of(universe, minimum.collect()),
            maximum: Ladder::of(universe, maximum.collect()),
        }
    }

    fn affordability(&mut self, rule: &Affordability) -> Test {
        let mut amounts: HashMap<Currency, Vec<(i64, usize)>> = HashMap::new();
        for ((currency, amount), place) in
            self.declared(rule.undeclared, |product| product.amount(&rule.amount))
        {
            amounts.entry(currency).or_default().push((amount, place));
        }
        let universe = self.products.len();
        let ladders = amounts.into_iter().map(|(currency, of)| (currency, Ladder::of(universe, of)));
        Test::Affordability {
            capacity: rule.capacity,
            committed: rule.committed,
            percent: rule.percent,
            amounts: ladders.collect(),
        }
    }

    fn need(&mut self, rule: &Need) -> Test {
        let mut by_fact: HashMap<FactId, ProductSet> = HashMap::new();
        for (named, place) in self.declared(rule.undeclared, |product| product.text(&rule.attribute)) {
            match rule.needs.get(named) {
                Some(&fact) => by_fact.entry(fact).or_insert_with(|| self.none()).insert(place),
                None => self.unreadable.insert(place),
            }
        }
        Test::Need { by_fact }
    }

    fn grouped(&self, pairs: impl IntoIterator<Item = (String, usize)>) -> HashMap<String, ProductSet> {
        let mut groups: HashMap<String, ProductSet> = HashMap::new();
        for (name, place) in pairs {
            groups.entry(name).or_insert_with(|| self.none()).insert(place);
        }
        groups
    }
}
