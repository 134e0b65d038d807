//! Products in the order of a threshold, so that those up to any value are found at once.

use super::ProductSet;

/// How many of its sets a ladder keeps whole; between two of them products are added one by one. With 32, a ladder over
/// 100,000 products takes 400 kB and adds 3,000 at most.
const RUNGS: usize = 32;

/// Products by their thresholds.
#[derive(Clone, Debug)]
pub(super) struct Ladder<T> {
    /// In ascending order of the threshold.
    products: Vec<(T, usize)>,
    /// `rungs[i]` is the set of the first `i * step` products.
    rungs: Vec<ProductSet>,
    step: usize,
}

impl<T: Ord> Ladder<T> {
    /// Of some of the `universe`'s products.
    pub(super) fn of(universe: usize, mut products: Vec<(T, usize)>) -> Self {
        products.sort_unstable();
        let step = products.len().div_ceil(RUNGS).max(1);
        let mut set = ProductSet::empty(universe);
        let mut rungs = vec![set.clone()];
        for chunk in products.chunks(step) {
            chunk.iter().for_each(|(_, place)| set.insert(*place));
            rungs.push(set.clone());
        }
        Self { products, rungs, step }
    }

    /// The products whose threshold is at most `value`.
    pub(super) fn up_to(&self, value: &T) -> ProductSet {
        let count = self.products.partition_point(|(threshold, _)| threshold <= value);
        let rung = count / self.step;
        let mut set = self.rungs[rung].clone();
        for (_, place) in &self.products[rung * self.step..count] {
            set.insert(*place);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_the_products_up_to_any_value(
            thresholds in prop::collection::vec(0..50_i64, 0..300),
            value in -1..51_i64,
        ) {
            let products = thresholds.iter().enumerate().map(|(place, &threshold)| (threshold, place));
            let ladder = Ladder::of(thresholds.len(), products.collect());

            let found = ladder.up_to(&value);

            for (place, &threshold) in thresholds.iter().enumerate() {
                prop_assert_eq!(found.contains(place), threshold <= value);
            }
        }
    }
}
