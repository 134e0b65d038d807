//! Rankings with one right answer each: the holding that was hidden.

use serde::Serialize;

use super::Answers;
use crate::dataset::ProductIndex;

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
    /// Mean average precision: `1 / rank` where the rank, from 1, is at most k.
    pub map: f64,
    /// The share of the catalogue that is in anyone's list.
    pub coverage: f64,
    /// Intra-list diversity: the mean of `1 − similarity` over the pairs of a list (Ziegler et al. 2005), averaged
    /// over lists; absent where no list has two products.
    pub diversity: Option<f64>,
}

impl RankingQuality {
    /// The measures of the first `k` places, for a `k` of [`CUTOFFS`].
    pub fn at(&self, k: usize) -> Option<&AtK> {
        self.at.iter().find(|at| at.k == k)
    }

    /// Every measure with its name, for example `mrr` and `ndcg_at_5`; those that are absent are left out.
    pub fn measures(&self) -> Vec<(String, f64)> {
        let mut measures = vec![("mrr".to_owned(), self.mrr)];
        for at in &self.at {
            let named = [
                ("hit", Some(at.hit)),
                ("precision", Some(at.precision)),
                ("recall", Some(at.recall)),
                ("ndcg", Some(at.ndcg)),
                ("map", Some(at.map)),
                ("coverage", Some(at.coverage)),
                ("diversity", at.diversity),
            ];
            let present = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
            measures.extend(present.map(|(name, value)| (format!("{name}_at_{}", at.k), value)));
        }
        measures
    }
}

/// Answers prepared to be measured, once or under many weights.
pub struct RankedAnswers<'a> {
    answers: &'a Answers,
    products: usize,
    customers: Vec<Customer>,
}

/// What one answer adds to each measure.
struct Customer {
    reciprocal: f64,
    at: [Place; CUTOFFS.len()],
}

struct Place {
    hit: f64,
    ndcg: f64,
    map: f64,
    diversity: Option<f64>,
}

impl<'a> RankedAnswers<'a> {
    /// Answers over a catalogue of `products`, two of which are as similar as `similarity` says, from 0 to 1.
    pub fn new(
        answers: &'a Answers,
        products: usize,
        similarity: impl Fn(ProductIndex, ProductIndex) -> f64,
    ) -> Self {
        let customers = answers.ranks.iter().zip(&answers.lists).map(|(&rank, list)| Customer {
            reciprocal: 1.0 / (rank + 1.0),
            at: CUTOFFS.map(|k| Place::of(rank, list, k, &similarity)),
        });
        Self { answers, products, customers: customers.collect() }
    }

    /// Every answer counting once.
    pub fn quality(&self) -> RankingQuality {
        self.weighted(&vec![1; self.customers.len()])
    }

    /// Each answer counting as often as its weight says.
    pub fn weighted(&self, weights: &[u32]) -> RankingQuality {
        let counted = || self.customers.iter().zip(weights).filter(|&(_, &weight)| weight > 0);
        let mean = |measure: &dyn Fn(&Customer) -> f64| {
            weighted_mean(counted().map(|(customer, &weight)| (measure(customer), weight)))
                .unwrap_or_default()
        };
        let at = CUTOFFS.iter().enumerate().map(|(index, &k)| {
            let hit = mean(&|customer| customer.at[index].hit);
            let diversity =
                counted().filter_map(|(customer, &weight)| Some((customer.at[index].diversity?, weight)));
            AtK {
                k,
                hit,
                precision: hit / k as f64,
                recall: hit,
                ndcg: mean(&|customer| customer.at[index].ndcg),
                map: mean(&|customer| customer.at[index].map),
                coverage: self.coverage(weights, k),
                diversity: weighted_mean(diversity),
            }
        });
        RankingQuality { mrr: mean(&|customer| customer.reciprocal), at: at.collect() }
    }

    fn coverage(&self, weights: &[u32], k: usize) -> f64 {
        let mut covered = vec![false; self.products];
        for (list, _) in self.answers.lists.iter().zip(weights).filter(|&(_, &weight)| weight > 0) {
            for &product in list.iter().take(k) {
                covered[product as usize] = true;
            }
        }
        covered.iter().filter(|&&covered| covered).count() as f64 / self.products.max(1) as f64
    }
}

impl Place {
    fn of(
        rank: f64,
        list: &[ProductIndex],
        k: usize,
        similarity: &impl Fn(ProductIndex, ProductIndex) -> f64,
    ) -> Self {
        let within = |gain: f64| if rank < k as f64 { gain } else { 0.0 };
        let list = &list[..k.min(list.len())];
        let pairs =
            list.iter().enumerate().flat_map(|(i, &one)| list[..i].iter().map(move |&other| (one, other)));
        Self {
            hit: within(1.0),
            ndcg: within(1.0 / (rank + 2.0).log2()),
            map: within(1.0 / (rank + 1.0)),
            diversity: weighted_mean(pairs.map(|(one, other)| (1.0 - similarity(one, other), 1))),
        }
    }
}

fn weighted_mean(values: impl Iterator<Item = (f64, u32)>) -> Option<f64> {
    let (sum, weights) = values.fold((0.0, 0.0), |(sum, weights), (value, weight)| {
        (sum + value * f64::from(weight), weights + f64::from(weight))
    });
    (weights > 0.0).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answers(ranks: &[f64], lists: &[&[ProductIndex]]) -> Answers {
        Answers { ranks: ranks.to_vec(), lists: lists.iter().map(|list| list.to_vec()).collect() }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn the_measures_of_three_ranks_are_those_computed_by_hand() {
        let answers = answers(&[0.0, 1.0, 4.0], &[&[], &[], &[]]);

        let quality = RankedAnswers::new(&answers, 9, |_, _| 0.0).quality();

        near(quality.mrr, (1.0 + 0.5 + 0.2) / 3.0);
        let three = quality.at(3).unwrap();
        near(three.hit, 2.0 / 3.0);
        near(three.recall, 2.0 / 3.0);
        near(three.precision, 2.0 / 9.0);
        near(three.map, (1.0 + 0.5) / 3.0);
        near(three.ndcg, (1.0 + 1.0 / 3f64.log2()) / 3.0);
        near(quality.at(5).unwrap().ndcg, (1.0 + 1.0 / 3f64.log2() + 1.0 / 6f64.log2()) / 3.0);
        near(quality.at(1).unwrap().hit, 1.0 / 3.0);
    }

    #[test]
    fn coverage_and_diversity_are_those_computed_by_hand() {
        let answers = answers(&[0.0, 0.0], &[&[0, 1, 2], &[0, 3]]);
        let similarity = |one: ProductIndex, other: ProductIndex| if one + other == 1 { 0.4 } else { 0.1 };

        let quality = RankedAnswers::new(&answers, 8, similarity).quality();

        near(quality.at(1).unwrap().coverage, 1.0 / 8.0);
        near(quality.at(3).unwrap().coverage, 4.0 / 8.0);
        assert_eq!(quality.at(1).unwrap().diversity, None, "one product is no pair");
        near(quality.at(3).unwrap().diversity.unwrap(), ((0.6 + 0.9 + 0.9) / 3.0 + 0.9) / 2.0);
    }

    #[test]
    fn no_answers_measure_nothing() {
        let answers = Answers::default();
        assert_eq!(RankedAnswers::new(&answers, 3, |_, _| 0.0).quality().mrr, 0.0);
    }

    proptest! {
        #[test]
        fn a_weight_counts_an_answer_so_many_times(
            rows in prop::collection::vec((0u8..12, prop::collection::vec(0u32..6, 0..5), 0u32..4), 1..20),
        ) {
            let weights: Vec<u32> = rows.iter().map(|row| row.2).collect();
            let similarity = |one: ProductIndex, other: ProductIndex| 1.0 / f64::from(1 + one + other);
            let answered = |rows: &[(u8, Vec<ProductIndex>)]| Answers {
                ranks: rows.iter().map(|row| f64::from(row.0) / 2.0).collect(),
                lists: rows.iter().map(|row| row.1.clone()).collect(),
            };
            let once: Vec<_> = rows.iter().map(|(rank, list, _)| (*rank, list.clone())).collect();
            let repeated: Vec<_> = once
                .iter()
                .zip(&weights)
                .flat_map(|(row, &weight)| std::iter::repeat_n(row.clone(), weight as usize))
                .collect();

            let by_weight = RankedAnswers::new(&answered(&once), 6, similarity).weighted(&weights);
            let by_repetition = RankedAnswers::new(&answered(&repeated), 6, similarity).quality();

            for (one, other) in by_weight.measures().iter().zip(by_repetition.measures()) {
                prop_assert_eq!(&one.0, &other.0);
                prop_assert!((one.1 - other.1).abs() < 1e-12, "{:?} {:?}", one, other);
            }
        }
    }
}
