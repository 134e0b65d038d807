//! What is measured: how high the hidden holding ranks, how well a score tells yes from no, how far it can be taken at
//! its word, and how sure all that is.

mod answers;
mod bootstrap;
mod classification;
mod comparison;
mod curves;
mod probability;
mod ranking;

pub use answers::{Answers, LIST_LENGTH, mean_rank};
pub(crate) use answers::{best, rank_of};
pub use bootstrap::{Interval, Intervals, intervals};
pub use classification::{
    ClassificationQuality, ScoredRows, accuracy, area_under_roc, average_precision, log_loss, majority_share,
};
pub use comparison::{SeedDifference, standard_deviation};
pub use curves::{CALIBRATION_BINS, Curves, Point, ReliabilityBin, SCORE_BINS};
pub use probability::{CalibrationQuality, ProbabilityQuality};
pub use ranking::{AtK, CUTOFFS, RankedAnswers, RankingQuality};
