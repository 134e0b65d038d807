//! What a training tells at its end; the command line prints it as a table or as JSON, and an evaluation as a page too.

mod charts;
mod page;

use std::{collections::BTreeMap, path::PathBuf};

use finrank_model::ModelVersion;
use serde::Serialize;

pub use self::page::report_page;
use crate::{
    SplitMethod,
    evaluation::{DriftReport, Evaluation, RankedBy, Segmentation},
    metrics::{Curves, SeedDifference},
};

/// What was read, kept and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatasetReport {
    /// Customers kept.
    pub customers: usize,
    /// Of them, those who hold something.
    pub holders: usize,
    /// Products kept.
    pub products: usize,
    /// Holdings kept.
    pub holdings: usize,
    /// Customers, products and holdings left out because they were there before.
    pub duplicates: usize,
    /// Holdings left out because their product is not in the catalogue.
    pub unknown_products: usize,
    /// Acquisitions that are learned from, each as of its moment; of a split by time.
    pub examples: usize,
    /// Acquisitions left out because nothing was known of the customer before.
    pub unknown_then: usize,
    /// Acquisitions left out because the customer held the product.
    pub repeated: usize,
}

/// One model, trained and registered.
#[derive(Clone, Debug, Serialize)]
pub struct TrainReport {
    /// Names the model.
    pub model_version: ModelVersion,
    /// Where its bundle lies.
    pub bundle_path: PathBuf,
    /// The SHA-256 of the bundle's manifest.
    pub bundle_sha256: String,
    /// The seed.
    pub seed: u64,
    /// Which holdings were hidden.
    pub split: SplitMethod,
    /// What it was trained on.
    pub dataset: DatasetReport,
    /// Epochs that ran.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: usize,
    /// How long learning took, without reading and evaluating.
    pub learning_seconds: f64,
    /// What was measured on the hidden holdings.
    pub evaluation: Evaluation,
}

/// The same measurement with other seeds.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluateReport {
    /// Which holdings were hidden.
    pub split: SplitMethod,
    /// What the models were trained on.
    pub dataset: DatasetReport,
    /// One training each, in the order asked for.
    pub seeds: Vec<SeedReport>,
    /// Each model over all seeds.
    pub summary: Vec<ModelSummary>,
    /// The ranker beside each other model, seed by seed.
    pub comparisons: Vec<Comparison>,
    /// Parts of the customers, over all seeds.
    pub segments: Vec<Segmentation>,
    /// The ranker's scores of the first seed.
    pub curves: Curves,
    /// How far the customers have moved since the newest model was registered; absent when there is none.
    pub drift: Option<DriftReport>,
}

/// One training of an evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// Epochs that ran.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: usize,
    /// How long learning took.
    pub learning_seconds: f64,
    /// The loss of each epoch.
    pub losses: Vec<EpochLoss>,
    /// What was measured on the hidden holdings.
    pub evaluation: Evaluation,
}

/// What an epoch of training came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EpochLoss {
    /// From 1.
    pub epoch: usize,
    /// The mean loss of its steps.
    pub training: f64,
    /// The loss on the validation part, where it is comparable between epochs.
    pub validation: Option<f64>,
}

/// A model's quality over seeds.
#[derive(Clone, Debug, Serialize)]
pub struct ModelSummary {
    /// Which model.
    pub model: RankedBy,
    /// The mean over seeds of the mean reciprocal rank.
    pub mrr: f64,
    /// Its standard deviation between seeds (n − 1); 0 for a single seed.
    pub mrr_sd: f64,
    /// The mean over seeds of hit@1, @3 and @5.
    pub hit_at_1: f64,
    /// See `hit_at_1`.
    pub hit_at_3: f64,
    /// See `hit_at_1`.
    pub hit_at_5: f64,
    /// The mean over seeds of NDCG@5.
    pub ndcg_at_5: f64,
    /// The mean over seeds of every measure, by names like `coverage_at_5`.
    pub measures: BTreeMap<String, f64>,
}

/// The ranker beside another model that was asked the same.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The other model.
    pub beside: RankedBy,
    /// The ranker's lead, by names like `ndcg_at_5`.
    pub measures: BTreeMap<String, SeedDifference>,
}
