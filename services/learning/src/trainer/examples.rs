//! Training examples: a history, and one product that belongs to it.
//!
//! An example masks one product of a customer's holdings and asks for it, anew in each epoch, which is the
//! task of the evaluation and of serving. But the split has already taken one product from each customer
//! who had two: the histories that training sees are shorter than those it will meet, pairs look like singles
//! and triples like pairs, and what is learned of "who holds just A" comes from those who hold A, B and C.
//!
//! The cure is that of missing data. Of such a customer it is known that one more product is held, not which
//! one; the model itself says how likely each is, one is drawn, and the example is made from the completed
//! holdings (stochastic EM, Celeux and Diebolt 1985). Which product was hidden has no say: it reaches
//! nothing in this module, only that one was.
//!
//! Where acquisitions have moments there is nothing to mask: the history is what was held just before, and the answer
//! what was acquired.

use rand::{Rng, RngExt};

use crate::{dataset::ProductIndex, split::Split};

/// One question of the training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// The row of what is learned from.
    pub(super) user: usize,
    /// What the user tower sees.
    pub(super) history: Vec<ProductIndex>,
    /// The answer.
    pub(super) target: ProductIndex,
}

/// What training knows of the customers' holdings.
pub(super) struct Holdings<'a> {
    seen: &'a [Vec<ProductIndex>],
    /// The answer of each, where the order of time says which it is; else one of what is seen is masked.
    answers: Option<&'a [ProductIndex]>,
    /// Whether one more product is held than is seen.
    is_short: Vec<bool>,
    /// What is imagined in its place, once there is something to imagine it by.
    imagined: Vec<Option<ProductIndex>>,
}

impl<'a> Holdings<'a> {
    /// Of a snapshot.
    pub(super) fn masking(split: &'a Split) -> Self {
        Self {
            seen: &split.seen,
            answers: None,
            is_short: split.hidden.iter().map(Option::is_some).collect(),
            imagined: vec![None; split.seen.len()],
        }
    }

    /// Of acquisitions, each with what was held just before.
    pub(super) fn dated(histories: &'a [Vec<ProductIndex>], acquired: &'a [ProductIndex]) -> Self {
        Self {
            seen: histories,
            answers: Some(acquired),
            is_short: vec![false; histories.len()],
            imagined: vec![None; histories.len()],
        }
    }

    /// What is imagined of each row, if anything.
    pub(super) fn imagined(&self) -> &[Option<ProductIndex>] {
        &self.imagined
    }

    /// What is seen of a customer.
    pub(super) fn seen(&self, user: usize) -> &[ProductIndex] {
        &self.seen[user]
    }

    /// The customers of `users` who hold one product more than is seen.
    pub(super) fn short(&self, users: &[usize]) -> Vec<usize> {
        users.iter().copied().filter(|&user| self.is_short[user]).collect()
    }

    /// Completes a customer's holdings by a product that is not among them.
    pub(super) fn imagine(&mut self, user: usize, product: ProductIndex) {
        self.imagined[user] = Some(product);
    }

    /// One example for each customer of whom a holding is seen or imagined.
    pub(super) fn examples(&self, users: &[usize], rng: &mut impl Rng) -> Vec<Example> {
        let drawn = users.iter().filter_map(|&user| {
            if let Some(answers) = self.answers {
                return Some(self.dated_example(user, answers));
            }
            let completed = self.completed(user);
            let masked = rng.random_range(0..completed.len().max(1));
            let target = *completed.get(masked)?;
            Some(Example::masking(user, completed, target))
        });
        drawn.collect()
    }

    /// One example for each customer of whom a holding is seen, asking for one that is seen: an imagined
    /// answer would measure the imagination.
    pub(super) fn checks(&self, users: &[usize], rng: &mut impl Rng) -> Vec<Example> {
        let drawn = users.iter().filter_map(|&user| {
            if let Some(answers) = self.answers {
                return Some(self.dated_example(user, answers));
            }
            let masked = rng.random_range(0..self.seen(user).len().max(1));
            let target = *self.seen(user).get(masked)?;
            Some(Example::masking(user, self.completed(user), target))
        });
        drawn.collect()
    }

    fn dated_example(&self, row: usize, answers: &[ProductIndex]) -> Example {
        Example { user: row, history: self.seen(row).to_vec(), target: answers[row] }
    }

    fn completed(&self, user: usize) -> Vec<ProductIndex> {
        self.seen(user).iter().copied().chain(self.imagined[user]).collect()
    }
}

impl Example {
    fn masking(user: usize, mut holdings: Vec<ProductIndex>, target: ProductIndex) -> Self {
        holdings.retain(|&product| product != target);
        Self { user, history: holdings, target }
    }

    /// Whether the customer is taken to hold the product, so that it is no wrong answer.
    pub(super) fn holds(&self, product: ProductIndex) -> bool {
        product == self.target || self.history.contains(&product)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{SplitMethod, samples::dataset};

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(3)
    }

    fn split() -> Split {
        let held: [&[&str]; 4] = [&["a", "b", "c"], &["b"], &[], &["a", "d"]];
        let dataset = dataset(&["a", "b", "c", "d"], &held);
        Split::new(&dataset, SplitMethod::LeaveOneOut, 1).unwrap()
    }

    #[test]
    fn a_target_is_seen_and_is_not_in_its_history() {
        let split = split();
        let holdings = Holdings::masking(&split);
        let mut rng = rng();

        for _ in 0..20 {
            let examples = holdings.examples(&[0, 1, 2, 3], &mut rng);

            assert_eq!(examples.len(), 3, "the customer without holdings has no example");
            for example in examples {
                assert!(!example.history.contains(&example.target));
                let mut all = example.history.clone();
                all.push(example.target);
                all.sort_unstable();
                assert_eq!(all, split.seen[example.user]);
            }
        }
    }

    #[test]
    fn hidden_products_never_enter_an_example() {
        let split = split();
        let holdings = Holdings::masking(&split);
        let mut rng = rng();

        for _ in 0..50 {
            for example in holdings.examples(&[0, 1, 2, 3], &mut rng) {
                let hidden = split.hidden[example.user];
                assert!(hidden.is_none_or(|hidden| !example.holds(hidden)));
            }
        }
    }

    #[test]
    fn what_is_imagined_completes_a_history_and_is_asked_for_but_never_checked() {
        let split = split();
        let mut holdings = Holdings::masking(&split);
        let user = holdings.short(&[0, 1, 2, 3])[0];
        let imagined = (0..4).find(|product| !split.seen[user].contains(product)).unwrap();
        holdings.imagine(user, imagined);
        let mut rng = rng();

        let examples: Vec<Example> = (0..50).flat_map(|_| holdings.examples(&[user], &mut rng)).collect();
        let checks: Vec<Example> = (0..50).flat_map(|_| holdings.checks(&[user], &mut rng)).collect();

        assert!(examples.iter().all(|example| example.holds(imagined)));
        assert!(examples.iter().any(|example| example.target == imagined));
        assert!(examples.iter().any(|example| example.target != imagined));
        assert!(checks.iter().all(|check| check.target != imagined && check.history.contains(&imagined)));
    }

    #[test]
    fn only_customers_of_whom_something_is_hidden_are_short() {
        let split = split();

        assert_eq!(Holdings::masking(&split).short(&[0, 1, 2, 3]), [0, 3]);
    }
}
