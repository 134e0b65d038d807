//! A score: the probability that a scorer gives, with the order that ranking needs.

use std::{cmp::Ordering, fmt};

use serde::{Serialize, Serializer};

use crate::Calibration;

/// A probability in [0, 1], totally ordered by the logit that it came from: a calibration that is level
/// somewhere, or a sigmoid that has reached 1.0, makes no ties.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    probability: f32,
    logit: f32,
}

impl Score {
    /// `σ(logit) = 1 / (1 + e^-logit)`, see [`Score::calibrated`].
    pub fn from_logit(logit: f32) -> Self {
        Self::calibrated(logit, &Calibration::None)
    }

    /// What `calibration` makes of a logit.
    ///
    /// Finite weights may still overflow to `∞ - ∞` on the way; such a logit scores 0, so that a candidate of
    /// which nothing can be said never ranks first.
    pub fn calibrated(logit: f32, calibration: &Calibration) -> Self {
        if logit.is_nan() {
            return Self { probability: 0.0, logit: f32::NEG_INFINITY };
        }
        // The zero takes the sign off another one: -0 and 0 are one logit.
        Self { probability: calibration.probability(logit), logit: logit + 0.0 }
    }

    /// The probability.
    pub fn get(self) -> f32 {
        self.probability
    }

    /// `σ(logit)`, whatever the calibration made of it.
    pub fn uncalibrated(self) -> f32 {
        Self::from_logit(self.logit).probability
    }

    /// What the scorer computed, before sigmoid and calibration; −∞ where that was no number.
    pub fn logit(self) -> f32 {
        self.logit
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f32(self.probability)
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
        self.logit.total_cmp(&other.logit)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.probability.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isotonic;

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

    #[test]
    fn where_a_calibration_is_level_the_logit_decides() {
        let level = Calibration::Isotonic(Isotonic::new(vec![0.0, 1.0], vec![0.3, 0.3]).unwrap());
        let [low, high] = [0.2, 0.8].map(|logit| Score::calibrated(logit, &level));

        assert_eq!(low.get(), high.get());
        assert!(low < high);
        assert_eq!(Score::from_logit(-0.0), Score::from_logit(0.0));
    }
}
