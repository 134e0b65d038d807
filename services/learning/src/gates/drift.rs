//! Whether a model's scores have moved: thresholds that somebody chose for the old ones would then mean something else.

use finrank_model::{policy::Policy, stability_index};
use finrank_store::models::GateResult;

use super::{measure::Measured, verdict::at_most};

/// The population stability index of the candidate's scores, held to the policy.
pub(super) fn judge(policy: &Policy, before: &Measured, now: &Measured) -> (GateResult, Option<f64>) {
    let psi = psi(&before.scores, &now.scores, policy.drift.bins);
    let what = "the population stability index of scores, against the model that is served,";
    (at_most("drift", what, psi, policy.drift.max_psi), Some(psi))
}

/// The index over the quantiles of `before`.
fn psi(before: &[f32], now: &[f32], bins: usize) -> f64 {
    let mut sorted = before.to_vec();
    sorted.sort_by(f32::total_cmp);
    let mut edges: Vec<f32> =
        (1..bins).filter_map(|bin| sorted.get(sorted.len() * bin / bins).copied()).collect();
    // Of many equal scores one quantile is several.
    edges.dedup();
    let (before, now) = (shares(before, &edges), shares(now, &edges));
    stability_index(before.into_iter().zip(now).map(|(before, now)| [before, now]))
}

fn shares(scores: &[f32], edges: &[f32]) -> Vec<f64> {
    let mut counts = vec![0usize; edges.len() + 1];
    for score in scores {
        counts[edges.partition_point(|edge| edge <= score)] += 1;
    }
    counts.into_iter().map(|count| count as f64 / scores.len().max(1) as f64).collect()
}

#[cfg(test)]
mod tests {
    use finrank_model::EMPTY_SHARE;

    use super::*;

    #[test]
    fn the_same_scores_have_not_moved_and_others_have_by_the_formula() {
        let before: Vec<f32> = (0..100).map(|score| score as f32 / 100.0).collect();
        let now: Vec<f32> = before.iter().map(|score| if *score < 0.5 { 0.9 } else { *score }).collect();

        assert_eq!(psi(&before, &before, 4), 0.0);
        let halves = (0.5 - EMPTY_SHARE) * (0.5 / EMPTY_SHARE).ln() + 0.5 * 2f64.ln();
        assert!((psi(&before, &now, 2) - halves).abs() < 1e-9, "{}", psi(&before, &now, 2));
    }

    #[test]
    fn equal_scores_are_one_bin() {
        assert_eq!(psi(&[0.5; 50], &[0.5; 20], 10), 0.0);
    }
}
