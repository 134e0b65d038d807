//! What a network learns from: numbers, and a yes or no for each row of them.

use ndarray::{Array2, Axis};

/// Features and what is true.
#[derive(Clone, Debug)]
pub struct LabelledRows {
    /// `[n, width]`.
    pub features: Array2<f32>,
    /// As many as rows.
    pub labels: Vec<bool>,
}

impl LabelledRows {
    /// Some of the rows, in the order of their positions.
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        Self {
            features: self.features.select(Axis(0), rows),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
        }
    }
}
