//! Rankings with one right answer each: the holding that was hidden.

use serde::Serialize;

/// The lengths of list that are reported.
pub const CUTOFFS: [usize; 4] = [1, 3, 5, 10];

/// How high the right answers rank, averaged over customers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankingQuality {
    /// Mean reciprocal rank.
    pub mrr: f64,
    /// Measures of the first k places.
    pub at: Vec<AtK>,
}

/// Measures of the first `k` places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtK {
    /// How many places.
    pub k: usize,
    /// The share of lists that hold the right answer. With one right answer each, recall is the same.
    pub hit: f64,
    /// The share of places that hold a right answer, `hit / k`.
    pub precision: f64,
    /// The share of right answers that are in their list.
    pub recall: f64,
    /// Normalised discounted cumulative gain: `1 / log2(rank + 1)` where the rank, from 1, is at most k.
    pub ndcg: f64,
}

impl RankingQuality {
    /// Averages over the ranks of right answers, each counted from 0.
    pub fn of(ranks: &[f64]) -> Self {
        Self {
            mrr: mean(ranks, |rank| 1.0 / (rank + 1.0)),
            at: CUTOFFS.iter().map(|&k| AtK::of(ranks, k)).collect(),
        }
    }

    /// The measures of the first `k` places, for a `k` of [`CUTOFFS`].
    pub fn at(&self, k: usize) -> Option<&AtK> {
        self.at.iter().find(|at| at.k == k)
    }
}

impl AtK {
    fn of(ranks: &[f64], k: usize) -> Self {
        let within = |rank: f64| rank < k as f64;
        let hit = mean(ranks, |rank| f64::from(u8::from(within(rank))));
        Self {
            k,
            hit,
            precision: hit / k as f64,
            recall: hit,
            ndcg: mean(ranks, |rank| if within(rank) { 1.0 / (rank + 2.0).log2() } else { 0.0 }),
        }
    }
}

/// The place of the right answer among all candidates, from 0: how many score higher, and half of the others
/// that score the same, so that a model gains nothing by calling everything equal.
pub fn mean_rank(answer: f32, others: impl IntoIterator<Item = f32>) -> f64 {
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

fn mean(ranks: &[f64], measure: impl Fn(f64) -> f64) -> f64 {
    if ranks.is_empty() {
        return 0.0;
    }
    ranks.iter().map(|&rank| measure(rank)).sum::<f64>() / ranks.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_measures_of_three_ranks_are_those_computed_by_hand() {
        let quality = RankingQuality::of(&[0.0, 1.0, 4.0]);

        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        near(quality.mrr, (1.0 + 0.5 + 0.2) / 3.0);
        let three = quality.at(3).unwrap();
        near(three.hit, 2.0 / 3.0);
        near(three.recall, 2.0 / 3.0);
        near(three.precision, 2.0 / 9.0);
        near(three.ndcg, (1.0 + 1.0 / 3f64.log2()) / 3.0);
        near(quality.at(5).unwrap().ndcg, (1.0 + 1.0 / 3f64.log2() + 1.0 / 6f64.log2()) / 3.0);
        near(quality.at(1).unwrap().hit, 1.0 / 3.0);
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(mean_rank(0.5, [0.9, 0.5, 0.5, 0.1]), 2.0);
        assert_eq!(mean_rank(0.0, [0.0; 21]), 10.5, "calling everything equal is the middle");
        assert_eq!(mean_rank(1.0, [0.2]), 0.0);
    }

    #[test]
    fn no_ranks_measure_nothing() {
        assert_eq!(RankingQuality::of(&[]).mrr, 0.0);
    }

    proptest! {
        #[test]
        fn the_rank_is_the_mean_place_over_all_orders_of_the_ties(
            answer in 0u8..4, others in prop::collection::vec(0u8..4, 0..12),
        ) {
            let answer = f32::from(answer);
            let others: Vec<f32> = others.into_iter().map(f32::from).collect();

            let rank = mean_rank(answer, others.iter().copied());

            let best = others.iter().filter(|&&other| other > answer).count();
            let worst = others.iter().filter(|&&other| other >= answer).count();
            let places: Vec<f64> = (best..=worst).map(|place| place as f64).collect();
            prop_assert_eq!(rank, places.iter().sum::<f64>() / places.len() as f64);
        }
    }
}
