//! From what is known of an entity to the numbers that a tower reads.
//!
//! A transform is fitted once, on the training part alone, and travels in the bundle, so that training and
//! serving cannot differ. `fit` is the only place that looks at data; `rows` is a pure function of what was
//! fitted and of one entity, so that the same entity gives the same row in whatever batch.

mod behaviour;
mod categorical;
mod numeric;
mod product;
mod table;
mod text;
mod user;
mod vocabulary;

use serde::{Deserialize, Serialize};

pub use behaviour::FeatureSetTransform;
pub use categorical::CategoricalTransform;
pub use numeric::NumericTransform;
pub use product::ProductTransform;
pub use table::TableTransform;
pub use text::TextTransform;
pub use user::UserTransform;

/// What is decided before the data is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformConfig {
    /// The quantile of the training values below which a number is clipped, 0 to 0.5.
    pub clip_low: f64,
    /// The quantile above which a number is clipped, 0.5 to 1.
    pub clip_high: f64,
    /// The skewness (third standardised moment) of the clipped training values above which a column without
    /// negative values goes through `ln(1 + x)`. An exponential distribution has 2.
    pub log_skewness: f64,
    /// How many categories of a column are told apart, the most frequent ones; the rest is unknown.
    pub max_categories: usize,
    /// In how many training rows a category must stand to be told apart, so that the unknown bucket is
    /// trained on the rare ones.
    pub min_category_rows: usize,
    /// How many buckets the n-grams of a product's texts are hashed into; 0 leaves the texts out.
    pub text_buckets: usize,
}

impl Default for TransformConfig {
    fn default() -> Self {
        Self {
            clip_low: 0.005,
            clip_high: 0.995,
            log_skewness: 2.0,
            max_categories: 64,
            min_category_rows: 2,
            text_buckets: 256,
        }
    }
}

/// Cuts the front off a row that is being filled column by column.
fn take<'a>(rest: &mut &'a mut [f32], width: usize) -> &'a mut [f32] {
    let (front, back) = std::mem::take(rest).split_at_mut(width);
    *rest = back;
    front
}
