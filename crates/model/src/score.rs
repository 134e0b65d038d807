//! A score: the probability that a scorer gives, with the order that ranking needs.

use std::{cmp::Ordering, fmt};

use serde::Serialize;

/// A probability in [0, 1], totally ordered.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub struct Score(f32);

impl Score {
    /// `σ(logit) = 1 / (1 + e^-logit)`.
    ///
    /// Finite weights may still overflow to `∞ - ∞` on the way; such a logit scores 0, so that a candidate of
    /// which nothing can be said never ranks first.
    pub fn from_logit(logit: f32) -> Self {
        if logit.is_nan() {
            return Self(0.0);
        }
        Self(1.0 / (1.0 + (-logit).exp()))
    }

    /// The probability.
    pub fn get(self) -> f32 {
        self.0
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_logistic_function_of_the_logit() {
        assert_eq!(Score::from_logit(0.0).get(), 0.5);
        assert!((Score::from_logit(0.87).get() - 0.7047).abs() < 5e-5);
        assert_eq!(Score::from_logit(1000.0).get(), 1.0);
        assert_eq!(Score::from_logit(-1000.0).get(), 0.0);
    }

    #[test]
    fn orders_by_probability_and_puts_what_is_undefined_last() {
        let mut scores = [0.5, f32::NAN, -3.0, f32::INFINITY].map(Score::from_logit);

        scores.sort();

        let expected = [f32::NAN, -3.0, 0.5, f32::INFINITY].map(Score::from_logit);
        assert_eq!(scores, expected);
        assert_eq!(scores[0].get(), 0.0);
    }
}
