//! Several networks, each of which leaves another part of the training rows out, averaged into one.
//!
//! The part that a network leaves out decides when it stops; and what it says of that part, which it was not
//! trained on, is what the calibration is fitted on. So every training row trains and every one calibrates, and
//! no row does both for one network.

use finrank_model::{Dense, MlpScorer};
use ndarray::{Array1, Array2, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    config::ScorerLearning,
    folds::{split_off, stratified_parts},
    learn::{Learned, learn},
    rows::LabelledRows,
};
use crate::{CalibrationMethod, Result, Stage, TrainObserver};

/// The share of the rows that a single network leaves out.
const VALIDATION_SHARE: f64 = 0.15;

/// How an ensemble is made.
pub(super) struct EnsemblePlan<'a> {
    pub(super) learning: &'a ScorerLearning,
    pub(super) members: usize,
    pub(super) calibration: CalibrationMethod,
    pub(super) seed: u64,
}

/// The averaged and calibrated network.
pub(super) struct Ensemble {
    pub(super) scorer: MlpScorer,
    /// Of each member: the epoch whose weights were kept, from 1.
    pub(super) best_epochs: Vec<usize>,
    /// Rows that the calibration was fitted on.
    pub(super) calibration_rows: usize,
    pub(super) seconds: f64,
}

/// Trains the members one after the other and calibrates their mean.
pub(super) fn fit(
    rows: &LabelledRows,
    plan: &EnsemblePlan<'_>,
    observer: &mut dyn TrainObserver,
) -> Result<Ensemble> {
    let mut seeds = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut members = Vec::with_capacity(plan.members);
    let (mut best_epochs, mut seconds) = (Vec::new(), 0.0);
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    for (training, left_out) in parts(&rows.labels, plan.members, plan.seed) {
        let seed = seeds.random();
        observer.stage(Stage::Learning { seed: plan.seed, max_epochs: plan.learning.max_epochs });
        let learned = learn(rows, &training, &left_out, plan.learning, seed, observer)?;
        let Learned { scorer, best_epoch, seconds: of_member, .. } = learned;
        let left_out = rows.select(&left_out);
        logits.extend(scorer.logits(left_out.features.view()));
        labels.extend(left_out.labels);
        best_epochs.push(best_epoch);
        seconds += of_member;
        members.push(scorer);
    }
    let calibration = plan.calibration.fit(&logits, &labels)?;
    let scorer = mean(&members)?.with_calibration(calibration);
    Ok(Ensemble { scorer, best_epochs, calibration_rows: labels.len(), seconds })
}

/// What each member trains on and what it leaves out.
fn parts(labels: &[bool], members: usize, seed: u64) -> Vec<(Vec<usize>, Vec<usize>)> {
    if members == 1 {
        let all = (0..labels.len()).collect();
        return vec![split_off(labels, all, VALIDATION_SHARE, true, seed)];
    }
    // Another seed than that of the folds, whose order would otherwise be dealt out again.
    let part_of = stratified_parts(labels, members, seed.wrapping_add(1));
    let of_member = |member| (0..labels.len()).partition(|&row| part_of[row] != member);
    (0..members).map(of_member).collect()
}

/// The one network whose logit is the mean of the members': their hidden units side by side, which see nothing
/// of each other. All members are of the same widths, and there is at least one.
fn mean(members: &[MlpScorer]) -> Result<MlpScorer> {
    let depth = members[0].layers().len();
    let share = 1.0 / members.len() as f32;
    let layers = (0..depth).map(|index| {
        let layers: Vec<&Dense> = members.iter().map(|member| &member.layers()[index]).collect();
        let (inputs, outputs) = (layers[0].inputs(), layers[0].outputs());
        let (is_first, is_last) = (index == 0, index + 1 == depth);
        let rows = if is_first { inputs } else { inputs * layers.len() };
        let columns = if is_last { 1 } else { outputs * layers.len() };
        let (mut weight, mut bias) = (Array2::zeros((rows, columns)), Array1::zeros(columns));
        for (member, layer) in layers.into_iter().enumerate() {
            let row = if is_first { 0 } else { member * inputs };
            let column = if is_last { 0 } else { member * outputs };
            let factor = if is_last { share } else { 1.0 };
            let mut block = weight.slice_mut(s![row..row + inputs, column..column + outputs]);
            block.scaled_add(factor, &layer.weight);
            bias.slice_mut(s![column..column + outputs]).scaled_add(factor, &layer.bias);
        }
        Dense::new(weight, bias)
    });
    Ok(MlpScorer::new(layers.collect::<Result<_, _>>()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scorer::network::Network;

    #[test]
    fn the_joined_networks_logit_is_the_mean_of_the_members() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for hidden in [&[] as &[usize], &[4], &[6, 3]] {
            let member = |rng: &mut ChaCha8Rng| Network::draw(5, hidden, 0.3, rng).export().unwrap();
            let members = [member(&mut rng), member(&mut rng), member(&mut rng)];
            let rows = Array2::from_shape_simple_fn((7, 5), || rng.random::<f32>() * 4.0 - 2.0);

            let found = mean(&members).unwrap().logits(rows.view());

            for (row, found) in found.into_iter().enumerate() {
                let logits = members.iter().map(|member| member.logits(rows.view())[row]);
                let expected = logits.sum::<f32>() / 3.0;
                assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
            }
        }
    }

    #[test]
    fn every_row_is_left_out_by_one_member_and_trains_the_others() {
        let labels: Vec<bool> = (0..50).map(|row| row % 5 == 0).collect();

        let parts = parts(&labels, 4, 42);

        for (training, left_out) in &parts {
            assert!(left_out.iter().all(|row| !training.contains(row)));
            assert_eq!(training.len() + left_out.len(), 50);
        }
        let mut all: Vec<usize> = parts.into_iter().flat_map(|(_, left_out)| left_out).collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
