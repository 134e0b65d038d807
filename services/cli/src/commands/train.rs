//! `finrank train`: a model from what Postgres holds.

use std::{str::FromStr, sync::Arc};

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use finrank_learning::{
    CheckpointConfig, DatasetReport, Evaluation, Knowledge, LearningConfig, RankedBy, ScorerKind,
    SplitMethod, TimeSplit, TrainConfig, TrainReport, train,
};
use finrank_model::{AttributeName, ModelVersion, features::Definitions, parse_moment};
use finrank_store::models;

use super::{
    block_on,
    model::{Known, promote_new},
    train_scorer::Kind,
};
use crate::{
    output::{self, Format},
    progress::TrainingBar,
    settings::Settings,
};

/// Train towers and scorer, evaluate them on held-out holdings, and register the bundle.
///
/// One holding of each customer who holds two or more is hidden from training and has to be found again;
/// popularity, item-kNN and EASE are measured on the same customers. With `--split time` training learns from what was
/// acquired before a moment, each as of its moment, and is measured on what was acquired later. What the promotion policy
/// forbids a model of the catalogue's products to know is refused; --leave-out trains without it.
///
/// After each epoch a checkpoint is kept in the state directory; a training that was killed goes on from it with
/// `--resume`, and ends with the same bundle.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank train\n  finrank train --seed 3 --split last --json\n  \
                        finrank train --scorer linear\n  \
                        finrank train --split time --split-at 2025-10-01T00:00:00Z --feature-service towers\n  \
                        finrank train --resume\n  finrank train --leave-out marital_status,sex\n  \
                        finrank train --promote --by alice")]
pub(crate) struct Train {
    /// The seed of the split, the first weights and every later draw.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The model's name; without it one is made of the time and the seed.
    #[arg(long, value_name = "NAME", value_parser = parse_version)]
    model_version: Option<ModelVersion>,
    /// When the model counts as trained (RFC 3339), by default now. The same data, settings, name and time give the
    /// same bundle, byte for byte.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    trained_at: Option<DateTime<Utc>>,
    /// Go on from the checkpoint of a training that was killed; it must be of the same data and settings.
    #[arg(long)]
    resume: bool,
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
    /// Which holding of a customer is hidden: any one, the one acquired last, or what was acquired from a moment on.
    #[arg(long, value_enum, default_value_t = Split::LeaveOneOut)]
    split: Split,
    /// Of a split by time the moment (RFC 3339) before which acquisitions are learned from; by default four fifths of
    /// them are.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    split_at: Option<DateTime<Utc>>,
    /// Of a split by time what counts as known at an example: what had been written before this moment (RFC 3339, or
    /// `now`), for data that was imported after the fact. By default what had been written by then.
    #[arg(long, value_name = "TIME")]
    known_at: Option<KnownAt>,
    /// The feature service that the user tower reads beside attributes and holdings; needs `--split time`.
    #[arg(long, value_name = "NAME")]
    feature_service: Option<String>,
    /// Passes over the customers at most; early stopping may end training sooner.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// The scorer: an MLP (128-64-1), or linear over both embeddings; by default as the settings have it.
    #[arg(long, value_enum)]
    scorer: Option<Kind>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Split {
    LeaveOneOut,
    Last,
    Time,
}

/// The end of what was known.
#[derive(Clone, Copy)]
pub(crate) struct KnownAt(DateTime<Utc>);

impl KnownAt {
    /// What counts as known at a moment: what had been written by then, unless there is an end of its own.
    pub(crate) fn knowledge(known_at: Option<Self>) -> Knowledge {
        known_at.map_or(Knowledge::Then, |Self(moment)| Knowledge::By(moment))
    }
}

impl FromStr for KnownAt {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        match raw {
            "now" => Ok(Self(Utc::now())),
            raw => moment(raw).map(Self),
        }
    }
}

fn moment(raw: &str) -> Result<DateTime<Utc>, String> {
    parse_moment("moment", raw).map_err(|invalid| invalid.to_string())
}

fn parse_version(raw: &str) -> Result<ModelVersion, String> {
    ModelVersion::parse(raw).map_err(|invalid| invalid.to_string())
}

impl Learning {
    /// Which holding is hidden.
    pub(crate) fn split(&self) -> anyhow::Result<SplitMethod> {
        let by_time = self.split_at.is_some() || self.known_at.is_some();
        Ok(match self.split {
            Split::Time => {
                SplitMethod::Time(TimeSplit { at: self.split_at, known: KnownAt::knowledge(self.known_at) })
            }
            _ if by_time => bail!("--split-at and --known-at need --split time"),
            Split::LeaveOneOut => SplitMethod::LeaveOneOut,
            Split::Last => SplitMethod::LeaveLastOut,
        })
    }

    /// What declares the features that the user tower reads, if it reads any.
    pub(crate) fn definitions(&self, settings: &Settings) -> anyhow::Result<Option<Arc<Definitions>>> {
        match self.config(settings).feature_service {
            Some(_) => Ok(Some(Arc::new(settings.feature_store.features.load()?.0))),
            None => Ok(None),
        }
    }

    /// The settings, as far as flags do not say otherwise.
    pub(crate) fn config(&self, settings: &Settings) -> LearningConfig {
        let mut learning = settings.learning.clone();
        learning.max_epochs = self.epochs.unwrap_or(learning.max_epochs);
        learning.feature_service = self.feature_service.clone().or(learning.feature_service);
        learning.scorer = self.scorer.map_or(learning.scorer, ScorerKind::from);
        learning
    }
}

impl Train {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let checkpoint =
            CheckpointConfig { file: settings.state_dir.join("training.safetensors"), resume: self.resume };
        let config = TrainConfig {
            seed: self.seed,
            split: self.learning.split()?,
            policy: settings.feature_store.promotion.load()?,
            leave_out: self.leave_out.clone(),
            transform: settings.transform.clone(),
            learning: self.learning.config(settings),
            definitions: self.learning.definitions(settings)?,
            model_version: self.model_version.clone(),
            trained_at: self.trained_at,
            checkpoint: Some(checkpoint),
            ..TrainConfig::new(&settings.feature_store.models_dir)
        };
        let report = block_on(async {
            let store = settings.store().await?;
            Ok(train(&store, &config, TrainingBar::new(self.format)).await?)
        })?;
        self.format.print(&report, text)?;
        let known = Known { known_at: self.learning.known_at };
        match (self.promote, self.by) {
            (true, Some(by)) => {
                let promoted = promote_new(settings, &report.model_version, &known, &by, self.format)?;
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
            learning: of_a_snapshot(settings),
            ..TrainConfig::new(&settings.feature_store.models_dir)
        };
        let report = train(&store, &config, TrainingBar::new(Format::for_a_person())).await?;
        Ok((report.model_version.clone(), text(&report)))
    })
}

/// The settings for data without moments, of which no features can be read.
pub(crate) fn of_a_snapshot(settings: &Settings) -> LearningConfig {
    LearningConfig { feature_service: None, ..settings.learning.clone() }
}

fn text(report: &TrainReport) -> String {
    let TrainReport { model_version, dataset, epochs, best_epoch, learning_seconds, bundle_path, .. } =
        report;
    format!(
        "{model_version}\n\
         learned from {} customers, {} products and {} holdings in {epochs} epochs ({best_epoch} was best), \
         {learning_seconds:.1} s\n{}\
         bundle {}\n{}",
        dataset.customers,
        dataset.products,
        dataset.holdings,
        by_time(dataset),
        bundle_path.display(),
        quality(&report.evaluation),
    )
}

/// What became of acquisitions, of a split by time.
fn by_time(dataset: &DatasetReport) -> String {
    let DatasetReport { examples, unknown_then, repeated, .. } = dataset;
    if *examples == 0 {
        return String::new();
    }
    format!(
        "each of {examples} acquisitions as of its moment; left out: {unknown_then} of customers who were not known, \
         {repeated} of products that were held\n"
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
    let (before, after) = (&evaluation.probabilities.before, &evaluation.probabilities.after);
    format!(
        "{}\nscores as probabilities of {} pairs: accuracy {:.3} (always no: {:.3}), AUC {}, log loss {:.4}\n\
         calibration: ECE {:.4} → {:.4}, Brier {:.4} → {:.4}",
        output::table(heads, 1, rows),
        scores.rows,
        scores.accuracy,
        scores.majority,
        scores.auc.map_or_else(|| "–".to_owned(), |auc| format!("{auc:.3}")),
        scores.log_loss,
        before.calibration_error,
        after.calibration_error,
        before.brier,
        after.brier,
    )
}

/// How a model is called in a table.
pub(crate) fn name(model: RankedBy) -> &'static str {
    match model {
        RankedBy::Ranker => "finrank (towers + scorer)",
        RankedBy::Towers => "finrank (towers alone)",
        RankedBy::Popularity => "popularity",
        RankedBy::Ease => "EASE",
        RankedBy::ItemKnn => "item-kNN",
    }
}
