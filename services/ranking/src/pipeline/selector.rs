//! Selection: which of the scored candidates are offered, in which order.

use std::fmt::Debug;

use super::{
    candidate::{ScoredCandidate, SelectedCandidate},
    wishes::Diversity,
};
use crate::catalogue::Catalogue;

/// How much is to be chosen, and how.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// At most so many.
    pub k: usize,
    /// How much unlikeness counts.
    pub diversity: Diversity,
}

/// Chooses from scored candidates.
pub trait Selector: Debug + Send + Sync {
    /// `k` of them, or all when there are fewer, in the order in which they are offered.
    fn select(
        &self,
        catalogue: &Catalogue,
        candidates: Vec<ScoredCandidate>,
        choice: Choice,
    ) -> Vec<SelectedCandidate>;
}

/// By maximal marginal relevance (Carbonell and Goldstein, 1998): each place goes to the candidate with the largest
/// `(1 - d) · score / best score - d · likeness`, where `d` is the diversity and likeness the largest cosine to what was
/// chosen before. Equals go by score, then in the order of their product ids, which is that of their rows. Without
/// diversity these are the highest scores.
#[derive(Debug)]
pub struct MarginalRelevanceSelector;

impl Selector for MarginalRelevanceSelector {
    fn select(
        &self,
        catalogue: &Catalogue,
        mut candidates: Vec<ScoredCandidate>,
        Choice { k, diversity }: Choice,
    ) -> Vec<SelectedCandidate> {
        candidates.sort_unstable_by(|a, b| b.score.cmp(&a.score).then(a.row.cmp(&b.row)));
        if diversity.get() > 0.0 {
            candidates = diversified(catalogue, &candidates, k, diversity.get());
        }
        candidates.into_iter().take(k).map(ScoredCandidate::selected).collect()
    }
}

/// A candidate that waits to be chosen.
struct Waiting {
    candidate: ScoredCandidate,
    relevance: f64,
    /// The largest cosine to what was chosen.
    likeness: Option<f64>,
}

/// The `k` to choose of candidates in descending order of score. Each choice looks once at whatever waits, so that
/// there are `k · n` cosines.
fn diversified(
    catalogue: &Catalogue,
    candidates: &[ScoredCandidate],
    k: usize,
    diversity: f64,
) -> Vec<ScoredCandidate> {
    let best = candidates.iter().map(|candidate| candidate.score.get()).fold(0.0, f32::max);
    let mut waiting: Vec<Waiting> = candidates
        .iter()
        .map(|&candidate| Waiting {
            candidate,
            relevance: if best > 0.0 { f64::from(candidate.score.get()) / f64::from(best) } else { 0.0 },
            likeness: None,
        })
        .collect();
    let mut chosen = Vec::with_capacity(k.min(candidates.len()));
    while chosen.len() < k {
        let worth = |waiting: &Waiting| {
            (1.0 - diversity) * waiting.relevance - diversity * waiting.likeness.unwrap_or(0.0)
        };
        // The first of equals, since what waits is in descending order of score.
        let next = waiting.iter().enumerate().rev().max_by(|(_, a), (_, b)| worth(a).total_cmp(&worth(b)));
        let Some((place, _)) = next else { break };
        let next = waiting.remove(place);
        for other in &mut waiting {
            let cosine = catalogue.directions().inner_product(next.candidate.row, other.candidate.row).into();
            other.likeness = Some(other.likeness.map_or(cosine, |likeness| likeness.max(cosine)));
        }
        chosen.push(next.candidate);
    }
    chosen
}
