//! Recording: every decision leaves a trace by which it can be asked about.

use std::fmt::Debug;

use tracing::info;

use super::decision::Decision;

/// Takes note of decisions.
pub trait Recorder: Debug + Send + Sync {
    /// Takes note of one.
    fn record(&self, decision: &Decision);
}

/// One structured line a decision: what decided, and how much was offered to a customer, whom it names by a keyed hash.
#[derive(Debug)]
pub struct LogRecorder;

impl Recorder for LogRecorder {
    fn record(&self, decision: &Decision) {
        let generation = &decision.generation;
        info!(
            decision_id = %decision.decision_id,
            customer = %decision.pseudonym,
            model_version = %generation.model_version,
            embedding_space = %generation.embedding_space,
            index_generation = generation.run_id,
            ranked_by = ?decision.ranked_by,
            degradation = ?decision.degradation,
            policy = %decision.policy.digest(),
            scenario = ?decision.scenario,
            k = decision.k,
            eligible = decision.eligible.count(),
            human_review = decision.eligible.human_review(),
            candidates = decision.candidates.len(),
            offered = decision.items.len(),
            "decided"
        );
    }
}

/// Takes no note: a decision that is made again is none.
#[derive(Debug)]
pub struct SilentRecorder;

impl Recorder for SilentRecorder {
    fn record(&self, _decision: &Decision) {}
}
