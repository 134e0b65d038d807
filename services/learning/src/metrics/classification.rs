//! Scores of rows that are either positive or not.

use serde::Serialize;

use super::curves::expected_calibration_error;

/// Probabilities this close to 0 and 1 count as that far off in the log loss: a certain error would cost
/// everything. It is the spacing of f32 below 1.
const LOG_LOSS_EPSILON: f64 = 1.0 / 8_388_608.0;
/// Rows that score as much or more are called positive.
const THRESHOLD: f32 = 0.5;

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
    /// The share of positives among the rows that score 0.5 or more; absent when there are none.
    pub precision: Option<f64>,
    /// The share of positives that score 0.5 or more; absent without positives.
    pub recall: Option<f64>,
    /// The probability that a positive row scores above another one, ties counting half; absent when a class
    /// is empty.
    pub auc: Option<f64>,
    /// Average precision; absent without positives.
    pub average_precision: Option<f64>,
    /// Mean negative log-likelihood in nats.
    pub log_loss: f64,
    /// Mean squared difference of score and truth (Brier 1950).
    pub brier: f64,
    /// Expected calibration error over 15 bins of equal width: the mean distance of mean score and share of
    /// positives, each bin counting by its rows (Naeini et al. 2015).
    pub calibration_error: f64,
}

impl ClassificationQuality {
    /// Measures probabilities beside what is true. Both slices are of the same length.
    pub fn of(scores: &[f32], labels: &[bool]) -> Self {
        Self::of_groups(&groups(scores, labels))
    }

    fn of_groups(groups: &[Group]) -> Self {
        let (positives, negatives) = totals(groups.iter());
        let (found, false_alarms) = totals(groups.iter().filter(|group| group.score >= THRESHOLD));
        let rows = positives + negatives;
        Self {
            rows: rows as usize,
            positives: positives as usize,
            accuracy: share(found + negatives - false_alarms, rows).unwrap_or_default(),
            majority: share(positives.max(negatives), rows).unwrap_or_default(),
            precision: share(found, found + false_alarms),
            recall: share(found, positives),
            auc: auc(groups),
            average_precision: precision_over_recall(groups),
            log_loss: mean_log_loss(groups),
            brier: brier(groups),
            calibration_error: expected_calibration_error(groups),
        }
    }

    /// Every measure of the scores with its name, for example `log_loss`; those that are absent are left out.
    pub fn measures(&self) -> Vec<(String, f64)> {
        let named = [
            ("accuracy", Some(self.accuracy)),
            ("majority", Some(self.majority)),
            ("precision", self.precision),
            ("recall", self.recall),
            ("auc", self.auc),
            ("average_precision", self.average_precision),
            ("log_loss", Some(self.log_loss)),
            ("brier", Some(self.brier)),
            ("calibration_error", Some(self.calibration_error)),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Rows in the order of their scores, each of a customer, to be measured once or under many weights of customers.
#[derive(Clone, Debug, Default)]
pub struct ScoredRows {
    rows: Vec<ScoredRow>,
    is_sorted: bool,
}

#[derive(Clone, Copy, Debug)]
struct ScoredRow {
    score: f32,
    is_positive: bool,
    customer: u32,
}

impl ScoredRows {
    /// Adds the rows of one customer, named by a position.
    pub fn extend(&mut self, customer: usize, rows: impl IntoIterator<Item = (f32, bool)>) {
        let customer = customer as u32;
        let rows = rows.into_iter();
        self.rows.extend(rows.map(|(score, is_positive)| ScoredRow { score, is_positive, customer }));
        self.is_sorted = false;
    }

    /// Puts the rows in order, which measuring asks for.
    pub fn sort(&mut self) {
        self.rows.sort_by(|a, b| a.score.total_cmp(&b.score));
        self.is_sorted = true;
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every row counting once.
    pub fn quality(&self) -> ClassificationQuality {
        ClassificationQuality::of_groups(&self.groups(|_| 1.0))
    }

    /// The rows of each customer counting as often as its weight says.
    pub fn weighted(&self, weights: &[u32]) -> ClassificationQuality {
        ClassificationQuality::of_groups(&self.groups(|row| f64::from(weights[row.customer as usize])))
    }

    /// Rows of equal score, every row counting once.
    pub(super) fn plain_groups(&self) -> Vec<Group> {
        self.groups(|_| 1.0)
    }

    fn groups(&self, weight: impl Fn(&ScoredRow) -> f64) -> Vec<Group> {
        debug_assert!(self.is_sorted || self.rows.is_empty(), "rows are sorted before they are measured");
        let mut groups: Vec<Group> = Vec::new();
        for row in &self.rows {
            let weight = weight(row);
            let (positives, negatives) = if row.is_positive { (weight, 0.0) } else { (0.0, weight) };
            match groups.last_mut() {
                Some(group) if group.score == row.score => {
                    group.positives += positives;
                    group.negatives += negatives;
                }
                _ => groups.push(Group { score: row.score, positives, negatives }),
            }
        }
        groups
    }
}

/// The share of rows on the right side of 0.5.
pub fn accuracy(scores: &[f32], labels: &[bool]) -> f64 {
    ClassificationQuality::of(scores, labels).accuracy
}

/// The share of the larger class.
pub fn majority_share(labels: &[bool]) -> f64 {
    ClassificationQuality::of(&vec![0.0; labels.len()], labels).majority
}

/// The area under the ROC curve by the rank-sum of Mann and Whitney, ties sharing their mean rank.
pub fn area_under_roc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    auc(&groups(scores, labels))
}

/// `Σ (Rₙ − Rₙ₋₁) Pₙ` over falling thresholds, rows of equal score passing together, as scikit-learn does.
pub fn average_precision(scores: &[f32], labels: &[bool]) -> Option<f64> {
    precision_over_recall(&groups(scores, labels))
}

/// The mean negative log-likelihood in nats.
pub fn log_loss(scores: &[f32], labels: &[bool]) -> f64 {
    mean_log_loss(&groups(scores, labels))
}

/// Rows of one score, weighed.
pub(super) struct Group {
    pub(super) score: f32,
    pub(super) positives: f64,
    pub(super) negatives: f64,
}

fn groups(scores: &[f32], labels: &[bool]) -> Vec<Group> {
    let mut rows = ScoredRows::default();
    rows.extend(0, scores.iter().copied().zip(labels.iter().copied()));
    rows.sort();
    rows.plain_groups()
}

/// Positives and negatives.
pub(super) fn totals<'g>(groups: impl Iterator<Item = &'g Group>) -> (f64, f64) {
    groups.fold((0.0, 0.0), |(positives, negatives), group| {
        (positives + group.positives, negatives + group.negatives)
    })
}

fn auc(groups: &[Group]) -> Option<f64> {
    let (positives, negatives) = totals(groups.iter());
    let mut above = 0.0;
    let mut negatives_below = 0.0;
    for group in groups {
        above += group.positives * (negatives_below + group.negatives / 2.0);
        negatives_below += group.negatives;
    }
    share(above, positives * negatives)
}

fn precision_over_recall(groups: &[Group]) -> Option<f64> {
    let (positives, _) = totals(groups.iter());
    let mut sum = 0.0;
    let (mut found, mut passed) = (0.0, 0.0);
    for group in groups.iter().rev() {
        found += group.positives;
        passed += group.positives + group.negatives;
        sum += group.positives * share(found, passed).unwrap_or_default();
    }
    share(sum, positives)
}

fn mean_log_loss(groups: &[Group]) -> f64 {
    mean(groups, |group, score| {
        let score = score.clamp(LOG_LOSS_EPSILON, 1.0 - LOG_LOSS_EPSILON);
        -(group.positives * score.ln() + group.negatives * (1.0 - score).ln())
    })
}

fn brier(groups: &[Group]) -> f64 {
    mean(groups, |group, score| group.positives * (1.0 - score).powi(2) + group.negatives * score.powi(2))
}

fn mean(groups: &[Group], sum: impl Fn(&Group, f64) -> f64) -> f64 {
    let (positives, negatives) = totals(groups.iter());
    let total: f64 = groups.iter().map(|group| sum(group, f64::from(group.score))).sum();
    share(total, positives + negatives).unwrap_or_default()
}

pub(super) fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
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
        near(quality.precision.unwrap(), 0.5);
        near(quality.recall.unwrap(), 0.5);
        near(quality.brier, (0.01 + 0.36 + 0.36 + 0.01) / 4.0);
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

        #[test]
        fn average_precision_and_brier_are_those_of_their_definitions(
            rows in prop::collection::vec((0u8..9, any::<bool>()), 1..40),
        ) {
            let scores: Vec<f32> = rows.iter().map(|&(score, _)| f32::from(score) / 8.0).collect();
            let labels: Vec<bool> = rows.iter().map(|&(_, label)| label).collect();

            let quality = ClassificationQuality::of(&scores, &labels);

            let positives = labels.iter().filter(|&&label| label).count() as f64;
            let squares = scores.iter().zip(&labels).map(|(score, &label)| (score - f32::from(u8::from(label))).powi(2));
            prop_assert!((quality.brier - f64::from(squares.sum::<f32>()) / labels.len() as f64).abs() < 1e-6);
            // Each positive adds the precision among all rows that score as much.
            let precisions = scores.iter().zip(&labels).filter(|&(_, &label)| label).map(|(&score, _)| {
                let at_least = || scores.iter().zip(&labels).filter(move |&(&other, _)| other >= score);
                at_least().filter(|&(_, &label)| label).count() as f64 / at_least().count() as f64
            });
            let expected = precisions.sum::<f64>() / positives;
            match quality.average_precision {
                None => prop_assert_eq!(positives, 0.0),
                Some(found) => prop_assert!((found - expected).abs() < 1e-12),
            }
        }

        #[test]
        fn a_weight_counts_the_rows_of_a_customer_so_many_times(
            customers in prop::collection::vec((prop::collection::vec((0u8..6, any::<bool>()), 1..4), 0u32..4), 1..12),
        ) {
            let rows = |customer: usize| customers[customer].0.iter().map(|&(score, label)| (f32::from(score) / 6.0, label));
            let weights: Vec<u32> = customers.iter().map(|customer| customer.1).collect();
            let (mut once, mut repeated) = (ScoredRows::default(), ScoredRows::default());
            for (customer, &weight) in weights.iter().enumerate() {
                once.extend(customer, rows(customer));
                for _ in 0..weight {
                    repeated.extend(customer, rows(customer));
                }
            }
            once.sort();
            repeated.sort();

            let (one, other) = (once.weighted(&weights).measures(), repeated.quality().measures());

            prop_assert_eq!(one.len(), other.len());
            for (one, other) in one.iter().zip(&other) {
                prop_assert_eq!(&one.0, &other.0);
                prop_assert!((one.1 - other.1).abs() < 1e-9, "{:?} {:?}", one, other);
            }
        }
    }
}
