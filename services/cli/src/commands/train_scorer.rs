//! `finrank train-scorer`: the scorer alone, on any labelled table.

use std::path::PathBuf;

use clap::Args;
use finrank_learning::{ScorerReport, TrainScorerConfig, train_scorer};

use crate::{output::Format, progress::TrainingBar};

/// Train the MLP scorer (128-64-1) alone on a labelled CSV file, and measure it on rows held out.
///
/// Columns are numeric where their values are, categorical otherwise. The label holds two distinct values.
/// Accuracy stands beside that of always answering the same, for where most rows are negative it says little.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank train-scorer --csv .finrank/data/Caravan.csv --label Purchase\n  finrank train-scorer --csv table.csv --label bought --seed 7 --json"
)]
pub(crate) struct TrainScorer {
    /// A CSV file with a header.
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    /// The column to predict.
    #[arg(long, value_name = "COLUMN")]
    label: String,
    /// The seed of the split, the first weights and the batches.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// The share of rows held out, above 0 and below 1.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    test_share: f64,
    #[command(flatten)]
    format: Format,
}

impl TrainScorer {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = TrainScorerConfig {
            seed: self.seed,
            test_share: self.test_share,
            ..TrainScorerConfig::new(self.csv, self.label)
        };
        let report = train_scorer(&config, &mut TrainingBar::new(self.format))?;
        self.format.print(&report, text)
    }
}

fn text(report: &ScorerReport) -> String {
    let held_out = &report.held_out;
    let figure = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.4}"));
    format!(
        "{} = {:?} from {} columns ({} features), {} rows, {} epochs, {:.1} s\n\
         on {} rows held out, {} of them positive:\n  \
           accuracy           {:.4} (always {:?}: {:.4})\n  \
           AUC                {}\n  \
           average precision  {}\n  \
           log loss           {:.4}",
        report.label,
        report.positive,
        report.columns,
        report.features,
        report.training_rows,
        report.epochs,
        report.learning_seconds,
        held_out.rows,
        held_out.positives,
        held_out.accuracy,
        if 2 * held_out.positives > held_out.rows { &report.positive } else { &report.negative },
        held_out.majority,
        figure(held_out.auc),
        figure(held_out.average_precision),
        held_out.log_loss,
    )
}
