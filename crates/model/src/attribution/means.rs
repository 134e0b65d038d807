//! The mean customer, from whom explanations start.

use serde::{Deserialize, Serialize};

use crate::{FeatureRows, ModelError, dense::check_finite};

/// The means of what the user tower reads, over the customers of training: nobody's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureMeans {
    /// Of each dense feature.
    dense: Vec<f32>,
    /// Of each product of the vocabulary, the share of customers who hold it.
    held: Vec<f32>,
}

impl FeatureMeans {
    /// Of these rows, whose sparse ids are below `vocabulary`; zeros where there are no rows.
    ///
    /// # Panics
    /// When a sparse id is not below `vocabulary`.
    pub fn of(rows: &FeatureRows, vocabulary: usize) -> Self {
        let count = rows.dense.nrows().max(1) as f64;
        let mean = |sum: f64| (sum / count) as f32;
        let mut holders = vec![0.0; vocabulary];
        for &id in rows.sparse.iter().flatten() {
            holders[id as usize] += 1.0;
        }
        let sums = rows.dense.columns().into_iter().map(|column| column.iter().copied().map(f64::from).sum());
        Self { dense: sums.map(mean).collect(), held: holders.into_iter().map(mean).collect() }
    }

    /// Dense features, then products held.
    pub(super) fn iter(&self) -> impl Iterator<Item = f32> {
        self.dense.iter().chain(&self.held).copied()
    }

    /// # Errors
    /// When they are of a tower of another width or vocabulary, or one is not finite.
    pub(crate) fn check_fit(&self, width: usize, vocabulary: usize) -> Result<(), ModelError> {
        let found = [self.dense.len(), self.held.len()];
        if found != [width, vocabulary] {
            return Err(ModelError::shape("the mean customer", &[width, vocabulary], &found));
        }
        check_finite("the mean customer", self.dense.iter().chain(&self.held))
    }
}
