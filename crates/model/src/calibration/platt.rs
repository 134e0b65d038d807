//! Platt's scaling (1999): a second logistic regression, over one number. Two parameters can be had of few rows.

use serde::{Deserialize, Serialize};

use super::sigmoid;

/// Newton's steps, at most; some ten are enough.
const MAX_STEPS: usize = 100;
/// The step below which the fit has ended.
const TOLERANCE: f64 = 1e-10;
/// Added to the second derivatives, so that rows of one logit do not divide by zero.
const RIDGE: f64 = 1e-12;
/// Halvings of one step before the fit is taken as it is.
const MAX_HALVINGS: usize = 40;
/// The smallest slope: where the rows say that more is less, order is kept and nearly all taken for alike.
const MIN_SLOPE: f64 = 1e-3;
/// Logits beyond count as this one: `σ(30)` is 1 − 1e-13, and squares of 1e30 would be all that counts.
const MAX_LOGIT: f64 = 30.0;

/// `σ(slope · logit + intercept)`. Made by [`Platt::new`] and [`Platt::fit`], so that it rises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parameters")]
pub struct Platt {
    slope: f64,
    intercept: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    slope: f64,
    intercept: f64,
}

impl Platt {
    /// Takes the two parameters.
    ///
    /// # Errors
    /// Says which is not finite, or that the slope is not above 0.
    pub fn new(slope: f64, intercept: f64) -> Result<Self, String> {
        if !(slope.is_finite() && slope > 0.0) {
            return Err(format!("the slope is {slope}, it must be finite and above 0"));
        }
        if !intercept.is_finite() {
            return Err(format!("the intercept is {intercept}, it must be finite"));
        }
        Ok(Self { slope, intercept })
    }

    /// Fits by maximum likelihood with Platt's targets, `(n₊ + 1) / (n₊ + 2)` for a yes and `1 / (n₋ + 2)` for a
    /// no, which keep few rows from claiming certainty; by Newton's method (Lin, Lin and Weng 2007). The slope
    /// is at least 0.001. Both slices are of the same length; without rows it is `σ(logit)`.
    pub fn fit(logits: &[f32], labels: &[bool]) -> Self {
        if logits.is_empty() {
            return Self { slope: 1.0, intercept: 0.0 };
        }
        let rows = targets(logits, labels);
        let free = minimise(&rows, Self { slope: 1.0, intercept: 0.0 }, true);
        if free.slope >= MIN_SLOPE {
            return free;
        }
        // The loss is convex: under a bound that the best slope breaks, the best lies on the bound.
        minimise(&rows, Self { slope: MIN_SLOPE, intercept: free.intercept }, false)
    }

    /// The factor of the logit.
    pub fn slope(self) -> f64 {
        self.slope
    }

    /// What is added.
    pub fn intercept(self) -> f64 {
        self.intercept
    }

    pub(super) fn probability(self, logit: f32) -> f32 {
        sigmoid((self.slope * f64::from(logit) + self.intercept) as f32)
    }
}

impl TryFrom<Parameters> for Platt {
    type Error = String;

    fn try_from(Parameters { slope, intercept }: Parameters) -> Result<Self, String> {
        Self::new(slope, intercept)
    }
}

/// Logits and what they should become.
fn targets(logits: &[f32], labels: &[bool]) -> Vec<(f64, f64)> {
    let positives = labels.iter().filter(|&&label| label).count() as f64;
    let negatives = labels.len() as f64 - positives;
    let yes = (positives + 1.0) / (positives + 2.0);
    let no = 1.0 / (negatives + 2.0);
    let bounded = logits.iter().map(|&logit| f64::from(logit).clamp(-MAX_LOGIT, MAX_LOGIT));
    bounded.zip(labels).map(|(logit, &label)| (logit, if label { yes } else { no })).collect()
}

/// Newton's method with steps halved until they lower the loss; a slope that is not `free` stays.
fn minimise(rows: &[(f64, f64)], start: Platt, free: bool) -> Platt {
    let (mut map, mut loss) = (start, cross_entropy(rows, start));
    for _ in 0..MAX_STEPS {
        let [along_slope, along_intercept] = newton_step(rows, map, free);
        let step = along_slope.abs().max(along_intercept.abs());
        if step < TOLERANCE || !step.is_finite() {
            break;
        }
        let shortened = (0..MAX_HALVINGS).find_map(|halvings| {
            let share = 0.5f64.powi(halvings as i32);
            let next = Platt {
                slope: map.slope - share * along_slope,
                intercept: map.intercept - share * along_intercept,
            };
            let next_loss = cross_entropy(rows, next);
            (next_loss < loss).then_some((next, next_loss))
        });
        let Some(better) = shortened else {
            break;
        };
        (map, loss) = better;
    }
    map
}

/// The inverse of the Hessian times the gradient.
fn newton_step(rows: &[(f64, f64)], map: Platt, free: bool) -> [f64; 2] {
    let (mut slope, mut intercept) = (0.0, 0.0);
    let (mut slopes, mut both, mut intercepts) = (RIDGE, 0.0, RIDGE);
    for &(logit, target) in rows {
        let probability = 1.0 / (1.0 + (-(map.slope * logit + map.intercept)).exp());
        let (error, curvature) = (probability - target, probability * (1.0 - probability));
        slope += error * logit;
        intercept += error;
        slopes += curvature * logit * logit;
        both += curvature * logit;
        intercepts += curvature;
    }
    if !free {
        return [0.0, intercept / intercepts];
    }
    let determinant = slopes * intercepts - both * both;
    if determinant <= 0.0 {
        return [0.0, intercept / intercepts];
    }
    [(intercepts * slope - both * intercept) / determinant, (slopes * intercept - both * slope) / determinant]
}

/// The sum of `softplus(z) − target · z`.
fn cross_entropy(rows: &[(f64, f64)], map: Platt) -> f64 {
    let losses = rows.iter().map(|&(logit, target)| {
        let z = map.slope * logit + map.intercept;
        z.max(0.0) + (-z.abs()).exp().ln_1p() - target * z
    });
    losses.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_rows_run_against_the_scorer_the_order_is_kept_and_little_is_claimed() {
        let map = Platt::fit(&[-2.0, -1.0, 1.0, 2.0], &[true, true, false, false]);

        assert_eq!(map.slope(), MIN_SLOPE);
        assert!((map.probability(0.0) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn rows_of_one_kind_claim_no_certainty() {
        let map = Platt::fit(&[0.0; 8], &[false; 8]);

        assert!((map.probability(0.0) - 0.1).abs() < 1e-4, "1 / (8 + 2), not 0: {map:?}");
    }

    #[test]
    fn logits_that_were_twice_too_large_are_halved() {
        // A hundred rows at each logit, as many of them positive as half the logit says.
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for logit in -4i8..=4 {
            let rate = 1.0 / (1.0 + (-0.5 * f64::from(logit)).exp());
            for row in 0..1000 {
                logits.push(f32::from(logit));
                labels.push(f64::from(row) < 1000.0 * rate);
            }
        }

        let map = Platt::fit(&logits, &labels);

        assert!((map.slope() - 0.5).abs() < 0.01 && map.intercept().abs() < 0.01, "{map:?}");
    }
}
