//! What scores look like: ROC and precision–recall, reliability, and how the scores of both classes are spread.

use serde::Serialize;

use super::{
    ScoredRows,
    classification::{Group, share, totals},
};

/// Bins of equal width between 0 and 1 in which scores are held against what is true.
pub const CALIBRATION_BINS: usize = 15;
/// Bins of equal width in which scores are counted.
pub const SCORE_BINS: usize = 40;
/// Points of a curve, about: more do not show.
const POINTS: usize = 200;

/// One place of a curve, both coordinates from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
}

/// The scores of a part of the range beside what was true of their rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// How many rows score within the bin.
    pub rows: f64,
    /// Their mean score.
    pub mean_score: f64,
    /// The share of them that is positive.
    pub positives: f64,
}

/// All that is drawn of a model's scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Curves {
    /// The share of positives found (y) over the share of false alarms (x), from (0, 0) to (1, 1).
    pub roc: Vec<Point>,
    /// Precision (y) over recall (x), with rising recall.
    pub precision_recall: Vec<Point>,
    /// The bins that hold rows, scores rising.
    pub reliability: Vec<ReliabilityBin>,
    /// The share of positives in each of [`SCORE_BINS`].
    pub scores_of_positives: Vec<f64>,
    /// The share of the other rows in each of [`SCORE_BINS`].
    pub scores_of_negatives: Vec<f64>,
}

impl Curves {
    /// Draws rows that are in order.
    pub fn of(rows: &ScoredRows) -> Self {
        let groups = rows.plain_groups();
        let (positives, negatives) = totals(groups.iter());
        let (mut roc, mut precision_recall) = (vec![Point { x: 0.0, y: 0.0 }], Vec::new());
        let (mut found, mut false_alarms) = (0.0, 0.0);
        for group in groups.iter().rev() {
            found += group.positives;
            false_alarms += group.negatives;
            let recall = share(found, positives).unwrap_or_default();
            roc.push(Point { x: share(false_alarms, negatives).unwrap_or_default(), y: recall });
            precision_recall
                .push(Point { x: recall, y: share(found, found + false_alarms).unwrap_or_default() });
        }
        let spread = |total: f64, count: &dyn Fn(&Group) -> f64| {
            let mut shares = vec![0.0; SCORE_BINS];
            for group in &groups {
                shares[bin(group.score, SCORE_BINS)] += share(count(group), total).unwrap_or_default();
            }
            shares
        };
        Self {
            roc: thinned(roc),
            precision_recall: thinned(precision_recall),
            reliability: reliability(&groups),
            scores_of_positives: spread(positives, &|group| group.positives),
            scores_of_negatives: spread(negatives, &|group| group.negatives),
        }
    }
}

/// The mean distance of mean score and share of positives over [`CALIBRATION_BINS`], each bin counting by its rows
/// (Naeini et al. 2015).
pub(super) fn expected_calibration_error(groups: &[Group]) -> f64 {
    let (positives, negatives) = totals(groups.iter());
    let bins = reliability(groups);
    let distances = bins.iter().map(|bin| bin.rows * (bin.mean_score - bin.positives).abs());
    share(distances.sum(), positives + negatives).unwrap_or_default()
}

pub(super) fn reliability(groups: &[Group]) -> Vec<ReliabilityBin> {
    let mut sums = [(0.0, 0.0, 0.0); CALIBRATION_BINS];
    for group in groups {
        let (rows, scores, positives) = &mut sums[bin(group.score, CALIBRATION_BINS)];
        let weight = group.positives + group.negatives;
        *rows += weight;
        *scores += weight * f64::from(group.score);
        *positives += group.positives;
    }
    let filled = sums.into_iter().filter(|&(rows, ..)| rows > 0.0);
    filled
        .map(|(rows, scores, positives)| ReliabilityBin {
            rows,
            mean_score: scores / rows,
            positives: positives / rows,
        })
        .collect()
}

/// The bin of a score from 0 to 1; 1 belongs to the last.
fn bin(score: f32, bins: usize) -> usize {
    ((score * bins as f32) as usize).min(bins - 1)
}

/// Some [`POINTS`] of a curve, the first and the last among them: those that lie a step of either coordinate apart.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    let step = 1.0 / POINTS as f64;
    let last = points.last().copied();
    let mut kept: Vec<Point> = Vec::new();
    for point in points {
        let is_far =
            |before: &Point| (point.x - before.x).abs() >= step || (point.y - before.y).abs() >= step;
        if kept.last().is_none_or(is_far) {
            kept.push(point);
        }
    }
    if let Some(last) = last
        && kept.last() != Some(&last)
    {
        kept.push(last);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(rows: &[(f32, bool)]) -> ScoredRows {
        let mut scored = ScoredRows::default();
        scored.extend(0, rows.iter().copied());
        scored.sort();
        scored
    }

    #[test]
    fn the_curves_of_four_rows_are_those_drawn_by_hand() {
        let curves = Curves::of(&rows(&[(0.9, true), (0.6, false), (0.4, true), (0.1, false)]));

        let points =
            |curve: &[Point]| -> Vec<(f64, f64)> { curve.iter().map(|point| (point.x, point.y)).collect() };
        assert_eq!(points(&curves.roc), [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(points(&curves.precision_recall), [(0.5, 1.0), (0.5, 0.5), (1.0, 2.0 / 3.0), (1.0, 0.5)]);
        assert_eq!(curves.scores_of_positives[36], 0.5);
    }

    #[test]
    fn scores_that_are_as_often_right_as_they_say_have_no_calibration_error() {
        let honest = rows(&[(0.5, true), (0.5, false), (1.0, true), (0.0, false)]);
        let boastful = rows(&[(1.0, false), (1.0, true)]);

        assert_eq!(honest.quality().calibration_error, 0.0);
        assert_eq!(boastful.quality().calibration_error, 0.5);
    }

    proptest! {
        #[test]
        fn the_calibration_error_is_that_of_its_definition(
            scored in prop::collection::vec((0.0f32..=1.0, any::<bool>()), 1..60),
        ) {
            let found = rows(&scored).quality().calibration_error;

            let mut expected = 0.0;
            for bin in 0..CALIBRATION_BINS {
                let width = CALIBRATION_BINS as f32;
                let inside: Vec<_> = scored
                    .iter()
                    .filter(|(score, _)| (score * width).floor().min(width - 1.0) == bin as f32)
                    .collect();
                let scores: f64 = inside.iter().map(|(score, _)| f64::from(*score)).sum();
                let positives = inside.iter().filter(|(_, label)| *label).count() as f64;
                expected += (scores - positives).abs() / scored.len() as f64;
            }
            prop_assert!((found - expected).abs() < 1e-9, "{} {}", found, expected);
        }

        #[test]
        fn a_thinned_curve_keeps_its_ends(scored in prop::collection::vec((0.0f32..=1.0, any::<bool>()), 1..300)) {
            let curves = Curves::of(&rows(&scored));

            prop_assert_eq!(curves.roc.first().map(|point| (point.x, point.y)), Some((0.0, 0.0)));
            prop_assert!(curves.roc.len() <= 2 * POINTS + 2);
        }
    }
}
