//! What one model answered to each question: where the hidden holding stands, and what stands first.

use crate::dataset::ProductIndex;

/// As many products of each answer are kept, the best first.
pub const LIST_LENGTH: usize = 10;

/// One model's answers, one per question and in the questions' order, so that two models that were asked the same
/// can be compared customer by customer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// The place of the right answer among all candidates, from 0; see [`mean_rank`].
    pub ranks: Vec<f64>,
    /// The first [`LIST_LENGTH`] candidates, equal ones in the order of the products.
    pub lists: Vec<Vec<ProductIndex>>,
}

impl Answers {
    /// Adds an answer: the scores of all candidates, `right` among them.
    pub fn push(&mut self, candidates: &[ProductIndex], scores: &[f64], right: ProductIndex) {
        self.ranks.push(rank_of(candidates, scores, right));
        self.lists.push(best(candidates, scores, LIST_LENGTH));
    }
}

/// The place of the right answer among all candidates; see [`mean_rank`].
pub(crate) fn rank_of(candidates: &[ProductIndex], scores: &[f64], right: ProductIndex) -> f64 {
    let scored = || candidates.iter().copied().zip(scores.iter().copied());
    let answer = scored().find(|&(product, _)| product == right);
    let others = scored().filter(|&(product, _)| product != right).map(|(_, score)| score);
    mean_rank(answer.map_or(f64::NEG_INFINITY, |(_, score)| score), others)
}

/// The first `length` candidates, equal ones in the order of the products.
pub(crate) fn best(candidates: &[ProductIndex], scores: &[f64], length: usize) -> Vec<ProductIndex> {
    let mut best: Vec<(ProductIndex, f64)> = candidates.iter().copied().zip(scores.iter().copied()).collect();
    let better = |a: &(ProductIndex, f64), b: &(ProductIndex, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if best.len() > length {
        best.select_nth_unstable_by(length, better);
        best.truncate(length);
    }
    best.sort_unstable_by(better);
    best.into_iter().map(|(product, _)| product).collect()
}

/// The place of the right answer among all candidates, from 0: how many score higher, and half of the others
/// that score the same, so that a model gains nothing by calling everything equal.
pub fn mean_rank(answer: f64, others: impl IntoIterator<Item = f64>) -> f64 {
    let (mut higher, mut equal) = (0_u64, 0_u64);
    for other in others {
        match other.total_cmp(&answer) {
            std::cmp::Ordering::Greater => higher += 1,
            std::cmp::Ordering::Equal => equal += 1,
            std::cmp::Ordering::Less => {}
        }
    }
    higher as f64 + equal as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(mean_rank(0.5, [0.9, 0.5, 0.5, 0.1]), 2.0);
        assert_eq!(mean_rank(0.0, [0.0; 21]), 10.5, "calling everything equal is the middle");
        assert_eq!(mean_rank(1.0, [0.2]), 0.0);
    }

    #[test]
    fn an_answer_is_a_rank_and_the_best_products_first() {
        let mut answers = Answers::default();

        answers.push(&[2, 4, 7], &[0.1, 0.9, 0.5], 7);

        assert_eq!(answers, Answers { ranks: vec![1.0], lists: vec![vec![4, 7, 2]] });
    }

    proptest! {
        #[test]
        fn the_rank_is_the_mean_place_over_all_orders_of_the_ties(
            answer in 0u8..4, others in prop::collection::vec(0u8..4, 0..12),
        ) {
            let answer = f64::from(answer);
            let others: Vec<f64> = others.into_iter().map(f64::from).collect();

            let rank = mean_rank(answer, others.iter().copied());

            let best = others.iter().filter(|&&other| other > answer).count();
            let worst = others.iter().filter(|&&other| other >= answer).count();
            let places: Vec<f64> = (best..=worst).map(|place| place as f64).collect();
            prop_assert_eq!(rank, places.iter().sum::<f64>() / places.len() as f64);
        }

        #[test]
        fn a_list_is_the_beginning_of_all_candidates_in_order(scores in prop::collection::vec(0u8..9, 1..40)) {
            let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
            let candidates: Vec<ProductIndex> = (0..scores.len() as u32).collect();
            let mut answers = Answers::default();

            answers.push(&candidates, &scores, 0);

            let mut sorted = candidates;
            sorted.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
            sorted.truncate(LIST_LENGTH);
            prop_assert_eq!(&answers.lists[0], &sorted);
        }
    }
}
