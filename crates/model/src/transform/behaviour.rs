//! Values of feature views as features: a column for each of a set, fitted as an attribute's column is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{TransformConfig, table::ColumnKind, take};
use crate::features::{FeatureRef, FeatureRow, FeatureSet};

/// Fitted columns, in the order of the set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fitted", into = "Fitted")]
pub struct FeatureSetTransform {
    set: Arc<FeatureSet>,
    columns: Vec<ColumnKind>,
}

impl FeatureSetTransform {
    /// Fits a column for each feature of the set that the rows are of; none if they are of no set.
    pub fn fit(rows: &[&FeatureRow], config: &TransformConfig) -> Option<Self> {
        let set = rows.first()?.set()?.clone();
        let columns = (0..set.features.len()).map(|place| {
            let values: Vec<_> = rows.iter().map(|row| row.value(place)).collect();
            ColumnKind::fit(&values, config)
        });
        Some(Self { columns: columns.collect(), set })
    }

    /// What it reads.
    pub fn set(&self) -> &Arc<FeatureSet> {
        &self.set
    }

    /// How many dense features it gives.
    pub fn width(&self) -> usize {
        self.columns.iter().map(ColumnKind::width).sum()
    }

    /// What it reads, in order, each with how many features it gives.
    pub(super) fn widths(&self) -> impl Iterator<Item = (&FeatureRef, usize)> {
        self.set.names().zip(self.columns.iter().map(ColumnKind::width))
    }

    /// Fills `features`, which is as long as [`FeatureSetTransform::width`].
    pub(super) fn write(&self, row: &FeatureRow, features: &mut [f32]) {
        let mut rest = features;
        for (place, column) in self.columns.iter().enumerate() {
            column.write(row.value(place), take(&mut rest, column.width()));
        }
    }
}

/// As it stands in a file, where set and columns might not be of one length.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fitted {
    set: FeatureSet,
    columns: Vec<ColumnKind>,
}

impl TryFrom<Fitted> for FeatureSetTransform {
    type Error = String;

    fn try_from(Fitted { set, columns }: Fitted) -> Result<Self, String> {
        if set.features.len() != columns.len() {
            return Err(format!("{} features have {} columns", set.features.len(), columns.len()));
        }
        Ok(Self { set: Arc::new(set), columns })
    }
}

impl From<FeatureSetTransform> for Fitted {
    fn from(transform: FeatureSetTransform) -> Self {
        Self { set: (*transform.set).clone(), columns: transform.columns }
    }
}
