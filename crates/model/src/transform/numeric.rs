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
        Self {
            low,
            high,
            log1p,
            median,
            mean,
            std,
            missing_indicator,
        }
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

/// Mean and standard deviation; the deviation of a constant column is 1, so that dividing by it is harmless.
fn mean_and_std(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 1.0);
    }
    let mean = central_moment(values, 0.0, 1);
    let std = central_moment(values, mean, 2).sqrt();
    // Rounding alone gives a constant column a deviation of some 1e-16 of its mean.
    let is_constant = std <= 1e-12 * mean.abs();
    (mean, if is_constant { 1.0 } else { std })
}

/// The third standardised moment; NaN for a constant column, which no threshold is below.
fn skewness(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mean = central_moment(values, 0.0, 1);
    let variance = central_moment(values, mean, 2);
    central_moment(values, mean, 3) / variance.powf(1.5)
}

fn central_moment(values: &[f64], center: f64, power: i32) -> f64 {
    let sum: f64 = values.iter().map(|value| (value - center).powi(power)).sum();
    sum / values.len() as f64
}
