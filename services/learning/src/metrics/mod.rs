//! What is measured: how high the hidden holding ranks, and how well a score tells yes from no.

mod classification;
mod ranking;

pub use classification::{
    ClassificationQuality, accuracy, area_under_roc, average_precision, log_loss, majority_share,
};
pub use ranking::{AtK, CUTOFFS, RankingQuality, mean_rank};
