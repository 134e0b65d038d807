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
        let mut frequent: Vec<(&str, usize)> =
            rows_of.into_iter().filter(|&(_, rows)| rows >= config.min_category_rows).collect();
        frequent.sort_by_key(|&(category, rows)| (Reverse(rows), category));
        let kept = frequent.into_iter().take(config.max_categories);
        Self { categories: kept.map(|(category, _)| category.to_owned()).collect(), missing_bucket }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(values: &[Option<&str>], config: &TransformConfig) -> CategoricalTransform {
        CategoricalTransform::fit(values.iter().copied(), config)
    }

    fn features(column: &CategoricalTransform, value: Option<&str>) -> Vec<f32> {
        let mut features = vec![f32::NAN; column.width()];
        column.write(value, &mut features);
        features
    }

    const REGIONS: [Option<&str>; 6] =
        [Some("north"), Some("south"), Some("north"), Some("south"), Some("north"), Some("atlantis")];

    #[test]
    fn each_known_category_has_a_feature() {
        let column = fit(&REGIONS, &TransformConfig::default());

        assert_eq!(features(&column, Some("north")), [1.0, 0.0, 0.0]);
        assert_eq!(features(&column, Some("south")), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn an_unknown_category_shares_the_bucket_that_the_rare_ones_trained() {
        let column = fit(&REGIONS, &TransformConfig::default());

        assert_eq!(features(&column, Some("moon")), [0.0, 0.0, 1.0]);
        assert_eq!(features(&column, Some("atlantis")), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn missing_has_a_bucket_of_its_own_where_training_saw_it() {
        let with_gaps = [&REGIONS[..], &[None]].concat();

        let column = fit(&with_gaps, &TransformConfig::default());

        assert_eq!(features(&column, None), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(features(&fit(&REGIONS, &TransformConfig::default()), None), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn keeps_the_most_frequent_categories_and_of_equals_the_first_by_name() {
        let values = ["d", "c", "b", "a", "d"].map(Some);
        let config = TransformConfig { max_categories: 2, min_category_rows: 1, ..Default::default() };

        let column = fit(&values, &config);

        assert_eq!(features(&column, Some("a")), [1.0, 0.0, 0.0]);
        assert_eq!(features(&column, Some("d")), [0.0, 1.0, 0.0]);
        assert_eq!(features(&column, Some("b")), [0.0, 0.0, 1.0]);
    }
}
