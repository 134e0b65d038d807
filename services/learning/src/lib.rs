//! From what customers hold to a model: training sets, candle training, evaluation, and the bundle's
//! registration.
//!
//! [`train`] makes and registers one model; [`evaluate`] repeats the measurement over seeds and registers
//! nothing; [`train_scorer`] trains the scorer alone on any labelled table, and [`import_model`] takes one that was
//! trained elsewhere; [`gates`] decide whether a model may be served. It knows nothing of gRPC, of
//! Faiss, or of the services that use its models: it leaves a bundle and a row in Postgres.
//!
//! A training reads: [`dataset`] (clean, or by [`timeline`]) → [`split`] (hide one holding per customer) → `trainer` (towers and
//! scorer) → `evaluation` (beside [`baselines`], by [`metrics`]) → bundle.

pub mod baselines;
mod calibrate;
mod card;
mod config;
pub mod dataset;
mod error;
mod evaluate;
mod evaluation;
pub mod gates;
mod golden;
mod holdout;
mod import;
pub mod metrics;
mod progress;
mod report;
#[cfg(test)]
mod samples;
mod schedule;
mod scorer;
mod source;
pub mod split;
pub mod timeline;
mod train;
mod trainer;

pub use calibrate::CalibrationMethod;
pub use card::card;
pub use config::{
    CheckpointConfig, EvaluateConfig, Knowledge, LearningConfig, SplitMethod, TimeSplit, TrainConfig,
};
pub use error::{LearningError, Result};
pub use evaluate::evaluate;
pub use evaluation::{
    AttributeDrift, DriftReport, Evaluation, ModelQuality, Questions, RankedBy, ScoredAnswers, Segment,
    Segmentation, ServedModel,
};
pub use import::{ImportConfig, ImportError, ImportReport, NetworkOutput, import_model, read_scorer};
pub use progress::{EpochProgress, SeedsProgress, Stage, TrainObserver};
pub use report::{
    Comparison, DatasetReport, EpochLoss, EvaluateReport, ModelSummary, SeedReport, TrainReport, report_page,
};
pub use scorer::{
    Division, FoldMean, FoldReport, LabelledRows, Learned, Preparation, ScorerKind, ScorerLearning,
    ScorerReport, TrainScorerConfig, learn_scorer, train_scorer,
};
pub use source::read as read_dataset;
pub use train::train;
