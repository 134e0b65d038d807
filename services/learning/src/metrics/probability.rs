//! Scores taken at their word: of rows scored 0.3, three in ten should be positive.

use finrank_model::Score;
use serde::Serialize;

use super::{ClassificationQuality, ReliabilityBin, ScoredRows, curves::reliability};

/// How far scores are probabilities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbabilityQuality {
    /// See [`ClassificationQuality::brier`].
    pub brier: f64,
    /// See [`ClassificationQuality::calibration_error`].
    pub calibration_error: f64,
    /// Mean negative log-likelihood in nats.
    pub log_loss: f64,
    /// The bins that hold a row, rising.
    pub reliability: Vec<ReliabilityBin>,
}

/// The same rows before and after calibration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationQuality {
    /// `σ(logit)`.
    pub before: ProbabilityQuality,
    /// As the calibration has it.
    pub after: ProbabilityQuality,
}

impl CalibrationQuality {
    /// Measures scores beside what is true. Both slices are of the same length.
    pub fn of(scores: &[Score], labels: &[bool]) -> Self {
        let rows = |value: &dyn Fn(Score) -> f32| {
            let mut rows = ScoredRows::default();
            rows.extend(0, scores.iter().map(|&score| value(score)).zip(labels.iter().copied()));
            rows.sort();
            rows
        };
        Self::of_rows(&rows(&Score::uncalibrated), &rows(&Score::get))
    }

    /// Measures rows that are in order, before calibration and after.
    pub(crate) fn of_rows(before: &ScoredRows, after: &ScoredRows) -> Self {
        Self { before: ProbabilityQuality::of(before), after: ProbabilityQuality::of(after) }
    }
}

impl ProbabilityQuality {
    fn of(rows: &ScoredRows) -> Self {
        let ClassificationQuality { brier, calibration_error, log_loss, .. } = rows.quality();
        Self { brier, calibration_error, log_loss, reliability: reliability(&rows.plain_groups()) }
    }
}

#[cfg(test)]
mod tests {
    use finrank_model::{Calibration, Platt};

    use super::*;

    fn of(scores: &[f32], labels: &[bool]) -> ProbabilityQuality {
        let mut rows = ScoredRows::default();
        rows.extend(0, scores.iter().copied().zip(labels.iter().copied()));
        rows.sort();
        ProbabilityQuality::of(&rows)
    }

    #[test]
    fn four_rows_in_two_bins_are_measured_as_by_hand() {
        let quality = of(&[0.01, 0.03, 0.5, 0.5], &[false, true, true, false]);

        assert!((quality.brier - (0.0001 + 0.9409 + 0.25 + 0.25) / 4.0).abs() < 1e-7);
        assert!((quality.calibration_error - (2.0 * (0.5 - 0.02)) / 4.0).abs() < 1e-7);
        let rows: Vec<f64> = quality.reliability.iter().map(|bin| bin.rows).collect();
        assert_eq!(rows, [2.0, 2.0]);
        assert_eq!(quality.reliability[1].positives, 0.5);
    }

    #[test]
    fn before_is_the_sigmoid_and_after_the_calibration() {
        let twice = Calibration::Platt(Platt::new(2.0, 0.0).unwrap());
        let scores = [Score::calibrated(1.0, &twice), Score::calibrated(-1.0, &twice)];

        let quality = CalibrationQuality::of(&scores, &[true, false]);

        let loss = |logit: f64| (-logit).exp().ln_1p();
        assert!((quality.before.log_loss - loss(1.0)).abs() < 1e-6);
        assert!((quality.after.log_loss - loss(2.0)).abs() < 1e-6);
    }

    #[test]
    fn a_score_of_one_stands_in_the_last_bin_and_no_rows_have_no_error() {
        let certain = of(&[1.0], &[true]);
        let nothing = of(&[], &[]);

        assert_eq!((certain.calibration_error, certain.brier, certain.reliability.len()), (0.0, 0.0, 1));
        assert_eq!((nothing.calibration_error, nothing.brier, nothing.reliability.len()), (0.0, 0.0, 0));
    }
}
