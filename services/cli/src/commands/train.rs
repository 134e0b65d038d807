//! `finrank train`: a model from what Postgres holds.

use clap::{Args, ValueEnum};
use finrank_learning::{Evaluation, RankedBy, SplitMethod, TrainConfig, TrainReport, train};
use finrank_model::{AttributeName, ModelVersion};
use finrank_store::models;

use super::{
    block_on,
    model::{By, promote_new},
};
use crate::{
    output::{self, Format},
    progress::TrainingBar,
    settings::Settings,
};

/// Train towers and scorer, evaluate them on held-out holdings, and register the bundle.
///
/// One holding of each customer who holds two or more is hidden from training and has to be found again;
/// popularity and item-kNN are measured on the same customers. What the promotion policy forbids a model of the catalogue's
/// products to know is refused; --leave-out trains without it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank train\n  finrank train --seed 3 --split time --json\n  finrank train --leave-out marital_status,sex\n  finrank train --promote --by alice"
)]
pub(crate) struct Train {
    /// The seed of the split, the first weights and every later draw.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Attributes of customers that the model is to know nothing of, comma separated.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = |raw: &str| AttributeName::parse(raw))]
    leave_out: Vec<AttributeName>,
    /// Check the model's gates afterwards, and promote it if nothing stands against it.
    #[arg(long, requires = "by")]
    promote: bool,
    /// Who promotes.
    #[arg(long, value_name = "NAME", requires = "promote")]
    by: Option<String>,
    #[command(flatten)]
    learning: Learning,
    #[command(flatten)]
    format: Format,
}

/// What `train` and `evaluate` both ask.
#[derive(Args)]
pub(crate) struct Learning {
    /// Which holding of a customer is hidden: any one, or the one acquired last.
    #[arg(long, value_enum, default_value_t = Split::LeaveOneOut)]
    split: Split,
    /// Passes over the customers at most; early stopping may end training sooner.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Split {
    LeaveOneOut,
    Time,
}

impl Learning {
    /// Which holding is hidden.
    pub(crate) fn split(&self) -> SplitMethod {
        match self.split {
            Split::LeaveOneOut => SplitMethod::LeaveOneOut,
            Split::Time => SplitMethod::Time,
        }
    }

    /// The settings, as far as flags do not say otherwise.
    pub(crate) fn config(&self, settings: &Settings) -> finrank_learning::LearningConfig {
        let mut learning = settings.learning.clone();
        learning.max_epochs = self.epochs.unwrap_or(learning.max_epochs);
        learning
    }
}

impl Train {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let config = TrainConfig {
            seed: self.seed,
            split: self.learning.split(),
            policy: settings.feature_store.promotion.load()?,
            leave_out: self.leave_out.clone(),
            transform: settings.transform.clone(),
            learning: self.learning.config(settings),
            ..TrainConfig::new(&settings.feature_store.models_dir)
        };
        let report = block_on(async {
            let store = settings.store().await?;
            Ok(train(&store, &config, TrainingBar::new(self.format)).await?)
        })?;
        self.format.print(&report, text)?;
        match (self.promote, self.by) {
            (true, Some(by)) => {
                let promoted = promote_new(settings, &report.model_version, &By { by }, self.format)?;
                if self.format.for_people() {
                    println!("{promoted}");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The newest model, trained now if there is none or the data has changed, and what there is to say of it.
pub(crate) fn newest_or_train(
    settings: &Settings,
    data_changed: bool,
) -> anyhow::Result<(ModelVersion, String)> {
    block_on(async {
        let store = settings.store().await?;
        if let (Some(model), false) = (models::newest(&store).await?, data_changed) {
            let text =
                format!("{} is there from an earlier run; `finrank train` trains anew", model.model_version);
            return Ok((model.model_version, text));
        }
        let config = TrainConfig {
            policy: settings.feature_store.promotion.load()?,
            transform: settings.transform.clone(),
            learning: settings.learning.clone(),
            ..TrainConfig::new(&settings.feature_store.models_dir)
        };
        let report = train(&store, &config, TrainingBar::new(Format::for_a_person())).await?;
        Ok((report.model_version.clone(), text(&report)))
    })
}

fn text(report: &TrainReport) -> String {
    let TrainReport { model_version, dataset, epochs, best_epoch, learning_seconds, bundle_path, .. } =
        report;
    format!(
        "{model_version}\n\
         learned from {} customers, {} products and {} holdings in {epochs} epochs ({best_epoch} was best), \
         {learning_seconds:.1} s\n\
         bundle {}\n{}",
        dataset.customers,
        dataset.products,
        dataset.holdings,
        bundle_path.display(),
        quality(&report.evaluation),
    )
}

/// The ranker beside what is simpler, on the hidden holdings.
fn quality(evaluation: &Evaluation) -> String {
    let rows = evaluation.models.iter().map(|model| {
        let at = |k| model.ranking.at(k);
        let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
        [
            name(model.model).to_owned(),
            format!("{:.3}", model.ranking.mrr),
            share(at(1).map(|at| at.hit)),
            share(at(5).map(|at| at.hit)),
            share(at(5).map(|at| at.precision)),
            share(at(5).map(|at| at.ndcg)),
        ]
    });
    let heads = ["ranked by", "MRR", "hit@1", "hit@5 = recall@5", "precision@5", "NDCG@5"];
    let scores = &evaluation.classification;
    format!(
        "{}\nscores as probabilities of {} pairs: accuracy {:.3} (always no: {:.3}), AUC {}, log loss {:.4}",
        output::table(heads, 1, rows),
        scores.rows,
        scores.accuracy,
        scores.majority,
        scores.auc.map_or_else(|| "–".to_owned(), |auc| format!("{auc:.3}")),
        scores.log_loss,
    )
}

/// How a model is called in a table.
pub(crate) fn name(model: RankedBy) -> &'static str {
    match model {
        RankedBy::Ranker => "finrank (towers + scorer)",
        RankedBy::Towers => "finrank (towers alone)",
        RankedBy::Popularity => "popularity",
        RankedBy::ItemKnn => "item-kNN",
    }
}
