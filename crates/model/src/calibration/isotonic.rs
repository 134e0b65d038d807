//! Isotonic regression (Barlow et al. 1972): the rising steps that lie closest to the rows, straight lines
//! between. It can bend as the rows do, and needs some thousand of them to bend rightly.

use serde::{Deserialize, Serialize};

/// A rising line through points; level before the first and after the last. Made by [`Isotonic::new`] and
/// [`Isotonic::fit`], so that it rises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Points")]
pub struct Isotonic {
    logits: Vec<f32>,
    probabilities: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Points {
    logits: Vec<f32>,
    probabilities: Vec<f64>,
}

/// Neighbouring logits that share a probability.
struct Block {
    first: f32,
    last: f32,
    rows: f64,
    positives: f64,
}

impl Isotonic {
    /// Takes the points, as many probabilities as logits.
    ///
    /// # Errors
    /// Says what does not rise.
    pub fn new(logits: Vec<f32>, probabilities: Vec<f64>) -> Result<Self, String> {
        let counts = (logits.len(), probabilities.len());
        if counts.0 == 0 || counts.0 != counts.1 {
            return Err(format!(
                "there are {} logits and {} probabilities, there must be as many, and at least one",
                counts.0, counts.1
            ));
        }
        if !logits.is_sorted_by(|a, b| a < b) || !logits.iter().all(|logit| logit.is_finite()) {
            return Err("the logits must be finite and rise".to_owned());
        }
        let within = |probability: &f64| (0.0..=1.0).contains(probability);
        if !probabilities.is_sorted() || !probabilities.iter().all(within) {
            return Err("the probabilities must lie in [0, 1] and not fall".to_owned());
        }
        Ok(Self { logits, probabilities })
    }

    /// Fits by pooling neighbours that run against each other; equal logits are one. Of each step the first and
    /// the last logit become points, as in scikit-learn. Both slices are of the same length.
    ///
    /// # Errors
    /// When there are no rows, or a logit is not finite.
    pub fn fit(logits: &[f32], labels: &[bool]) -> Result<Self, String> {
        let mut rows: Vec<(f32, bool)> = logits.iter().copied().zip(labels.iter().copied()).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut blocks: Vec<Block> = Vec::new();
        for equal in rows.chunk_by(|a, b| a.0 == b.0) {
            let positives = equal.iter().filter(|(_, label)| *label).count() as f64;
            blocks.push(Block { first: equal[0].0, last: equal[0].0, rows: equal.len() as f64, positives });
            pool(&mut blocks);
        }
        let (mut points, mut probabilities) = (Vec::new(), Vec::new());
        for block in &blocks {
            points.push(block.first);
            probabilities.push(block.probability());
            if block.last > block.first {
                points.push(block.last);
                probabilities.push(block.probability());
            }
        }
        Self::new(points, probabilities)
    }

    /// The points' logits, rising.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// The points' probabilities, as many as logits.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    pub(super) fn probability(&self, logit: f32) -> f32 {
        let after = self.logits.partition_point(|&point| point <= logit);
        let Some(before) = after.checked_sub(1) else {
            return self.probabilities[0] as f32;
        };
        let low = self.probabilities[before];
        let (Some(&next), Some(&high)) = (self.logits.get(after), self.probabilities.get(after)) else {
            return low as f32;
        };
        let point = f64::from(self.logits[before]);
        let share = (f64::from(logit) - point) / (f64::from(next) - point);
        // Rounding may not carry it past the next point.
        (low + share * (high - low)).min(high) as f32
    }
}

impl TryFrom<Points> for Isotonic {
    type Error = String;

    fn try_from(Points { logits, probabilities }: Points) -> Result<Self, String> {
        Self::new(logits, probabilities)
    }
}

impl Block {
    fn probability(&self) -> f64 {
        self.positives / self.rows
    }
}

/// Joins the last block to those before it while it does not lie above them.
fn pool(blocks: &mut Vec<Block>) {
    while let [.., before, last] = blocks.as_mut_slice()
        && before.probability() >= last.probability()
    {
        before.last = last.last;
        before.rows += last.rows;
        before.positives += last.positives;
        blocks.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_run_against_each_other_share_their_mean() {
        let map = Isotonic::fit(&[1.0, 2.0, 3.0, 4.0], &[false, true, false, true]).unwrap();

        assert_eq!(map.logits(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(map.probabilities(), [0.0, 0.5, 0.5, 1.0]);
        assert_eq!(map.probability(1.5), 0.25, "half-way between two points");
        assert_eq!((map.probability(-9.0), map.probability(9.0)), (0.0, 1.0));
    }

    #[test]
    fn the_order_of_the_rows_says_nothing() {
        let one = Isotonic::fit(&[3.0, 1.0, 2.0, 1.0], &[true, false, false, true]).unwrap();
        let other = Isotonic::fit(&[1.0, 2.0, 1.0, 3.0], &[true, false, false, true]).unwrap();

        assert_eq!(one, other);
    }

    #[test]
    fn no_rows_and_logits_that_are_no_numbers_are_refused() {
        assert!(Isotonic::fit(&[], &[]).unwrap_err().starts_with("there are 0 logits"));
        assert!(Isotonic::fit(&[f32::NAN], &[true]).unwrap_err().contains("finite"));
    }
}
