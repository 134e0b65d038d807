//! What training may see and what it is measured on: at most one holding of each customer is hidden.

mod numpy;
mod order;

use chrono::{DateTime, Utc};
use finrank_model::UserRecord;

use self::numpy::NumpyGenerator;
pub use self::order::ProductOrder;
use crate::{
    LearningError, Result, SplitMethod,
    dataset::{Dataset, Holding, ProductIndex},
};

/// The two parts of each customer's holdings. Made by [`Split::new`]: `seen` and `hidden` never share a
/// product of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Split {
    /// What training sees of each customer, in the order of the products; as long as the data set's `users`.
    pub seen: Vec<Vec<ProductIndex>>,
    /// What is hidden of each customer, if anything.
    pub hidden: Vec<Option<ProductIndex>>,
}

impl Split {
    /// Hides one holding of each customer who has one to hide.
    ///
    /// # Errors
    /// [`LearningError::NothingHidden`] when there is no such customer.
    pub fn new(dataset: &Dataset, method: SplitMethod, seed: u64) -> Result<Self> {
        Self::in_order(dataset, method, &ProductOrder::by_id(dataset), seed)
    }

    /// The same where products count in another order than that of their ids: which holding a seed draws depends on it.
    ///
    /// # Errors
    /// As [`Split::new`].
    pub fn in_order(dataset: &Dataset, method: SplitMethod, order: &ProductOrder, seed: u64) -> Result<Self> {
        let hidden: Vec<Option<ProductIndex>> = match method {
            SplitMethod::LeaveOneOut => {
                let mut generator = NumpyGenerator::new(seed);
                dataset.held.iter().map(|held| any_one(held, order, &mut generator)).collect()
            }
            SplitMethod::LeaveLastOut => dataset.held.iter().map(|held| latest(held)).collect(),
            SplitMethod::Time(_) => {
                dataset.timeline.as_ref().map_or_else(Vec::new, |timeline| timeline.asked.clone())
            }
        };
        if hidden.iter().all(Option::is_none) {
            return Err(LearningError::NothingHidden(match method {
                SplitMethod::LeaveOneOut => "no customer holds two products",
                SplitMethod::LeaveLastOut => "no customer acquired one of two products after all others",
                SplitMethod::Time(_) => "no customer acquired a new product in the last part of the time",
            }));
        }
        let seen = dataset.held.iter().zip(&hidden).map(|(held, hidden)| {
            held.iter().map(|holding| holding.product).filter(|&product| Some(product) != *hidden).collect()
        });
        Ok(Self { seen: seen.collect(), hidden })
    }

    /// The customers as training may see them: without what is hidden.
    pub fn seen_records(&self, dataset: &Dataset) -> Vec<UserRecord> {
        let records = dataset.users.iter().zip(&self.seen).map(|(user, seen)| UserRecord {
            user_id: user.user_id.clone(),
            attributes: user.attributes.clone(),
            held: seen.iter().map(|&product| dataset.products[product as usize].product_id.clone()).collect(),
            features: user.features.clone(),
        });
        records.collect()
    }

    /// The customers of whom something is hidden, and what.
    pub fn questions(&self) -> impl Iterator<Item = (usize, ProductIndex)> {
        let hidden = self.hidden.iter().enumerate();
        hidden.filter_map(|(user, hidden)| hidden.map(|product| (user, product)))
    }
}

fn any_one(held: &[Holding], order: &ProductOrder, generator: &mut NumpyGenerator) -> Option<ProductIndex> {
    if held.len() < 2 {
        return None;
    }
    let mut products: Vec<ProductIndex> = held.iter().map(|holding| holding.product).collect();
    products.sort_unstable_by_key(|&product| order.place(product));
    Some(products[generator.choice(products.len() as u32) as usize])
}

/// The holding acquired strictly after every other one. A holding without a time might be later than any.
fn latest(held: &[Holding]) -> Option<ProductIndex> {
    let mut timed: Vec<(DateTime<Utc>, ProductIndex)> =
        held.iter().map(|holding| Some((holding.acquired_at?, holding.product))).collect::<Option<_>>()?;
    timed.sort_unstable();
    match timed.as_slice() {
        [.., (before, _), (last, product)] if before < last => Some(*product),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dataset::Acquisitions,
        samples::{dataset, product, user},
    };

    const HELD: [&[&str]; 5] = [&["a", "b"], &["c"], &[], &["a", "b", "c"], &["b", "c"]];

    #[test]
    fn hides_one_holding_of_each_customer_who_has_two() {
        let dataset = dataset(&["a", "b", "c"], &HELD);

        let split = Split::new(&dataset, SplitMethod::LeaveOneOut, 7).unwrap();

        let users: Vec<usize> = split.questions().map(|(user, _)| user).collect();
        assert_eq!(users, [0, 3, 4]);
    }

    #[test]
    fn what_is_hidden_is_nowhere_in_what_training_sees() {
        let dataset = dataset(&["a", "b", "c"], &HELD);

        for seed in 0..20 {
            let split = Split::new(&dataset, SplitMethod::LeaveOneOut, seed).unwrap();
            let records = split.seen_records(&dataset);

            for (user, hidden) in split.questions() {
                assert!(!split.seen[user].contains(&hidden));
                let id = &dataset.products[hidden as usize].product_id;
                assert!(!records[user].held.contains(id));
                assert_eq!(records[user].held.len() + 1, dataset.users[user].held.len());
            }
        }
    }

    #[test]
    fn the_seed_decides_what_is_hidden() {
        let held: Vec<&[&str]> = vec![&["a", "b", "c"]; 50];
        let dataset = dataset(&["a", "b", "c"], &held);
        let split = |seed| Split::new(&dataset, SplitMethod::LeaveOneOut, seed).unwrap();

        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn the_last_acquired_is_hidden_and_a_tie_hides_nothing() {
        let users = vec![user("u", &["a", "b", "c"]), user("v", &["a", "b"])];
        let products = vec![product("a"), product("b"), product("c")];
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let acquired = [("u", "a", 3), ("u", "b", 9), ("u", "c", 5), ("v", "a", 4), ("v", "b", 4)];
        let acquisitions: Acquisitions = acquired
            .iter()
            .map(|&(who, what, seconds)| {
                let key = (user(who, &[]).user_id, product(what).product_id);
                (key, at(seconds))
            })
            .collect();
        let dataset = Dataset::clean(users, products, &acquisitions).unwrap();

        let split = Split::new(&dataset, SplitMethod::LeaveLastOut, 0).unwrap();

        assert_eq!(split.hidden, [Some(1), None]);
        assert_eq!(dataset.window.first, Some(at(3)));
        assert_eq!(dataset.window.last, Some(at(9)));
    }

    #[test]
    fn says_why_nothing_can_be_hidden() {
        let dataset = dataset(&["a", "b"], &[&["a"], &["b"]]);

        let any = Split::new(&dataset, SplitMethod::LeaveOneOut, 0).unwrap_err();
        let timed = Split::new(&dataset, SplitMethod::LeaveLastOut, 0).unwrap_err();

        assert_eq!(any.to_string(), "no holding can be hidden: no customer holds two products");
        assert!(timed.to_string().contains("after all others"), "{timed}");
    }
}
