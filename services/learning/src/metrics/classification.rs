//! Scores of rows that are either positive or not.

use serde::Serialize;

/// Probabilities this close to 0 and 1 count as that far off in the log loss: a certain error would cost
/// everything. It is the spacing of f32 below 1.
const LOG_LOSS_EPSILON: f64 = 1.0 / 8_388_608.0;

/// How well scores tell positive rows from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassificationQuality {
    /// How many rows there are.
    pub rows: usize,
    /// How many of them are positive.
    pub positives: usize,
    /// The share of rows on the right side of 0.5.
    pub accuracy: f64,
    /// The share of the larger class: the accuracy of always answering the same.
    pub majority: f64,
    /// The probability that a positive row scores above another one, ties counting half; absent when a class
    /// is empty.
    pub auc: Option<f64>,
    /// Average precision; absent without positives.
    pub average_precision: Option<f64>,
    /// Mean negative log-likelihood in nats.
    pub log_loss: f64,
}

impl ClassificationQuality {
    /// Measures probabilities beside what is true. Both slices are of the same length.
    pub fn of(scores: &[f32], labels: &[bool]) -> Self {
        Self {
            rows: labels.len(),
            positives: labels.iter().filter(|&&label| label).count(),
            accuracy: accuracy(scores, labels),
            majority: majority_share(labels),
            auc: area_under_roc(scores, labels),
            average_precision: average_precision(scores, labels),
            log_loss: log_loss(scores, labels),
        }
    }
}

/// The share of rows on the right side of 0.5.
pub fn accuracy(scores: &[f32], labels: &[bool]) -> f64 {
    share(scores.iter().zip(labels).filter(|&(&score, &label)| (score >= 0.5) == label).count(), labels.len())
}

/// The share of the larger class.
pub fn majority_share(labels: &[bool]) -> f64 {
    let positives = labels.iter().filter(|&&label| label).count();
    share(positives.max(labels.len() - positives), labels.len())
}

/// The area under the ROC curve by the rank-sum of Mann and Whitney, ties sharing their mean rank.
pub fn area_under_roc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut above = 0.0;
    let mut negatives_below = 0.0;
    for group in ascending_groups(scores, labels) {
        above += group.positives * (negatives_below + group.negatives / 2.0);
        negatives_below += group.negatives;
    }
    Some(above / (positives as f64 * negatives as f64))
}

/// `Σ (Rₙ − Rₙ₋₁) Pₙ` over falling thresholds, rows of equal score passing together, as scikit-learn does.
pub fn average_precision(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label).count() as f64;
    if positives == 0.0 {
        return None;
    }
    let mut sum = 0.0;
    let (mut found, mut passed) = (0.0, 0.0);
    for group in ascending_groups(scores, labels).iter().rev() {
        found += group.positives;
        passed += group.positives + group.negatives;
        sum += group.positives / positives * (found / passed);
    }
    Some(sum)
}

/// The mean negative log-likelihood in nats.
pub fn log_loss(scores: &[f32], labels: &[bool]) -> f64 {
    let total: f64 = scores
        .iter()
        .zip(labels)
        .map(|(&score, &label)| {
            let score = f64::from(score).clamp(LOG_LOSS_EPSILON, 1.0 - LOG_LOSS_EPSILON);
            -(if label { score } else { 1.0 - score }).ln()
        })
        .sum();
    if labels.is_empty() { 0.0 } else { total / labels.len() as f64 }
}

/// Rows of one score.
struct Group {
    positives: f64,
    negatives: f64,
}

fn ascending_groups(scores: &[f32], labels: &[bool]) -> Vec<Group> {
    let mut rows: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.chunk_by(|a, b| a.0 == b.0)
        .map(|rows| {
            let positives = rows.iter().filter(|(_, label)| *label).count();
            Group { positives: positives as f64, negatives: (rows.len() - positives) as f64 }
        })
        .collect()
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_measures_of_four_rows_are_those_computed_by_hand() {
        let quality = ClassificationQuality::of(&[0.9, 0.4, 0.6, 0.1], &[true, true, false, false]);

        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        near(quality.accuracy, 0.5);
        near(quality.majority, 0.5);
        near(quality.auc.unwrap(), 0.75);
        near(quality.average_precision.unwrap(), 0.5 * 1.0 + 0.5 * (2.0 / 3.0));
        let expected = -(0.9f64.ln() + 0.4f64.ln() + 0.4f64.ln() + 0.9f64.ln()) / 4.0;
        near(quality.log_loss, expected);
    }

    #[test]
    fn one_score_for_all_has_an_auc_of_one_half_and_the_base_rate_as_precision() {
        let labels = [true, false, false, false];

        assert_eq!(area_under_roc(&[0.3; 4], &labels), Some(0.5));
        assert_eq!(average_precision(&[0.3; 4], &labels), Some(0.25));
        assert_eq!(majority_share(&labels), 0.75);
    }

    #[test]
    fn a_missing_class_leaves_the_auc_undefined() {
        assert_eq!(area_under_roc(&[0.1, 0.2], &[true, true]), None);
        assert_eq!(average_precision(&[0.1], &[false]), None);
    }

    #[test]
    fn a_certain_error_costs_much_but_not_everything() {
        let loss = log_loss(&[1.0], &[false]);

        assert!(loss > 15.0 && loss.is_finite(), "{loss}");
    }

    proptest! {
        #[test]
        fn the_auc_is_the_share_of_pairs_in_the_right_order(
            rows in prop::collection::vec((0u8..6, any::<bool>()), 2..40),
        ) {
            let scores: Vec<f32> = rows.iter().map(|&(score, _)| f32::from(score) / 8.0).collect();
            let labels: Vec<bool> = rows.iter().map(|&(_, label)| label).collect();

            let auc = area_under_roc(&scores, &labels);

            let (mut right, mut pairs) = (0.0, 0.0);
            for (positive, _) in scores.iter().zip(&labels).filter(|&(_, &label)| label) {
                for (negative, _) in scores.iter().zip(&labels).filter(|&(_, &label)| !label) {
                    pairs += 1.0;
                    right += if positive > negative { 1.0 } else if positive == negative { 0.5 } else { 0.0 };
                }
            }
            match auc {
                None => prop_assert_eq!(pairs, 0.0),
                Some(auc) => prop_assert!((auc - right / pairs).abs() < 1e-12),
            }
        }
    }
}
