//! Selection: which of the scored candidates are offered, in which order.

use std::fmt::Debug;

use super::candidate::{ScoredCandidate, SelectedCandidate};

/// Chooses from scored candidates.
pub trait Selector: Debug + Send + Sync {
    /// At most `k` of them, best first.
    fn select(&self, candidates: Vec<ScoredCandidate>, k: usize) -> Vec<SelectedCandidate>;
}

/// The highest scores; equal ones in the order of their product ids, which is that of their rows.
#[derive(Debug)]
pub struct TopSelector;

impl Selector for TopSelector {
    fn select(&self, mut candidates: Vec<ScoredCandidate>, k: usize) -> Vec<SelectedCandidate> {
        candidates.sort_unstable_by(|a, b| b.score.cmp(&a.score).then(a.row.cmp(&b.row)));
        candidates.into_iter().take(k).map(ScoredCandidate::selected).collect()
    }
}
