//! How far the customers of now are from those that a model learned from, attribute by attribute: the population
//! stability index.
//!
//! Bins are the deciles of then, or the texts of then; a missing value is a bin of its own.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use finrank_model::{AttributeName, AttributeValue, Attributes, ModelVersion, stability_index};
use serde::Serialize;

/// The customers of now beside those that were known when a model was registered.
#[derive(Clone, Debug, Serialize)]
pub struct DriftReport {
    /// The newest model.
    pub model_version: ModelVersion,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
    /// Customers known then.
    pub customers_then: usize,
    /// Customers known now.
    pub customers_now: usize,
    /// Every attribute of either, the one that moved most first.
    pub attributes: Vec<AttributeDrift>,
}

/// How far one attribute moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttributeDrift {
    /// Its name.
    pub name: AttributeName,
    /// See [`finrank_model::stability_index`].
    pub stability_index: f64,
}

/// Compares every attribute, the one that moved most first.
pub(crate) fn drift(then: &[&Attributes], now: &[&Attributes]) -> Vec<AttributeDrift> {
    let names: BTreeSet<&AttributeName> =
        then.iter().chain(now).flat_map(|attributes| attributes.iter().map(|(name, _)| name)).collect();
    let mut found: Vec<AttributeDrift> = names
        .into_iter()
        .map(|name| {
            let values = |customers: &[&Attributes]| -> Vec<Option<AttributeValue>> {
                customers.iter().map(|attributes| attributes.get(name.as_str()).cloned()).collect()
            };
            let stability_index = of_values(&values(then), &values(now));
            AttributeDrift { name: name.clone(), stability_index }
        })
        .collect();
    found.sort_by(|a, b| b.stability_index.total_cmp(&a.stability_index));
    found
}

fn of_values(then: &[Option<AttributeValue>], now: &[Option<AttributeValue>]) -> f64 {
    let edges = deciles(then);
    let (then, now) = (shares(then, &edges), shares(now, &edges));
    let known = then.iter().map(|(bin, &expected)| [expected, now.get(bin).copied().unwrap_or_default()]);
    // What is new falls into one bin, however many texts it has.
    let unseen = now.iter().filter(|(bin, _)| !then.contains_key(bin)).map(|(_, share)| share).sum();
    stability_index(known.chain([[0.0, unseen]]))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Bin {
    Missing,
    /// Between two deciles.
    Number(usize),
    Text(String),
}

fn deciles(values: &[Option<AttributeValue>]) -> Vec<f64> {
    let mut numbers: Vec<f64> = values
        .iter()
        .filter_map(|value| match value {
            Some(AttributeValue::Number(number)) => Some(*number),
            _ => None,
        })
        .collect();
    numbers.sort_by(f64::total_cmp);
    let mut deciles: Vec<f64> =
        (1..10).filter_map(|decile| numbers.get(decile * numbers.len() / 10).copied()).collect();
    deciles.dedup();
    deciles
}

fn shares(values: &[Option<AttributeValue>], edges: &[f64]) -> BTreeMap<Bin, f64> {
    let mut shares = BTreeMap::new();
    for value in values {
        let bin = match value {
            None => Bin::Missing,
            Some(AttributeValue::Number(number)) => Bin::Number(edges.partition_point(|edge| edge < number)),
            Some(AttributeValue::Flag(flag)) => Bin::Text(flag.to_string()),
            Some(AttributeValue::Text(text)) => Bin::Text(text.clone()),
        };
        *shares.entry(bin).or_insert(0.0) += 1.0 / values.len() as f64;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ages(ages: impl Iterator<Item = i32>) -> Vec<Attributes> {
        let of =
            |age: i32| Attributes::new([("age".to_owned(), AttributeValue::Number(age.into()))]).unwrap();
        ages.map(of).collect()
    }

    fn index(then: &[Attributes], now: &[Attributes]) -> f64 {
        let found = drift(&then.iter().collect::<Vec<_>>(), &now.iter().collect::<Vec<_>>());
        found[0].stability_index
    }

    #[test]
    fn the_same_customers_have_not_moved_and_older_ones_have() {
        let then = ages(0..1_000);

        assert!(index(&then, &then) < 1e-12);
        assert!(index(&then, &ages((0..1_000).map(|age| age + 10))) < 0.1);
        assert!(index(&then, &ages(500..1_500)) > 0.25);
    }

    #[test]
    fn the_index_of_two_texts_is_that_computed_by_hand() {
        let of = |text: &str| {
            Attributes::new([("city".to_owned(), AttributeValue::Text(text.to_owned()))]).unwrap()
        };
        let then = [of("Rome"), of("Rome"), of("Oslo"), of("Oslo")];
        let now = [of("Rome"), of("Rome"), of("Rome"), of("Oslo")];

        let expected = 0.25 * 1.5f64.ln() - 0.25 * 0.5f64.ln();
        assert!((index(&then, &now) - expected).abs() < 1e-9);
    }

    #[test]
    fn an_attribute_that_nobody_had_is_told() {
        let without = vec![Attributes::default(); 10];

        assert!(index(&without, &ages(0..10)) > 1.0);
    }
}
