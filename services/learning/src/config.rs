//! What a caller decides about a training; every default is one that works.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, thread::available_parallelism};

use chrono::{DateTime, Utc};
use finrank_model::{
    AttributeName, DIMENSION, ModelVersion, ProductId, TransformConfig,
    features::{Definitions, ProtectedFeatures},
    policy::Policy,
};
use serde::{Deserialize, Serialize};

use crate::{CalibrationMethod, ScorerKind};

/// Which holding of a customer is hidden to be found again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitMethod {
    /// Any one, drawn with the seed, of each customer who holds two or more, as
    /// `numpy.random.default_rng(seed)` chooses of one customer after the other.
    #[default]
    LeaveOneOut,
    /// The one acquired last, of each customer who holds two or more and acquired one after all others.
    LeaveLastOut,
    /// What was acquired from a moment on; training sees what was acquired before, each as of its moment.
    Time(TimeSplit),
}

/// How a split by time is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeSplit {
    /// Acquisitions before this moment are learned from; absent for the first four fifths of them.
    pub at: Option<DateTime<Utc>>,
    /// What counts as known at the moment of an example.
    pub known: Knowledge,
}

/// What counts as known at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knowledge {
    /// What had been written by then: neither late corrections nor backfills reach into the past.
    #[default]
    Then,
    /// What was written before this moment, and true then: for data that was imported after the fact.
    By(DateTime<Utc>),
}

/// What `train` needs beside the store.
#[derive(Clone, Debug)]
pub struct TrainConfig {
    /// Bundles are written to `<models_dir>/<model_version>`.
    pub models_dir: PathBuf,
    /// Names the model; when absent, a name is made of the time and the seed.
    pub model_version: Option<ModelVersion>,
    /// When the model counts as trained; when absent, now. The same data, seed, version and time give the
    /// same bundle, byte for byte.
    pub trained_at: Option<DateTime<Utc>>,
    /// The seed of the split, the first weights and every later draw.
    pub seed: u64,
    /// Which holdings are hidden.
    pub split: SplitMethod,
    /// What a model of the catalogue's products may not know.
    pub policy: Policy,
    /// Attributes of customers that the model is to know nothing of.
    pub leave_out: Vec<AttributeName>,
    /// How features are made.
    pub transform: TransformConfig,
    /// How the weights are learned.
    pub learning: LearningConfig,
    /// What declares the features of `learning.feature_service`; needed if one is named.
    pub definitions: Option<Arc<Definitions>>,
    /// Where training keeps what it needs to go on after it was killed, if it does.
    pub checkpoint: Option<CheckpointConfig>,
}

/// Where a training's checkpoint lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// The file, written anew after each epoch and removed at the end.
    pub file: PathBuf,
    /// Whether to go on from what is there; it must be of the same settings and data.
    pub resume: bool,
}

impl TrainConfig {
    /// The defaults, with bundles under `models_dir`.
    pub fn new(models_dir: impl Into<PathBuf>) -> Self {
        Self {
            models_dir: models_dir.into(),
            model_version: None,
            trained_at: None,
            seed: 0,
            split: SplitMethod::default(),
            policy: Policy::default(),
            leave_out: Vec::new(),
            transform: TransformConfig::default(),
            learning: LearningConfig::default(),
            definitions: None,
            checkpoint: None,
        }
    }
}

/// What `evaluate` needs beside the store.
#[derive(Clone, Debug)]
pub struct EvaluateConfig {
    /// One training each.
    pub seeds: Vec<u64>,
    /// Which holdings are hidden.
    pub split: SplitMethod,
    /// The order in which products count when one of a customer's is drawn; when empty, that of their ids.
    pub product_order: Vec<ProductId>,
    /// Attributes by which customers are divided and measured apart, beside the number of their holdings.
    pub segments: Vec<AttributeName>,
    /// Seeds that are trained at once, each on a thread of its own; what is measured does not depend on it.
    pub at_once: NonZeroUsize,
    /// How features are made.
    pub transform: TransformConfig,
    /// How the weights are learned.
    pub learning: LearningConfig,
    /// What declares the features of `learning.feature_service`; needed if one is named.
    pub definitions: Option<Arc<Definitions>>,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            seeds: (0..5).collect(),
            split: SplitMethod::default(),
            product_order: Vec::new(),
            segments: Vec::new(),
            at_once: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            transform: TransformConfig::default(),
            learning: LearningConfig::default(),
            definitions: None,
        }
    }
}

/// How the weights of towers and scorer are learned.
///
/// The numbers were chosen on Caravan with hiding seeds 100 to 102, which no reported figure uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearningConfig {
    /// Components of an embedding.
    pub dimension: usize,
    /// The width of a tower's hidden layer.
    pub hidden: usize,
    /// Steps of the optimiser to plan for; few customers mean more passes over them.
    pub steps: usize,
    /// Passes over the customers, at least, however many they are.
    pub min_epochs: usize,
    /// Passes over the customers, at most, however few they are.
    pub max_epochs: usize,
    /// Epochs without a better validation loss after which training stops.
    pub patience: usize,
    /// Customers in a step, at most.
    pub batch_size: usize,
    /// Adam's step size at the start; it falls to a twentieth by a cosine.
    pub learning_rate: f64,
    /// AdamW's decay of weights; biases do not decay.
    pub weight_decay: f64,
    /// The share of a user tower's hidden units dropped in a step.
    pub dropout: f32,
    /// The share of customers whose attributes are dropped in a step, so that the history must do without:
    /// a few thousand customers are soon known by heart.
    pub attribute_dropout: f32,
    /// The share of products whose own vector is dropped in a step, so that a product that training never
    /// saw can be placed by what is known of it.
    pub identity_dropout: f32,
    /// The share of the old value that the averaged weights keep at a step; the averages become the model.
    pub average_decay: f64,
    /// The weight of the towers' softmax loss beside the scorer's, which is 1.
    pub tower_loss: f64,
    /// The weight of the scorer's cross-entropy, which makes its scores probabilities.
    pub cross_entropy: f64,
    /// Catalogues up to this size are contrasted whole, larger ones by a sample of this size a step.
    pub sampled_products: usize,
    /// The same for the scorer, whose cost per pair is higher.
    pub scored_products: usize,
    /// The share of customers whose holdings only decide when to stop.
    pub validation_share: f64,
    /// Whether training imagines the hidden holding, see `trainer::examples`. Without it histories look
    /// one product shorter than they are.
    pub impute_hidden: bool,
    /// The share of epochs before hidden holdings are imagined: what an unlearned model imagines misleads.
    pub impute_after: f64,
    /// The feature service whose features the user tower reads beside attributes and holdings, as of each example;
    /// absent for none. It needs a split by time: of a holding without a moment nobody can say what was known before.
    pub feature_service: Option<String>,
    /// What the features are read for; every view of the service must serve it.
    pub feature_purpose: String,
    /// Whether the service may have features that people may not be told apart by.
    pub protected_features: ProtectedFeatures,
    /// What the scorer is: `mlp` or `linear`.
    pub scorer: ScorerKind,
    /// What makes its scores probabilities, fitted on the customers who decide when to stop: `none`, `platt` or
    /// `isotonic`.
    pub calibration: CalibrationMethod,
}

impl Default for LearningConfig {
    fn default() -> Self {
        Self {
            dimension: DIMENSION,
            hidden: 64,
            steps: 640,
            min_epochs: 10,
            max_epochs: 100,
            patience: 12,
            batch_size: 256,
            learning_rate: 4e-3,
            weight_decay: 1e-2,
            dropout: 0.2,
            attribute_dropout: 0.5,
            identity_dropout: 0.1,
            average_decay: 0.98,
            tower_loss: 0.6,
            cross_entropy: 0.2,
            sampled_products: 1_024,
            scored_products: 64,
            validation_share: 0.1,
            impute_hidden: true,
            impute_after: 0.3,
            feature_service: None,
            feature_purpose: "marketing".to_owned(),
            protected_features: ProtectedFeatures::default(),
            scorer: ScorerKind::default(),
            calibration: CalibrationMethod::default(),
        }
    }
}
