//! `finrank train-scorer`: the scorer alone, on any labelled table.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use finrank_learning::{
    CalibrationMethod, Division, FoldReport, Preparation, ScorerKind, ScorerLearning, ScorerReport,
    TrainScorerConfig, train_scorer,
};

use crate::{
    output::{self, Format},
    progress::TrainingBar,
    settings::Settings,
};

/// Train a scorer alone on a labelled CSV file, and measure it on rows held out.
///
/// Columns are numeric where their values are, categorical otherwise; whole numbers of few values are also taken as
/// codes, each with a learned vector. The label holds two distinct values. Several networks are averaged, each of
/// which leaves another part of the training rows out, by which it stops and is calibrated. Accuracy stands beside
/// that of always answering the same, for where most rows are negative it says little.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank train-scorer --csv .finrank/data/Caravan.csv --label Purchase\n  finrank train-scorer --csv .finrank/data/Caravan.csv --label Purchase --folds 5\n  finrank train-scorer --csv pairs.csv --label taken --as-is --save scorer.safetensors --json"
)]
pub(crate) struct TrainScorer {
    /// A CSV file with a header.
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    /// The column to predict.
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// The seed of the division, the first weights and the batches.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// The share of rows held out, above 0 and below 1.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    test_share: f64,
    /// Hold out each of so many parts in turn; those of scikit-learn's StratifiedKFold with this seed.
    #[arg(long, value_name = "K", conflicts_with = "test_share")]
    folds: Option<usize>,
    /// Hold out, for each value of this column, the rows that have it.
    #[arg(long, value_name = "COLUMN", conflicts_with_all = ["test_share", "folds"])]
    fold_column: Option<String>,
    /// The network: two hidden layers (128, 64), or none.
    #[arg(long, value_enum, default_value_t = Kind::Mlp)]
    model: Kind,
    #[command(flatten)]
    learning: Learning,
    /// What makes scores probabilities.
    #[arg(long, value_enum, default_value_t = Calibration::Platt)]
    calibration: Calibration,
    /// Take cells as they are, numbers all: for embeddings, whose network is to score embeddings.
    #[arg(long)]
    as_is: bool,
    /// Train once more on all rows and write the network there, for `finrank model import`.
    #[arg(long, value_name = "FILE.safetensors")]
    save: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// How weights are learned, where it shall differ from the defaults.
#[derive(Args)]
struct Learning {
    /// Passes over the rows at most; early stopping may end training sooner.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Networks that are averaged.
    #[arg(long, value_name = "N", default_value_t = 5)]
    members: usize,
    /// AdamW's decay of weights on 1,000 rows; it falls as rows grow.
    #[arg(long, value_name = "DECAY")]
    weight_decay: Option<f64>,
    /// The share of hidden units dropped in a step.
    #[arg(long, value_name = "SHARE")]
    dropout: Option<f32>,
    /// The share of features dropped in a step.
    #[arg(long, value_name = "SHARE")]
    input_dropout: Option<f32>,
    /// Adam's step size at the start.
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
}

/// What a scorer is.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    Mlp,
    Linear,
}

#[derive(Clone, Copy, ValueEnum)]
enum Calibration {
    None,
    Platt,
    Isotonic,
}

impl From<Kind> for ScorerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Mlp => Self::Mlp,
            Kind::Linear => Self::Linear,
        }
    }
}

impl TrainScorer {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let config = TrainScorerConfig {
            seed: self.seed,
            division: match (self.folds, self.fold_column) {
                (Some(folds), _) => Division::Folds(folds),
                (None, Some(column)) => Division::FoldColumn(column),
                (None, None) => Division::HoldOut { share: self.test_share, stratified: true },
            },
            preparation: match self.as_is {
                true => Preparation::AsIs,
                false => Preparation::Fitted(settings.transform.clone()),
            },
            members: self.learning.members,
            learning: self.learning.over(ScorerLearning::of(self.model.into())),
            calibration: match self.calibration {
                Calibration::None => CalibrationMethod::None,
                Calibration::Platt => CalibrationMethod::Platt,
                Calibration::Isotonic => CalibrationMethod::Isotonic,
            },
            save: self.save,
            ..TrainScorerConfig::new(self.csv, self.label)
        };
        let report = train_scorer(&config, &mut TrainingBar::new(self.format))?;
        self.format.print(&report, text)
    }
}

impl Learning {
    fn over(&self, default: ScorerLearning) -> ScorerLearning {
        ScorerLearning {
            max_epochs: self.epochs.unwrap_or(default.max_epochs),
            learning_rate: self.learning_rate.unwrap_or(default.learning_rate),
            weight_decay: self.weight_decay.unwrap_or(default.weight_decay),
            input_dropout: self.input_dropout.unwrap_or(default.input_dropout),
            dropout: self.dropout.unwrap_or(default.dropout),
            ..default
        }
    }
}

fn text(report: &ScorerReport) -> String {
    let mean = &report.mean;
    let widths = |hidden: &[usize]| -> String { hidden.iter().map(|width| format!("{width}-")).collect() };
    let head = format!(
        "{} = {:?} (else {:?}) from {} columns of {} rows; mean of {} networks {}1",
        report.label,
        report.positive,
        report.negative,
        report.columns,
        report.rows,
        report.members,
        widths(&report.hidden),
    );
    let average = [
        "mean".to_owned(),
        String::new(),
        figure(mean.accuracy),
        figure(mean.majority),
        possible(mean.auc),
        possible(mean.average_precision),
        figure(mean.log_loss),
        change(mean.brier_before, mean.brier),
        change(mean.calibration_error_before, mean.calibration_error),
    ];
    let rows = report.folds.iter().map(row).chain((report.folds.len() > 1).then_some(average));
    let heads = [
        "held out",
        "rows (positive)",
        "accuracy",
        "majority",
        "AUC",
        "AP",
        "log loss",
        "Brier before → after",
        "ECE before → after",
    ];
    let saved = report.saved.as_ref().map(|path| format!("\nnetwork of all rows in {}", path.display()));
    let seconds: f64 = report.folds.iter().map(|fold| fold.learning_seconds).sum();
    format!(
        "{head}\n{}\nlearned in {seconds:.1} s; before and after calibration{}",
        output::table(heads, 1, rows),
        saved.unwrap_or_default()
    )
}

fn row(fold: &FoldReport) -> [String; 9] {
    let (held_out, probabilities) = (&fold.held_out, &fold.probabilities);
    [
        fold.fold.clone(),
        format!("{} ({})", held_out.rows, held_out.positives),
        figure(held_out.accuracy),
        figure(held_out.majority),
        possible(held_out.auc),
        possible(held_out.average_precision),
        figure(held_out.log_loss),
        change(probabilities.before.brier, probabilities.after.brier),
        change(probabilities.before.calibration_error, probabilities.after.calibration_error),
    ]
}

fn figure(figure: f64) -> String {
    format!("{figure:.4}")
}

fn possible(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), figure)
}

fn change(before: f64, after: f64) -> String {
    format!("{before:.4} → {after:.4}")
}
