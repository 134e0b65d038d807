//! The scorer alone, on any labelled table.
use crate::{Result, ScorerReport, TrainScorerConfig, TrainObserver};
/// Stub.
pub fn train_scorer(_config: &TrainScorerConfig, _observer: &mut dyn TrainObserver) -> Result<ScorerReport> { Err(crate::LearningError::NothingHidden("x")) }
