//! How well a model finds what was hidden, beside popularity and item-kNN on the same questions.
//!
//! Every product that the customer is not seen to hold is a candidate; the hidden one is the right answer.
//! The model's parts are those that serve: encoders over records, and the split scorer over embeddings.

use finrank_model::{Embedding, Product, SplitScorer, UserRecord};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{
    Result,
    baselines::{ItemKnn, Popularity},
    dataset::{Dataset, ProductIndex},
    metrics::{ClassificationQuality, RankingQuality, mean_rank},
    split::Split,
    trainer::Trained,
};

/// Pairs of customer and product that are scored, at most: some ten seconds of two cores. Beyond it a part
/// of the customers is asked.
const MAX_PAIRS: usize = 20_000_000;
/// Random numbers of the choice of customers, apart from those of split and training.
const EVALUATION_STREAM: u64 = 2;

/// By what candidates are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankedBy {
    /// The scorer on the towers' embeddings, as served.
    Ranker,
    /// The towers' inner product alone, as in retrieval.
    Towers,
    /// How many customers hold the product.
    Popularity,
    /// Cosine to what is held.
    ItemKnn,
}

impl RankedBy {
    /// The printed form, for example `item-knn`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ranker => "ranker",
            Self::Towers => "towers",
            Self::Popularity => "popularity",
            Self::ItemKnn => "item-knn",
        }
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
}

/// One model's quality.
#[derive(Clone, Debug, Serialize)]
pub struct ModelQuality {
    /// Which model.
    pub model: RankedBy,
    /// How high the hidden holding ranks.
    pub ranking: RankingQuality,
}

impl Evaluation {
    /// One model's quality.
    pub fn of(&self, model: RankedBy) -> Option<&RankingQuality> {
        let found = self.models.iter().find(|quality| quality.model == model);
        found.map(|quality| &quality.ranking)
    }
}

/// Measures a model and the baselines on what `split` hid.
pub(crate) fn measure(dataset: &Dataset, split: &Split, model: &Trained, seed: u64) -> Result<Evaluation> {
    let questions = questions(split, dataset.products.len(), seed);
    let (popularity, knn) = (
        Popularity::fit(&split.seen, dataset.products.len()),
        ItemKnn::fit(&split.seen, dataset.products.len()),
    );
    let products = model.product.encode(&dataset.products)?;
    let users = encode_users(dataset, split, &questions, model)?;
    let scorer = SplitScorer::new(&model.scorer, &products)?;

    let mut tables = [RankedBy::Ranker, RankedBy::Towers, RankedBy::Popularity, RankedBy::ItemKnn]
        .map(|model| (model, Vec::with_capacity(questions.len())));
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for (&(user, hidden), embedding) in questions.iter().zip(&users) {
        let seen = &split.seen[user];
        let candidates = candidates(&dataset.products, seen);
        let ranked: Vec<f32> = scorer.score(embedding, &candidates).iter().map(|score| score.get()).collect();
        let neighbours = knn.scores(seen);
        let of_hidden = |score: &dyn Fn(usize) -> f32| {
            let others = candidates.iter().filter(|&&product| product != hidden as usize);
            mean_rank(score(hidden as usize), others.map(|&product| score(product)))
        };
        for (model, ranks) in &mut tables {
            ranks.push(match model {
                RankedBy::Ranker => rank_of_hidden(&candidates, &ranked, hidden),
                RankedBy::Towers => of_hidden(&|product| dot(embedding, &products[product])),
                RankedBy::Popularity => of_hidden(&|product| popularity.scores()[product]),
                RankedBy::ItemKnn => of_hidden(&|product| neighbours[product]),
            });
        }
        labels.extend(candidates.iter().map(|&product| product == hidden as usize));
        scores.extend(ranked);
    }
    let models =
        tables.into_iter().map(|(model, ranks)| ModelQuality { model, ranking: RankingQuality::of(&ranks) });
    Ok(Evaluation {
        hidden: split.questions().count(),
        asked: questions.len(),
        models: models.collect(),
        classification: ClassificationQuality::of(&scores, &labels),
    })
}

/// All questions, or as many of them, drawn with the seed, as there is time for.
fn questions(split: &Split, products: usize, seed: u64) -> Vec<(usize, ProductIndex)> {
    let mut questions: Vec<_> = split.questions().collect();
    let affordable = (MAX_PAIRS / products.max(1)).max(100);
    if questions.len() > affordable {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(EVALUATION_STREAM);
        questions.shuffle(&mut rng);
        questions.truncate(affordable);
        questions.sort_unstable();
    }
    questions
}

fn encode_users(
    dataset: &Dataset,
    split: &Split,
    questions: &[(usize, ProductIndex)],
    model: &Trained,
) -> Result<Vec<Embedding>> {
    let records = split.seen_records(dataset);
    let asked: Vec<UserRecord> = questions.iter().map(|&(user, _)| records[user].clone()).collect();
    Ok(model.user.encode(&asked)?)
}

/// Positions of the products that are not seen to be held; `seen` is in order.
fn candidates(products: &[Product], seen: &[ProductIndex]) -> Vec<usize> {
    (0..products.len()).filter(|&product| seen.binary_search(&(product as u32)).is_err()).collect()
}

fn rank_of_hidden(candidates: &[usize], scores: &[f32], hidden: ProductIndex) -> f64 {
    let pairs = || candidates.iter().zip(scores);
    let is_hidden = |product: usize| product == hidden as usize;
    let answer = pairs().find(|&(&product, _)| is_hidden(product));
    let others = pairs().filter(|&(&product, _)| !is_hidden(product)).map(|(_, &score)| score);
    mean_rank(answer.map_or(f32::NEG_INFINITY, |(_, &score)| score), others)
}

fn dot(one: &Embedding, other: &Embedding) -> f32 {
    let pairs = one.as_slice().iter().zip(other.as_slice());
    pairs.map(|(a, b)| a * b).sum()
}
