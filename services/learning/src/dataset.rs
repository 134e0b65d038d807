//! The cleaned data set: each customer and product once, each holding of a product that exists.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use finrank_model::{DataWindow, Product, ProductId, Sha256Digest, UserId, UserRecord};

use crate::{DatasetReport, LearningError, Result, timeline::Timeline};

/// A product's position in [`Dataset::products`].
pub type ProductIndex = u32;

/// When each customer last acquired each product.
pub type Acquisitions = HashMap<(UserId, ProductId), DateTime<Utc>>;

/// Something that a customer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What is held.
    pub product: ProductIndex,
    /// Since when, where an event says so.
    pub acquired_at: Option<DateTime<Utc>>,
}

/// What a model learns from. Made by [`Dataset::clean`]; customers and products are in the order of their
/// ids, so that the order in which a database gave them decides nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dataset {
    /// The customers, each with the holdings of `held`.
    pub users: Vec<UserRecord>,
    /// The catalogue.
    pub products: Vec<Product>,
    /// What each customer holds, in the order of the products; as long as `users`.
    pub held: Vec<Vec<Holding>>,
    /// The first and the last acquisition.
    pub window: DataWindow,
    /// What was kept and what was left out.
    pub report: DatasetReport,
    /// What is to be learned in the order of time, of a data set that was read for that; then `users` are as they were
    /// before what they are asked for, and hold that beside.
    pub timeline: Option<Timeline>,
}

impl Dataset {
    /// Leaves out customers, products and holdings that are there twice, and holdings of products that are
    /// not in the catalogue.
    ///
    /// # Errors
    /// [`LearningError::TooLittle`] when fewer than two products or no holdings remain.
    pub fn clean(
        users: Vec<UserRecord>,
        products: Vec<Product>,
        acquisitions: &Acquisitions,
    ) -> Result<Self> {
        let mut report = DatasetReport::default();
        let products = sorted_once(products, |product| product.product_id.clone(), &mut report.duplicates);
        let mut users = sorted_once(users, |user| user.user_id.clone(), &mut report.duplicates);
        let index: HashMap<&ProductId, ProductIndex> =
            products.iter().zip(0..).map(|(product, index)| (&product.product_id, index)).collect();

        let mut held = Vec::with_capacity(users.len());
        let mut window = DataWindow::default();
        for user in &mut users {
            let before = user.held.len();
            user.held.retain(|product| index.contains_key(product));
            report.unknown_products += before - user.held.len();
            let known = user.held.len();
            user.held.sort_unstable();
            user.held.dedup();
            report.duplicates += known - user.held.len();

            let holdings = user.held.iter().map(|product| {
                let acquired_at = acquisitions.get(&(user.user_id.clone(), product.clone())).copied();
                Holding { product: index[product], acquired_at }
            });
            let holdings: Vec<Holding> = holdings.collect();
            for time in holdings.iter().filter_map(|holding| holding.acquired_at) {
                window.first = Some(window.first.map_or(time, |first| first.min(time)));
                window.last = Some(window.last.map_or(time, |last| last.max(time)));
            }
            report.holdings += holdings.len();
            report.holders += usize::from(!holdings.is_empty());
            held.push(holdings);
        }
        report.customers = users.len();
        report.products = products.len();
        check_enough(&report)?;
        Ok(Self { users, products, held, window, report, timeline: None })
    }
}

impl Dataset {
    /// Which data it is. Told by what `Debug` prints, bit for bit, so that nothing that is added later is left out.
    pub(crate) fn digest(&self) -> Sha256Digest {
        let users = self.users.iter().zip(&self.held).map(|(user, held)| format!("{user:?}{held:?}"));
        let products = self.products.iter().map(|product| format!("{product:?}"));
        let (occasions, asked) = match &self.timeline {
            Some(timeline) => (
                timeline.training.iter().chain(&timeline.validation).collect(),
                format!("{:?}{:?}", timeline.cut, timeline.asked),
            ),
            None => (Vec::new(), String::new()),
        };
        let occasions = occasions.into_iter().map(|occasion| format!("{occasion:?}"));
        Sha256Digest::of_parts(users.chain(products).chain(occasions).chain([asked]))
    }

    /// The definitions by which features were read, if any were.
    pub(crate) fn definitions(&self) -> Option<Sha256Digest> {
        Some(self.users.first()?.features.set()?.definitions_sha256)
    }
}

/// Sorts by id and keeps the first of each; counts the rest.
fn sorted_once<E, K: Ord + std::hash::Hash>(
    entities: Vec<E>,
    id: impl Fn(&E) -> K,
    duplicates: &mut usize,
) -> Vec<E> {
    let before = entities.len();
    let mut seen = HashSet::with_capacity(before);
    let mut once: Vec<E> = entities.into_iter().filter(|entity| seen.insert(id(entity))).collect();
    once.sort_by_cached_key(&id);
    *duplicates += before - once.len();
    once
}

fn check_enough(report: &DatasetReport) -> Result<()> {
    let problem = if report.customers == 0 {
        "there are no customers; import some first (`finrank import`)".to_owned()
    } else if report.products < 2 {
        format!("the catalogue has {} products, and a ranking needs two", report.products)
    } else if report.holdings == 0 {
        "no customer holds a product of the catalogue".to_owned()
    } else {
        return Ok(());
    };
    Err(LearningError::TooLittle(problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{product, user};

    #[test]
    fn leaves_out_what_is_there_twice_and_products_that_do_not_exist() {
        let users =
            vec![user("b", &["loan", "card", "loan"]), user("a", &["card", "ghost"]), user("b", &["card"])];
        let products = vec![product("loan"), product("card"), product("loan")];

        let dataset = Dataset::clean(users, products, &Acquisitions::new()).unwrap();

        let ids: Vec<&str> = dataset.users.iter().map(|user| user.user_id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        let products_of =
            |user: usize| -> Vec<u32> { dataset.held[user].iter().map(|holding| holding.product).collect() };
        assert_eq!(products_of(0), [0]);
        assert_eq!(products_of(1), [0, 1]);
        assert_eq!(dataset.report.duplicates, 3);
        assert_eq!(dataset.report.unknown_products, 1);
        assert_eq!(dataset.report.holdings, 3);
    }

    #[test]
    fn the_order_of_reading_decides_nothing() {
        let clean =
            |users: Vec<UserRecord>, products| Dataset::clean(users, products, &Acquisitions::new()).unwrap();
        let (a, b) = (user("a", &["x", "y"]), user("b", &["y"]));
        let (x, y) = (product("x"), product("y"));

        let one = clean(vec![a.clone(), b.clone()], vec![x.clone(), y.clone()]);
        let other = clean(vec![b, a], vec![y, x]);

        assert_eq!(one.users, other.users);
        assert_eq!(one.products, other.products);
        assert_eq!(one.held, other.held);
    }

    #[test]
    fn says_what_is_missing_to_learn_from() {
        let message =
            |users, products| Dataset::clean(users, products, &Acquisitions::new()).unwrap_err().to_string();

        assert!(message(vec![], vec![]).contains("no customers"));
        assert!(message(vec![user("a", &["x"])], vec![product("x")]).contains("1 products"));
        let nobody_holds = message(vec![user("a", &[])], vec![product("x"), product("y")]);
        assert!(nobody_holds.contains("no customer holds"), "{nobody_holds}");
    }
}
