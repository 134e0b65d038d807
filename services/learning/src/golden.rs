//! The customers and products of a bundle's golden vectors.
//!
//! The customers are made up: each attribute is a quantile of its numbers, or one of its commonest values, chosen apart
//! from the others, so that a bundle holds nobody's data. Products are nobody's, and are taken from the catalogue.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use finrank_model::{
    AttributeValue, Attributes, Product, UserId, UserRecord,
    features::{FeatureRow, FeatureSet},
};

use crate::{Result, dataset::Dataset};

/// How many customers are made up. The last one is nobody of whom anything is known.
const USERS: usize = 4;
/// How many products are taken.
const PRODUCTS: usize = 3;
/// Of a value that fewer customers have, none is made up: it might point at somebody.
const SHARED_BY: usize = 10;

/// Customers that do not exist.
pub(crate) fn users(dataset: &Dataset) -> Result<Vec<UserRecord>> {
    let mut columns: BTreeMap<&str, Vec<&AttributeValue>> = BTreeMap::new();
    for user in &dataset.users {
        for (name, value) in user.attributes.iter() {
            columns.entry(name.as_str()).or_default().push(value);
        }
    }
    let set = dataset.users.first().and_then(|user| user.features.set());
    let users = (0..USERS).map(|place| {
        let known = if place + 1 < USERS { &columns } else { &BTreeMap::new() };
        let attributes =
            known.iter().filter_map(|(name, values)| Some(((*name).to_owned(), typical(values, place)?)));
        let held = dataset.products.iter().skip(place).step_by(USERS).take(place);
        Ok(UserRecord {
            user_id: UserId::parse(format!("golden-{place}"))?,
            attributes: Attributes::new(attributes)?,
            held: held.map(|product| product.product_id.clone()).collect(),
            features: set.map_or_else(FeatureRow::default, |set| features(set, dataset, place)),
        })
    });
    users.collect()
}

/// What views tell of a made-up customer.
fn features(set: &Arc<FeatureSet>, dataset: &Dataset, place: usize) -> FeatureRow {
    let of_feature = |feature: usize| {
        let values: Vec<_> = dataset.users.iter().filter_map(|user| user.features.value(feature)).collect();
        typical(&values, place).filter(|_| place + 1 < USERS)
    };
    set.row((0..set.features.len()).map(of_feature))
}

/// Products of the catalogue, from its whole length.
pub(crate) fn products(dataset: &Dataset) -> Vec<Product> {
    let step = dataset.products.len().div_ceil(PRODUCTS).max(1);
    dataset.products.iter().step_by(step).cloned().collect()
}

/// A value that says nothing of anybody: the lower, middle or upper quartile of numbers, rounded, or a common value.
fn typical(values: &[&AttributeValue], place: usize) -> Option<AttributeValue> {
    let mut numbers: Vec<f64> = values.iter().filter_map(|value| number(value)).collect();
    if 2 * numbers.len() > values.len() {
        numbers.sort_by(f64::total_cmp);
        let quartile = numbers.get(numbers.len() * (place + 1) / USERS).copied()?;
        return (numbers.len() >= SHARED_BY).then(|| AttributeValue::Number(two_digits(quartile)));
    }
    let mut counts: BTreeMap<String, (usize, &AttributeValue)> = BTreeMap::new();
    for value in values.iter().filter(|value| number(value).is_none()) {
        counts.entry(format!("{value:?}")).or_insert((0, value)).0 += 1;
    }
    let mut common: Vec<_> = counts.into_values().filter(|(count, _)| *count >= SHARED_BY).collect();
    common.sort_by_key(|(count, _)| Reverse(*count));
    let (_, value) = common.get(place % common.len().max(1))?;
    Some((*value).clone())
}

fn number(value: &AttributeValue) -> Option<f64> {
    match value {
        AttributeValue::Number(number) => Some(*number),
        AttributeValue::Text(_) | AttributeValue::Flag(_) => None,
    }
}

/// An income to the cent could be somebody's; its first two digits are many people's.
fn two_digits(number: f64) -> f64 {
    let magnitude = 10f64.powf(number.abs().max(f64::MIN_POSITIVE).log10().floor() - 1.0);
    let rounded = (number / magnitude).round() * magnitude;
    if rounded.is_finite() { rounded } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use finrank_model::ProductId;

    use super::*;
    use crate::{dataset::Acquisitions, samples::product};

    fn dataset(count: usize) -> Dataset {
        let users = (0..count).map(|index| UserRecord {
            user_id: UserId::parse(format!("u{index:03}")).unwrap(),
            attributes: Attributes::new([
                ("income".to_owned(), AttributeValue::Number(1234.56 + 100.0 * index as f64)),
                ("name".to_owned(), AttributeValue::Text(format!("person {index}"))),
                ("region".to_owned(), AttributeValue::Text(["north", "south"][index % 2].to_owned())),
            ])
            .unwrap(),
            held: vec![ProductId::parse("a").unwrap(), ProductId::parse("b").unwrap()],
            features: FeatureRow::default(),
        });
        let products = ["a", "b", "c", "d"].map(product).to_vec();
        Dataset::clean(users.collect(), products, &Acquisitions::new()).unwrap()
    }

    #[test]
    fn made_up_customers_have_what_many_share_and_nothing_that_points_at_one() {
        let dataset = dataset(40);

        let users = users(&dataset).unwrap();

        assert_eq!(users.len(), USERS);
        for user in &users {
            assert_eq!(user.attributes.get("name"), None, "every name is somebody's");
            assert!(dataset.users.iter().all(|real| real.attributes != user.attributes));
        }
        assert_eq!(users[0].attributes.get("income"), Some(&AttributeValue::Number(2200.0)));
        assert_eq!(users[1].attributes.get("region"), Some(&AttributeValue::Text("south".to_owned())));
        assert_eq!(users[3].attributes, Attributes::default());
    }

    #[test]
    fn of_a_handful_of_customers_nothing_is_told() {
        let users = users(&dataset(9)).unwrap();

        assert!(users.iter().all(|user| user.attributes == Attributes::default()));
    }

    #[test]
    fn products_are_of_the_catalogue() {
        let ids: Vec<String> =
            products(&dataset(10)).into_iter().map(|product| product.product_id.into()).collect();

        assert_eq!(ids, ["a", "c"]);
    }
}
