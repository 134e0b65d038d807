//! What each stage did and how long it took: always for metrics, and for whoever asks. No stage knows that it is watched.

use std::time::{Duration, Instant};

/// The stages of a recommendation, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the catalogue to what may be offered.
    Eligibility,
    /// From that to the candidates worth scoring.
    Retrieval,
    /// The scorer's word on each.
    Scoring,
    /// From candidates to the products to offer, in their order.
    Selection,
    /// Each of these judged once more.
    Recheck,
}

impl Stage {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eligibility => "eligibility",
            Self::Retrieval => "retrieval",
            Self::Scoring => "scoring",
            Self::Selection => "selection",
            Self::Recheck => "recheck",
        }
    }
}

/// What one stage did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// Which.
    pub stage: Stage,
    /// Products that it looked at.
    pub entered: usize,
    /// Those that it passed on.
    pub left: usize,
    /// How long it took.
    pub took: Duration,
}

/// Runs stages one after the other, and keeps a report of each.
#[derive(Debug, Default)]
pub(super) struct Watch(Vec<StageReport>);

impl Watch {
    /// Runs one stage on `entered` products; `left` counts those that it passes on.
    pub(super) fn stage<T>(
        &mut self,
        stage: Stage,
        entered: usize,
        run: impl FnOnce() -> T,
        left: impl FnOnce(&T) -> usize,
    ) -> T {
        let started = Instant::now();
        let made = run();
        let took = started.elapsed();
        let left = left(&made);
        metrics::histogram!("finrank_ranking_stage_seconds", "stage" => stage.name()).record(took);
        metrics::counter!("finrank_ranking_stage_entered_total", "stage" => stage.name())
            .increment(entered as u64);
        metrics::counter!("finrank_ranking_stage_left_total", "stage" => stage.name()).increment(left as u64);
        self.0.push(StageReport { stage, entered, left, took });
        made
    }

    /// What the stages did, in the order in which they ran.
    pub(super) fn reports(self) -> Vec<StageReport> {
        self.0
    }
}
