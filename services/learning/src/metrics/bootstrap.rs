//! How far a measure would move with other customers: the percentile bootstrap (Efron 1979), customers drawn with
//! replacement.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// The share of replicates within an interval of an evaluation.
const CONFIDENCE: f64 = 0.95;
/// Replicates of a small evaluation: percentiles of 2.5 and 97.5 lie on five of them each.
const MOST_REPLICATES: usize = 200;
/// Replicates of the largest one.
const FEWEST_REPLICATES: usize = 40;
/// Rows that may be weighed in all replicates together: a few seconds.
const ROWS_AT_MOST: usize = 400_000_000;

/// Where most repetitions are expected to lie: of an evaluation, 95 of 100.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Intervals by the names of their measures.
pub type Intervals = BTreeMap<String, Interval>;

/// Measures samples of `customers`, each counting as often as it was drawn; one measurement looks at `rows`.
pub fn intervals(
    customers: usize,
    rows: usize,
    seed: u64,
    measure: impl Fn(&[u32]) -> Vec<(String, f64)>,
) -> Intervals {
    let replicates = (ROWS_AT_MOST / rows.max(1)).clamp(FEWEST_REPLICATES, MOST_REPLICATES);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..if customers == 0 { 0 } else { replicates } {
        let mut weights = vec![0; customers];
        for _ in 0..customers {
            weights[rng.random_range(0..customers)] += 1;
        }
        for (name, value) in measure(&weights) {
            found.entry(name).or_default().push(value);
        }
    }
    found.into_iter().map(|(name, values)| (name, Interval::of(values, CONFIDENCE))).collect()
}

impl Interval {
    /// The percentiles of at least one value between which a share of `confidence` lies.
    pub(crate) fn of(mut values: Vec<f64>, confidence: f64) -> Self {
        values.sort_by(f64::total_cmp);
        let outside = (1.0 - confidence) / 2.0;
        let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
        Self { low: at(outside), high: at(1.0 - outside) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(values: &[f64], weights: &[u32]) -> Vec<(String, f64)> {
        let sum: f64 = values.iter().zip(weights).map(|(value, &weight)| value * f64::from(weight)).sum();
        vec![("mean".to_owned(), sum / values.len() as f64)]
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_wide_on_either_side() {
        let values: Vec<f64> = (0..400).map(|row| f64::from(row % 2)).collect();

        let interval = intervals(400, 400, 3, |weights| mean_of(&values, weights))["mean"];

        let error = 1.96 * (0.25f64 / 400.0).sqrt();
        assert!((interval.low - (0.5 - error)).abs() < 0.02, "{interval:?}");
        assert!((interval.high - (0.5 + error)).abs() < 0.02, "{interval:?}");
    }

    #[test]
    fn the_seed_decides_the_draws() {
        let values: Vec<f64> = (0..50).map(f64::from).collect();
        let of = |seed| intervals(50, 50, seed, |weights| mean_of(&values, weights));

        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn nobody_has_no_intervals() {
        assert!(intervals(0, 0, 0, |_| vec![("mean".to_owned(), 1.0)]).is_empty());
    }
}
