//! What a caller decides about training the scorer alone; every default is one that works.

use std::{fmt::Display, path::PathBuf};

use finrank_model::TransformConfig;
use serde::{Deserialize, Serialize};

use crate::{CalibrationMethod, LearningError, Result};

/// With the default step size, a hundredth of each weight a step.
const MAX_DECAY: f64 = 10.0;

/// What a scorer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScorerKind {
    /// 128 ReLU, 64 ReLU, 1.
    #[default]
    Mlp,
    /// `σ(W·x + b)`. Over two embeddings it adds what the customer likes to what the product is liked, and so
    /// ranks the same for everybody; it is there to be compared with.
    Linear,
}

impl ScorerKind {
    /// The widths of the hidden layers.
    pub fn hidden(self) -> Vec<usize> {
        match self {
            Self::Mlp => vec![128, 64],
            Self::Linear => Vec::new(),
        }
    }
}

/// Which rows are held out.
#[derive(Clone, Debug, PartialEq)]
pub enum Division {
    /// A share of them, drawn with the seed; of each label alike, if stratified.
    HoldOut {
        /// Above 0 and below 1.
        share: f64,
        /// Whether both parts keep the label's proportion.
        stratified: bool,
    },
    /// Each of so many parts in turn: those of scikit-learn's
    /// `StratifiedKFold(folds, shuffle=True, random_state=seed)`.
    Folds(usize),
    /// For each value of this column, the rows that have it. The column itself is no feature.
    FoldColumn(String),
}

/// How cells become features.
#[derive(Clone, Debug, PartialEq)]
pub enum Preparation {
    /// By a transform that is fitted on the training rows.
    Fitted(TransformConfig),
    /// As they are: every cell must be a number. For embeddings, whose network is to score embeddings.
    AsIs,
}

/// How a network's weights are learned.
#[derive(Clone, Debug, PartialEq)]
pub struct ScorerLearning {
    /// The widths of the hidden layers; none for the linear scorer.
    pub hidden: Vec<usize>,
    /// Passes over the rows, at most.
    pub max_epochs: usize,
    /// Epochs without a better validation loss after which training stops.
    pub patience: usize,
    /// Adam's step size at the start; it falls to a twentieth by a cosine.
    pub learning_rate: f64,
    /// AdamW's decay of weights on 1,000 rows; biases do not decay. With more rows it falls in proportion, as the
    /// weight of a prior does, and with fewer it is 10 at most: a table of a few thousand rows is soon known by heart.
    pub weight_decay: f64,
    /// The share of features dropped in a step.
    pub input_dropout: f32,
    /// The share of hidden units dropped in a step.
    pub dropout: f32,
}

impl Default for ScorerLearning {
    fn default() -> Self {
        Self::of(ScorerKind::default())
    }
}

impl ScorerLearning {
    /// What suits a scorer of this kind on a few thousand rows.
    pub fn of(kind: ScorerKind) -> Self {
        let (learning_rate, weight_decay) = match kind {
            ScorerKind::Mlp => (1e-3, 40.0),
            // One layer that begins at 0 has further to go.
            ScorerKind::Linear => (5e-3, 4.0),
        };
        Self {
            hidden: kind.hidden(),
            max_epochs: 40,
            patience: 8,
            learning_rate,
            weight_decay,
            input_dropout: 0.2,
            dropout: 0.3,
        }
    }

    /// The decay on so many rows.
    pub(super) fn decay_on(&self, rows: usize) -> f64 {
        (self.weight_decay * 1_000.0 / rows.max(1) as f64).min(MAX_DECAY)
    }

    pub(super) fn check(&self) -> Result<()> {
        let sizes = self.hidden.iter().map(|&width| ("hidden", width));
        let sizes = sizes.chain([("max_epochs", self.max_epochs), ("patience", self.patience)]);
        if let Some((name, _)) = sizes.into_iter().find(|&(_, size)| size == 0) {
            return Err(setting(name, &0, "it must be at least 1"));
        }
        let shares = [("input_dropout", self.input_dropout), ("dropout", self.dropout)];
        if let Some((name, share)) = shares.into_iter().find(|(_, share)| !(0.0..1.0).contains(share)) {
            return Err(setting(name, &share, "it must be from 0 to below 1"));
        }
        let rates = [("learning_rate", self.learning_rate), ("weight_decay", self.weight_decay)];
        match rates.into_iter().find(|(_, rate)| !(rate.is_finite() && *rate >= 0.0)) {
            Some((name, rate)) => Err(setting(name, &rate, "it must be finite and not negative")),
            None => Ok(()),
        }
    }
}

/// What `train_scorer` needs.
#[derive(Clone, Debug)]
pub struct TrainScorerConfig {
    /// A CSV file with a header.
    pub csv: PathBuf,
    /// The column to predict; it holds two distinct values.
    pub label: String,
    /// The seed of the division, the first weights and the batches.
    pub seed: u64,
    /// Which rows are held out.
    pub division: Division,
    /// How features are made.
    pub preparation: Preparation,
    /// How the weights are learned.
    pub learning: ScorerLearning,
    /// Networks whose logits are averaged. Each leaves another part of the training rows out, which decides when
    /// it stops, and what it says of them is what the calibration is fitted on.
    pub members: usize,
    /// What makes scores probabilities.
    pub calibration: CalibrationMethod,
    /// Where to write a network that is trained on all rows after the measurement, if anywhere.
    pub save: Option<PathBuf>,
}

impl TrainScorerConfig {
    /// The defaults for a file and a label: a stratified 80/20 split with seed 42.
    pub fn new(csv: impl Into<PathBuf>, label: impl Into<String>) -> Self {
        Self {
            csv: csv.into(),
            label: label.into(),
            seed: 42,
            division: Division::HoldOut { share: 0.2, stratified: true },
            preparation: Preparation::Fitted(TransformConfig::default()),
            learning: ScorerLearning::default(),
            members: 5,
            calibration: CalibrationMethod::default(),
            save: None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        self.learning.check()?;
        if self.members == 0 {
            return Err(setting("members", &0, "it must be at least 1"));
        }
        match self.division {
            Division::HoldOut { share, .. } if share <= 0.0 || share >= 1.0 || share.is_nan() => {
                Err(setting("test_share", &share, "it must be above 0 and below 1"))
            }
            Division::Folds(folds) if folds < 2 => Err(setting("folds", &folds, "it must be at least 2")),
            _ => Ok(()),
        }
    }
}

fn setting(name: &'static str, value: &dyn Display, reason: &'static str) -> LearningError {
    LearningError::Setting { name, value: value.to_string(), reason }
}
