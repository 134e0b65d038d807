//! The promotion policy: what a model must show before it is served, and what it may not know at all.
//!
//! One versioned TOML file, read by [`Policy::parse`]. Training refuses what the policy forbids; the gates hold a model to
//! the rest before it is promoted. The shipped one is [`DEFAULT_POLICY`].

mod file;

use std::time::Duration;

use serde::Deserialize;

use crate::{AttributeName, ProductClass, Sha256Digest};

/// The policy that holds unless another file is named.
pub const DEFAULT_POLICY: &str = include_str!("default.toml");

/// Everything that one file states. Made by [`Policy::parse`]: every number is in its range.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// The file's SHA-256: which policy this is.
    pub digest: Sha256Digest,
    /// The file, word for word.
    pub text: String,
    /// For how long a check of the gates may be promoted on.
    pub valid_for: Duration,
    /// Of fewer customers nothing is said.
    pub min_customers: usize,
    /// How good.
    pub quality: QualityBound,
    /// How far scores may be from probabilities.
    pub calibration: CalibrationBound,
    /// How alike groups of people must be treated.
    pub fairness: FairnessBound,
    /// How far scores may move.
    pub drift: DriftBound,
    /// How groups are made of attributes.
    pub protected: Vec<ProtectedAttribute>,
    /// What may not be known.
    pub forbidden: Vec<Forbidden>,
}

/// How good a model must be, beside the one that is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QualityBound {
    /// How far below zero the lower end of the difference's interval may be, in mean reciprocal rank.
    pub margin: f64,
    /// Of the interval, between 0 and 1.
    pub confidence: f64,
    /// How often customers are drawn with replacement.
    pub resamples: usize,
}

/// How far scores may be from probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationBound {
    /// The largest expected calibration error.
    pub max_error: f64,
    /// Bins of equally many scores.
    pub bins: usize,
}

/// How alike groups of people must be treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FairnessBound {
    /// How long a list is.
    pub places: usize,
    /// What people are selected for.
    pub selected_for: SelectedFor,
    /// The smallest selection rate over the largest.
    pub min_selection_ratio: f64,
    /// The largest difference of true positive rates.
    pub max_true_positive_gap: f64,
    /// The largest difference of mean score less share held.
    pub max_calibration_gap: f64,
}

/// What people are selected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectedFor {
    /// Any product of a class.
    ProductClass,
    /// One product.
    Product,
}

/// How far scores may move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftBound {
    /// The largest population stability index.
    pub max_psi: f64,
    /// Bins of equally many scores of the model that is served.
    pub bins: usize,
}

/// How groups are made of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct ProtectedAttribute {
    /// Of customers.
    pub attribute: AttributeName,
    /// Where one group of numbers ends and the next begins, ascending; empty for an attribute whose values are groups.
    pub bands: Vec<f64>,
}

/// What a model of some products may not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// Of which products.
    pub product_classes: Vec<ProductClass>,
    /// Names of customers' attributes, and of features made of them.
    pub features: Vec<String>,
    /// Why, for whoever is refused.
    pub reason: String,
}

/// A feature that a model reads and may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// What it reads.
    pub feature: String,
    /// The products that it may not be known for.
    pub product_class: ProductClass,
    /// Why not.
    pub reason: String,
}

impl Policy {
    /// Which of these features a model that ranks products of these classes may not read. A feature of a view,
    /// `view:feature`, counts by its own name.
    pub fn breaches<'a>(
        &self,
        features: impl IntoIterator<Item = &'a str>,
        classes: &[ProductClass],
    ) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for feature in features {
            let name = feature.rsplit(':').next().unwrap_or(feature);
            for forbidden in &self.forbidden {
                let class = classes.iter().find(|class| forbidden.product_classes.contains(class));
                if let Some(&product_class) = class
                    && forbidden.features.iter().any(|forbidden| forbidden == name)
                {
                    let (feature, reason) = (feature.to_owned(), forbidden.reason.clone());
                    breaches.push(Breach { feature, product_class, reason });
                }
            }
        }
        breaches
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::parse(DEFAULT_POLICY).expect("a test reads the shipped policy")
    }
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { feature, product_class, reason } = self;
        write!(f, "{feature} may not be used where {} is ranked: {reason}", product_class.as_str())
    }
}
