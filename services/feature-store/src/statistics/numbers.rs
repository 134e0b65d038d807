//! The distribution of any number of numbers in bounded memory: a DDSketch, whose quantiles are right to one in a
//! hundred and whose merging is exact (Masson, Rim, Lee: DDSketch, VLDB 2019).

use std::fmt;

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

/// At least one number.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Numbers(DDSketch);

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers around {:?}", self.0.count(), self.quantile(0.5))
    }
}

impl Numbers {
    pub(super) fn of(first: f64) -> Self {
        let mut sketch = DDSketch::new(Config::defaults());
        sketch.add(first);
        Self(sketch)
    }

    pub(super) fn add(&mut self, number: f64) {
        self.0.add(number);
    }

    pub(super) fn merge(mut self, others: &Self) -> Self {
        // Refuses only a sketch of another accuracy, and all are of one.
        let _ = self.0.merge(&others.0);
        self
    }

    /// Their mean.
    pub(crate) fn mean(&self) -> Option<f64> {
        Some(self.0.sum()? / self.0.count() as f64)
    }

    /// The number below which a share of them lies; the smallest and the largest exactly.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        if share <= 0.0 {
            return self.0.min();
        }
        if share >= 1.0 {
            return self.0.max();
        }
        self.0.quantile(share).ok().flatten()
    }
}
