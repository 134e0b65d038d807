//! What a training of the scorer alone tells at its end.

use std::path::PathBuf;

use finrank_model::Calibration;
use serde::Serialize;

use crate::metrics::{CalibrationQuality, ClassificationQuality};

/// The scorer alone, trained on a table and measured on rows held out.
#[derive(Clone, Debug, Serialize)]
pub struct ScorerReport {
    /// The column that was predicted.
    pub label: String,
    /// The value that counts as yes.
    pub positive: String,
    /// The value that counts as no.
    pub negative: String,
    /// Rows of the table.
    pub rows: usize,
    /// Columns read, without the label.
    pub columns: usize,
    /// The widths of the hidden layers of each averaged network.
    pub hidden: Vec<usize>,
    /// Networks that were averaged.
    pub members: usize,
    /// One training each; one, when a share of the rows was held out.
    pub folds: Vec<FoldReport>,
    /// The mean over folds.
    pub mean: FoldMean,
    /// Where the network that was trained on all rows was written, if anywhere.
    pub saved: Option<PathBuf>,
}

/// One part held out.
#[derive(Clone, Debug, Serialize)]
pub struct FoldReport {
    /// What it is called: its number from 1, or the value of the fold column.
    pub fold: String,
    /// Rows trained on.
    pub training_rows: usize,
    /// Features made of the columns.
    pub features: usize,
    /// Of each averaged network: the epoch whose weights were kept, from 1.
    pub best_epochs: Vec<usize>,
    /// How long learning took.
    pub learning_seconds: f64,
    /// What was fitted to make scores probabilities.
    pub calibration: Calibration,
    /// Training rows that it was fitted on, each scored by a network that had not seen it.
    pub calibration_rows: usize,
    /// What was measured on the rows held out, after calibration.
    pub held_out: ClassificationQuality,
    /// How far scores are probabilities, on the same rows.
    pub probabilities: CalibrationQuality,
}

/// Figures over folds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FoldMean {
    /// The share of rows on the right side of 0.5.
    pub accuracy: f64,
    /// The share of the larger class.
    pub majority: f64,
    /// The area under the ROC curve; absent when a fold has none.
    pub auc: Option<f64>,
    /// Average precision; absent when a fold has none.
    pub average_precision: Option<f64>,
    /// In nats.
    pub log_loss: f64,
    /// Before calibration.
    pub brier_before: f64,
    /// After calibration.
    pub brier: f64,
    /// The expected calibration error before calibration.
    pub calibration_error_before: f64,
    /// After calibration.
    pub calibration_error: f64,
}

impl FoldMean {
    /// The mean of at least one fold.
    pub(super) fn of(folds: &[FoldReport]) -> Self {
        let mean = |figure: &dyn Fn(&FoldReport) -> f64| {
            folds.iter().map(figure).sum::<f64>() / folds.len().max(1) as f64
        };
        let mean_of_all = |figure: &dyn Fn(&FoldReport) -> Option<f64>| {
            let figures: Option<Vec<f64>> = folds.iter().map(figure).collect();
            figures.map(|figures| figures.iter().sum::<f64>() / figures.len().max(1) as f64)
        };
        Self {
            accuracy: mean(&|fold| fold.held_out.accuracy),
            majority: mean(&|fold| fold.held_out.majority),
            auc: mean_of_all(&|fold| fold.held_out.auc),
            average_precision: mean_of_all(&|fold| fold.held_out.average_precision),
            log_loss: mean(&|fold| fold.held_out.log_loss),
            brier_before: mean(&|fold| fold.probabilities.before.brier),
            brier: mean(&|fold| fold.probabilities.after.brier),
            calibration_error_before: mean(&|fold| fold.probabilities.before.calibration_error),
            calibration_error: mean(&|fold| fold.probabilities.after.calibration_error),
        }
    }
}
