//! One model beside another, seed by seed: what one seed hides moves many customers together, so that a bootstrap over
//! customers would call a lucky seed a sure lead.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Interval;

/// The difference of one measure between two models that were asked the same, over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SeedDifference {
    /// How many seeds.
    pub seeds: usize,
    /// The mean difference.
    pub mean: f64,
    /// Its standard deviation between seeds (n − 1); 0 for a single seed.
    pub sd: f64,
    /// Where the mean is expected with 95 % confidence, by Student's t; absent for a single seed.
    pub interval: Option<Interval>,
    /// On how many seeds the first model is ahead.
    pub wins: usize,
    /// On how many it is behind.
    pub losses: usize,
}

impl SeedDifference {
    /// Compares values of the same seeds, one after the other.
    pub fn of(ones: &[f64], others: &[f64]) -> Self {
        let differences: Vec<f64> = ones.iter().zip(others).map(|(one, other)| one - other).collect();
        let n = differences.len() as f64;
        let mean = if differences.is_empty() { 0.0 } else { differences.iter().sum::<f64>() / n };
        let sd = standard_deviation(&differences);
        Self {
            seeds: differences.len(),
            mean,
            sd,
            interval: half_width(sd, differences.len())
                .map(|half| Interval { low: mean - half, high: mean + half }),
            wins: differences.iter().filter(|&&difference| difference > 0.0).count(),
            losses: differences.iter().filter(|&&difference| difference < 0.0).count(),
        }
    }
}

/// The standard deviation (n − 1) of values; 0 for fewer than two.
pub fn standard_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt()
}

/// `t₀.₉₇₅ · sd / √n`.
fn half_width(sd: f64, n: usize) -> Option<f64> {
    let students_t = StudentsT::new(0.0, 1.0, n.checked_sub(1)? as f64).ok()?;
    Some(students_t.inverse_cdf(0.975) * sd / (n as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_three_seeds_is_that_computed_by_hand() {
        let difference = SeedDifference::of(&[0.8, 0.9, 0.7], &[0.7, 0.7, 0.7]);

        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        near(difference.mean, 0.1);
        near(difference.sd, 0.1);
        // t₀.₉₇₅ of two degrees of freedom is 4.302653.
        near(difference.interval.unwrap().high, 0.1 + 4.302_653 * 0.1 / 3f64.sqrt());
        assert_eq!((difference.wins, difference.losses, difference.seeds), (2, 0, 3));
    }

    #[test]
    fn one_seed_has_no_interval() {
        let difference = SeedDifference::of(&[0.5], &[0.6]);

        assert_eq!((difference.sd, difference.interval, difference.losses), (0.0, None, 1));
    }
}
