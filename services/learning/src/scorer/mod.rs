//! The scorer alone, on any labelled table: the program of the source article, for real.
//!
//! Rows are divided first (`folds`); transforms, networks and calibration are fitted on the training rows alone
//! (`features`, `ensemble`, `learn`); what is printed is measured on the rows held out (`report`).

mod config;
mod ensemble;
mod features;
mod folds;
mod learn;
mod network;
mod optimiser;
mod report;
mod rows;
mod table;

use finrank_model::Score;

pub use config::{Division, Preparation, ScorerKind, ScorerLearning, TrainScorerConfig};
pub use learn::{Learned, learn as learn_scorer};
pub use report::{FoldMean, FoldReport, ScorerReport};
pub use rows::LabelledRows;

use crate::{
    Result, Stage, TrainObserver, import,
    metrics::{CalibrationQuality, ClassificationQuality},
};
use ensemble::{Ensemble, EnsemblePlan};
use features::Features;
use folds::Fold;
use table::LabelledTable;

/// Trains a scorer on a labelled CSV file, once for each part that is held out, and measures it there.
///
/// Runs on the calling thread and rayon's.
///
/// # Errors
/// Names the file, the column, the value or the setting that is wrong.
pub fn train_scorer(config: &TrainScorerConfig, observer: &mut dyn TrainObserver) -> Result<ScorerReport> {
    config.check()?;
    observer.stage(Stage::Reading);
    let fold_column = match &config.division {
        Division::FoldColumn(column) => Some(column.as_str()),
        _ => None,
    };
    let table = table::read(&config.csv, &config.label, fold_column)?;
    let folds = folds::divide(&table, &config.division, config.seed)?;
    let reports = folds.iter().enumerate().map(|(index, fold)| {
        let name = table.fold_names.get(index).cloned().unwrap_or_else(|| (index + 1).to_string());
        measure_fold(&table, name, fold, config, observer)
    });
    let reports = reports.collect::<Result<Vec<FoldReport>>>()?;
    save(&table, config, observer)?;
    Ok(ScorerReport {
        label: config.label.clone(),
        rows: table.rows.len(),
        columns: table.columns.len(),
        positive: table.positive,
        negative: table.negative,
        hidden: config.learning.hidden.clone(),
        members: config.members,
        mean: FoldMean::of(&reports),
        folds: reports,
        saved: config.save.clone(),
    })
}

fn measure_fold(
    table: &LabelledTable,
    name: String,
    fold: &Fold,
    config: &TrainScorerConfig,
    observer: &mut dyn TrainObserver,
) -> Result<FoldReport> {
    let (features, ensemble) = fit(table, &fold.training, config, observer)?;
    observer.stage(Stage::Evaluating);
    let held_out = features.of(table, &fold.held_out)?;
    let scores = ensemble.scorer.score_rows(held_out.features.view());
    let probabilities: Vec<f32> = scores.iter().copied().map(Score::get).collect();
    Ok(FoldReport {
        fold: name,
        training_rows: fold.training.len(),
        features: ensemble.scorer.inputs(),
        best_epochs: ensemble.best_epochs,
        learning_seconds: ensemble.seconds,
        calibration: ensemble.scorer.calibration().clone(),
        calibration_rows: ensemble.calibration_rows,
        held_out: ClassificationQuality::of(&probabilities, &held_out.labels),
        probabilities: CalibrationQuality::of(&scores, &held_out.labels),
    })
}

fn fit(
    table: &LabelledTable,
    training: &[usize],
    config: &TrainScorerConfig,
    observer: &mut dyn TrainObserver,
) -> Result<(Features, Ensemble)> {
    observer.stage(Stage::Preparing);
    let features = Features::fit(table, training, &config.preparation);
    let rows = features.of(table, training)?;
    let plan = EnsemblePlan {
        learning: &config.learning,
        members: config.members,
        calibration: config.calibration,
        seed: config.seed,
    };
    let ensemble = ensemble::fit(&rows, &plan, observer)?;
    Ok((features, ensemble))
}

/// Trains on all rows, which nothing is then left to measure by, and writes the network.
fn save(table: &LabelledTable, config: &TrainScorerConfig, observer: &mut dyn TrainObserver) -> Result<()> {
    let Some(path) = &config.save else {
        return Ok(());
    };
    let all: Vec<usize> = (0..table.rows.len()).collect();
    let (_, ensemble) = fit(table, &all, config, observer)?;
    import::write_safetensors(&ensemble.scorer, path)
}
