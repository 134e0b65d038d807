//! One numeric column: clipped, made less skewed, standardised; missing is the median and says so.

use serde::{Deserialize, Serialize};

use super::TransformConfig;

/// Columns with at most this many distinct values are codes, counts or flags. They have no outliers, and
/// clipping at a quantile would erase their rare values, so they are clipped at their extremes only.
const FEW_DISTINCT: usize = 16;
/// Values beyond this are cut before anything is computed, so that third powers stay finite in f64.
const LARGEST: f64 = 1e30;

/// A fitted numeric column. Where training saw missing values it is two features wide, value and missing
/// indicator; elsewhere one, since an indicator that never varied would carry an untrained weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumericTransform {
    low: f64,
    high: f64,
    log1p: bool,
    median: f64,
    mean: f64,
    std: f64,
    missing_indicator: bool,
}

impl NumericTransform {
    /// Fits the column to the training values.
    pub fn fit(values: impl IntoIterator<Item = Option<f64>>, config: &TransformConfig) -> Self {
        let mut missing_indicator = false;
        let mut sorted = Vec::new();
        for value in values {
            match value {
                Some(value) => sorted.push(value.clamp(-LARGEST, LARGEST)),
                None => missing_indicator = true,
            }
        }
        sorted.sort_by(f64::total_cmp);
        let (low, high) = clip_bounds(&sorted, config);
        let median = median(&sorted);

        let mut values = sorted;
        for value in &mut values {
            *value = value.max(low).min(high);
        }
        let log1p = low >= 0.0 && skewness(&values) > config.log_skewness;
        if log1p {
            for value in &mut values {
                *value = value.ln_1p();
            }
        }
        let (mean, std) = mean_and_std(&values);
        Self { low, high, log1p, median, mean, std, missing_indicator }
    }

    /// How many features it gives.
    pub fn width(&self) -> usize {
        1 + usize::from(self.missing_indicator)
    }

    /// Fills `features`, which is as long as [`NumericTransform::width`].
    pub fn write(&self, value: Option<f64>, features: &mut [f32]) {
        features[0] = self.standardise(value.unwrap_or(self.median));
        if self.missing_indicator {
            features[1] = f32::from(u8::from(value.is_none()));
        }
    }

    fn standardise(&self, value: f64) -> f32 {
        let clipped = value.max(self.low).min(self.high);
        let value = if self.log1p { clipped.ln_1p() } else { clipped };
        ((value - self.mean) / self.std) as f32
    }
}

/// The order statistics at the configured quantiles. No interpolation: it would let one extreme value pull
/// the bound of a short column after it.
fn clip_bounds(sorted: &[f64], config: &TransformConfig) -> (f64, f64) {
    let [first, .., last] = sorted else {
        let only = sorted.first().copied().unwrap_or(0.0);
        return (only, only);
    };
    let distinct = 1 + sorted.windows(2).filter(|pair| pair[0] < pair[1]).count();
    if distinct <= FEW_DISTINCT {
        return (*first, *last);
    }
    let top = (sorted.len() - 1) as f64;
    let low = (top * config.clip_low.clamp(0.0, 0.5)).ceil() as usize;
    let high = (top * config.clip_high.clamp(0.5, 1.0)).floor() as usize;
    (sorted[low], sorted[high])
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Mean and standard deviation of sorted values; the deviation of a constant column is 1, so that dividing
/// by it is harmless.
fn mean_and_std(sorted: &[f64]) -> (f64, f64) {
    let [first, .., last] = sorted else {
        return (sorted.first().copied().unwrap_or(0.0), 1.0);
    };
    if first == last {
        // Summing would round, and leave a constant column a mean beside its value.
        return (*first, 1.0);
    }
    let mean = central_moment(sorted, 0.0, 1);
    let std = central_moment(sorted, mean, 2).sqrt();
    // Differences below 1e-162 vanish when squared.
    (mean, if std > 0.0 { std } else { 1.0 })
}

/// The third standardised moment: NaN, which exceeds no threshold, without values; rounding where all are the
/// same, and then the logarithm changes nothing.
fn skewness(values: &[f64]) -> f64 {
    let mean = central_moment(values, 0.0, 1);
    let variance = central_moment(values, mean, 2);
    central_moment(values, mean, 3) / variance.powf(1.5)
}

fn central_moment(values: &[f64], center: f64, power: i32) -> f64 {
    let sum: f64 = values.iter().map(|value| (value - center).powi(power)).sum();
    sum / values.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fit(values: impl IntoIterator<Item = Option<f64>>) -> NumericTransform {
        NumericTransform::fit(values, &TransformConfig::default())
    }

    fn present(values: impl IntoIterator<Item = f64>) -> NumericTransform {
        fit(values.into_iter().map(Some))
    }

    fn features(column: &NumericTransform, value: Option<f64>) -> Vec<f32> {
        let mut features = vec![f32::NAN; column.width()];
        column.write(value, &mut features);
        features
    }

    fn hundred() -> impl Iterator<Item = f64> {
        (0..100).map(f64::from)
    }

    #[test]
    fn missing_is_the_median_and_says_so() {
        let column = fit(hundred().map(Some).chain([None]));

        assert_eq!(features(&column, None)[0], features(&column, Some(49.5))[0]);
        assert_eq!(features(&column, None)[1], 1.0);
        assert_eq!(features(&column, Some(49.5))[1], 0.0);
    }

    #[test]
    fn has_no_indicator_where_training_never_missed_a_value() {
        let column = present(hundred());

        assert_eq!(features(&column, None), features(&column, Some(49.5)));
        assert_eq!(column.width(), 1);
    }

    #[test]
    fn standardises_to_mean_0_and_deviation_1() {
        let column = present(hundred());

        let values: Vec<f32> = (1..99).map(|value| features(&column, Some(f64::from(value)))[0]).collect();

        let mean = values.iter().sum::<f32>() / 98.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 98.0;
        assert!(mean.abs() < 1e-3, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn one_outlier_in_a_hundred_moves_nothing() {
        let calm = present(hundred().chain([100.0]));
        let with_outlier = present(hundred().chain([1e12]));

        assert_eq!(with_outlier.high, 99.0);
        assert_eq!(features(&with_outlier, Some(1e12)), features(&calm, Some(1e12)));
    }

    #[test]
    fn a_rare_flag_is_not_clipped_away() {
        let column = present((0..10_000).map(|row| if row == 7 { 1.0 } else { 0.0 }));

        assert_ne!(features(&column, Some(0.0)), features(&column, Some(1.0)));
    }

    #[test]
    fn a_heavy_tail_goes_through_the_logarithm() {
        let incomes = || (0..1000).map(|row| (f64::from(row) / 80.0).exp());

        assert!(present(incomes()).log1p);
        assert!(!present(incomes().map(|income| income - 2.0)).log1p, "negative values have no logarithm");
        assert!(!present(hundred()).log1p, "an even spread has no tail");
    }

    #[test]
    fn the_logarithm_is_decided_after_clipping() {
        assert!(!present(hundred().chain([1e12])).log1p);
    }

    #[test]
    fn a_constant_column_says_nothing_whatever_comes_later() {
        let column = present(vec![0.1; 1000]);

        for value in [0.1, -5.0, 1e9, f64::MIN_POSITIVE] {
            assert_eq!(features(&column, Some(value)), [0.0]);
        }
    }

    proptest! {
        #[test]
        fn features_are_finite_for_any_training_values_and_any_value(
            training in prop::collection::vec(prop::option::of(any_finite()), 0..40),
            value in prop::option::of(any_finite()),
        ) {
            let column = fit(training);

            for feature in features(&column, value) {
                prop_assert!(feature.is_finite(), "{feature} from {column:?}");
            }
        }

        #[test]
        fn comes_back_from_json_bit_for_bit(training in prop::collection::vec(-1e6f64..1e6, 17..60)) {
            let column = present(training);

            let back: NumericTransform = serde_json::from_str(&serde_json::to_string(&column).unwrap()).unwrap();

            prop_assert_eq!(back.mean.to_bits(), column.mean.to_bits());
            prop_assert_eq!(back, column);
        }
    }

    fn any_finite() -> impl Strategy<Value = f64> {
        use prop::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
        POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
    }
}
