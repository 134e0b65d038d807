//! One categorical column as one-hot features, with a bucket for what training did not tell apart.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{TransformConfig, vocabulary::Vocabulary};

/// A fitted categorical column: one feature per known category, one for unknown, and one for missing where
/// training saw missing values (elsewhere missing counts as unknown).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoricalTransform {
    categories: Vocabulary<String>,
    missing_bucket: bool,
}

impl CategoricalTransform {
    /// Fits the column to the training values: keeps the most frequent categories, of equally frequent ones
    /// the first by name.
    pub fn fit<'a>(values: impl IntoIterator<Item = Option<&'a str>>, config: &TransformConfig) -> Self {
        let mut missing_bucket = false;
        let mut rows_of: BTreeMap<&str, usize> = BTreeMap::new();
        for value in values {
            match value {
                Some(category) => *rows_of.entry(category).or_default() += 1,
                None => missing_bucket = true,
            }
        }
        let mut frequent: Vec<(&str, usize)> = rows_of
            .into_iter()
            .filter(|&(_, rows)| rows >= config.min_category_rows)
            .collect();
        frequent.sort_by_key(|&(category, rows)| (Reverse(rows), category));
        let kept = frequent.into_iter().take(config.max_categories);
        Self {
            categories: kept.map(|(category, _)| category.to_owned()).collect(),
            missing_bucket,
        }
    }

    /// How many features it gives.
    pub fn width(&self) -> usize {
        self.categories.len() + 1 + usize::from(self.missing_bucket)
    }

    /// Fills `features`, which is as long as [`CategoricalTransform::width`].
    pub fn write(&self, value: Option<&str>, features: &mut [f32]) {
        features.fill(0.0);
        features[self.bucket(value)] = 1.0;
    }

    fn bucket(&self, value: Option<&str>) -> usize {
        let unknown = self.categories.len();
        match value {
            Some(category) => self.categories.position(category).unwrap_or(unknown),
            None if self.missing_bucket => unknown + 1,
            None => unknown,
        }
    }
}
