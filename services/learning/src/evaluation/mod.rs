//! How well a model finds what was hidden, beside popularity, item-kNN and EASE on the same questions.
//!
//! Every product that the customer is not seen to hold is a candidate; the hidden one is the right answer.
//! The model's parts are those that serve: encoders over records, and the split scorer over embeddings.

mod drift;
mod questions;
mod segments;

use serde::Serialize;

pub(crate) use self::{drift::drift, segments::SegmentSums};
pub use self::{
    drift::{AttributeDrift, DriftReport},
    questions::{Questions, ScoredAnswers, ServedModel},
    segments::{Segment, Segmentation},
};
use crate::{
    Result,
    baselines::{Ease, ItemKnn, Popularity},
    dataset::Dataset,
    metrics::{
        Answers, CUTOFFS, CalibrationQuality, ClassificationQuality, Intervals, RankedAnswers,
        RankingQuality, ScoredRows, intervals,
    },
    split::Split,
    trainer::Trained,
};

/// By what candidates are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankedBy {
    /// The scorer on the towers' embeddings, as served.
    Ranker,
    /// The towers' inner product alone, as in retrieval.
    Towers,
    /// A linear model of what is held, in closed form.
    Ease,
    /// Cosine to what is held.
    ItemKnn,
    /// How many customers hold the product.
    Popularity,
}

impl RankedBy {
    /// The printed form, for example `item-knn`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ranker => "ranker",
            Self::Towers => "towers",
            Self::Ease => "ease",
            Self::ItemKnn => "item-knn",
            Self::Popularity => "popularity",
        }
    }

    /// Whether it is something that a model must beat, not a part of the model.
    pub fn is_baseline(self) -> bool {
        !matches!(self, Self::Ranker | Self::Towers)
    }
}

/// What was measured on the hidden holdings.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Customers of whom a holding was hidden.
    pub hidden: usize,
    /// Of them, those who were asked.
    pub asked: usize,
    /// The ranker first.
    pub models: Vec<ModelQuality>,
    /// The ranker's scores as probabilities: each candidate of each customer is a row, the hidden one is
    /// positive.
    pub classification: ClassificationQuality,
    /// How far each of its measures would move with other customers, by names like `log_loss`.
    pub classification_intervals: Intervals,
    /// How far these scores are probabilities, before calibration and after.
    pub probabilities: CalibrationQuality,
}

/// One model's quality.
#[derive(Clone, Debug, Serialize)]
pub struct ModelQuality {
    /// Which model.
    pub model: RankedBy,
    /// How high the hidden holding ranks.
    pub ranking: RankingQuality,
    /// How far each of its measures would move with other customers, by names like `ndcg_at_5`.
    pub intervals: Intervals,
}

impl Evaluation {
    /// One model's quality.
    pub fn of(&self, model: RankedBy) -> Option<&RankingQuality> {
        let found = self.models.iter().find(|quality| quality.model == model);
        found.map(|quality| &quality.ranking)
    }

    /// Measures a model and the baselines on what `split` hid.
    pub(crate) fn of_model(dataset: &Dataset, split: &Split, model: &Trained, seed: u64) -> Result<Self> {
        Ok(Asked::new(dataset, split, model, seed)?.measure(seed))
    }
}

/// Every model's answers to the same questions.
pub(crate) struct Asked<'a> {
    pub(crate) questions: Questions<'a>,
    /// The ranker first.
    pub(crate) answers: Vec<(RankedBy, Answers)>,
    /// The ranker's scores; see [`ScoredAnswers::pairs`].
    pub(crate) pairs: ScoredRows,
    /// See [`ScoredAnswers::uncalibrated`].
    uncalibrated: ScoredRows,
    products: usize,
    hidden: usize,
    /// Whose cosine says how similar two products are, so that diversity means the same for every model.
    knn: ItemKnn,
}

impl<'a> Asked<'a> {
    /// Asks the model and the baselines, all of which know what `split` lets be seen and nothing more.
    pub(crate) fn new(dataset: &'a Dataset, split: &'a Split, model: &Trained, seed: u64) -> Result<Self> {
        let questions = Questions::of(dataset, split, seed);
        let products = dataset.products.len();
        let scored = questions.ask_model(model.served())?;
        let mut answers = vec![(RankedBy::Ranker, scored.ranker), (RankedBy::Towers, scored.towers)];
        if let Some(ease) = Ease::fit(&split.seen, products) {
            answers.push((RankedBy::Ease, questions.ask(|seen| ease.scores(seen))));
        }
        let knn = ItemKnn::fit(&split.seen, products);
        answers.push((RankedBy::ItemKnn, questions.ask(|seen| knn.scores(seen))));
        let popularity = Popularity::fit(&split.seen, products);
        answers.push((RankedBy::Popularity, questions.ask(|_| popularity.scores().to_vec())));
        let hidden = split.questions().count();
        let ScoredAnswers { pairs, uncalibrated, .. } = scored;
        Ok(Self { questions, answers, pairs, uncalibrated, products, hidden, knn })
    }

    /// Measures all of it; the seed draws the customers of the intervals.
    pub(crate) fn measure(&self, seed: u64) -> Evaluation {
        let customers = self.questions.len();
        let models = self.answers.iter().map(|(model, answers)| {
            let ranked = RankedAnswers::new(answers, self.products, |one, other| self.knn.cosine(one, other));
            ModelQuality {
                model: *model,
                ranking: ranked.quality(),
                // A measurement passes over every answer once for each measure.
                intervals: intervals(customers, customers * 7 * CUTOFFS.len(), seed, |weights| {
                    ranked.weighted(weights).measures()
                }),
            }
        });
        Evaluation {
            hidden: self.hidden,
            asked: customers,
            models: models.collect(),
            classification: self.pairs.quality(),
            classification_intervals: intervals(customers, self.pairs.len(), seed, |weights| {
                self.pairs.weighted(weights).measures()
            }),
            probabilities: CalibrationQuality::of_rows(&self.uncalibrated, &self.pairs),
        }
    }
}
