//! What every model is asked: of each customer, which of the products that are not seen to be held is the hidden one.

use finrank_model::{Embedding, MlpScorer, ProductEncoder, SplitScorer, UserEncoder, UserRecord};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    Result,
    dataset::{Dataset, ProductIndex},
    metrics::{Answers, ScoredRows},
    split::Split,
};

/// Pairs of customer and product that are scored, at most: some ten seconds of two cores. Beyond it a part
/// of the customers is asked.
const MAX_PAIRS: usize = 20_000_000;
/// Random numbers of the choice of customers, apart from those of training.
const EVALUATION_STREAM: u64 = 2;

/// The parts of a model that serve, and so the parts that are measured.
#[derive(Clone, Copy, Debug)]
pub struct ServedModel<'a> {
    /// Encodes customers.
    pub user: &'a UserEncoder,
    /// Encodes products.
    pub product: &'a ProductEncoder,
    /// Scores pairs of embeddings.
    pub scorer: &'a MlpScorer,
}

/// The questions of a split, the same for every model that is asked.
#[derive(Clone, Debug)]
pub struct Questions<'a> {
    dataset: &'a Dataset,
    split: &'a Split,
    /// A customer's position in the data set, and the right answer.
    asked: Vec<(usize, ProductIndex)>,
}

/// What a model answered, and the score of every candidate.
#[derive(Clone, Debug, Default)]
pub struct ScoredAnswers {
    /// By the scorer, as served.
    pub ranker: Answers,
    /// By the towers' inner product, as in retrieval.
    pub towers: Answers,
    /// The scorer's scores: each candidate is a row, the hidden one is positive; a row's customer is the position of
    /// its question. In order.
    pub pairs: ScoredRows,
    /// The same rows with the scores as they were before calibration. In order.
    pub uncalibrated: ScoredRows,
}

impl<'a> Questions<'a> {
    /// All questions, or as many of them, drawn with the seed, as there is time for.
    pub fn of(dataset: &'a Dataset, split: &'a Split, seed: u64) -> Self {
        let mut asked: Vec<_> = split.questions().collect();
        let affordable = (MAX_PAIRS / dataset.products.len().max(1)).max(100);
        if asked.len() > affordable {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(EVALUATION_STREAM);
            asked.shuffle(&mut rng);
            asked.truncate(affordable);
            asked.sort_unstable();
        }
        Self { dataset, split, asked }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The customers that are asked about, as positions in the data set.
    pub fn customers(&self) -> impl Iterator<Item = usize> {
        self.asked.iter().map(|&(user, _)| user)
    }

    /// Asks by a score for every product of the catalogue, given what is seen of a customer.
    pub fn ask(&self, scores: impl Fn(&[ProductIndex]) -> Vec<f64>) -> Answers {
        let mut answers = Answers::default();
        for &(user, hidden) in &self.asked {
            let seen = &self.split.seen[user];
            let (candidates, of_all) = (self.candidates(seen), scores(seen));
            let of_candidates: Vec<f64> =
                candidates.iter().map(|&product| of_all[product as usize]).collect();
            answers.push(&candidates, &of_candidates, hidden);
        }
        answers
    }

    /// Asks a model that was trained on nothing but what the split lets be seen.
    ///
    /// # Errors
    /// When the model's parts do not fit each other or the records.
    pub fn ask_model(&self, model: ServedModel<'_>) -> Result<ScoredAnswers> {
        let products = model.product.encode(&self.dataset.products)?;
        let scorer = SplitScorer::new(model.scorer, &products)?;
        let records = self.split.seen_records(self.dataset);
        let asked: Vec<UserRecord> = self.customers().map(|user| records[user].clone()).collect();
        let users = model.user.encode(&asked)?;

        let mut answers = ScoredAnswers::default();
        for (question, (&(user, hidden), embedding)) in self.asked.iter().zip(&users).enumerate() {
            let candidates = self.candidates(&self.split.seen[user]);
            let positions: Vec<usize> = candidates.iter().map(|&product| product as usize).collect();
            let scores = scorer.score(embedding, &positions);
            // As served: by the logit, so that a calibration makes no ties.
            let as_served: Vec<f64> = scores.iter().map(|score| f64::from(score.logit())).collect();
            answers.ranker.push(&candidates, &as_served, hidden);
            let matched: Vec<f64> =
                positions.iter().map(|&product| f64::from(dot(embedding, &products[product]))).collect();
            answers.towers.push(&candidates, &matched, hidden);
            let is_hidden = candidates.iter().map(|&product| product == hidden);
            answers.pairs.extend(question, scores.iter().map(|score| score.get()).zip(is_hidden.clone()));
            answers
                .uncalibrated
                .extend(question, scores.iter().map(|score| score.uncalibrated()).zip(is_hidden));
        }
        answers.pairs.sort();
        answers.uncalibrated.sort();
        Ok(answers)
    }

    /// The products that are not seen to be held; `seen` is in order.
    fn candidates(&self, seen: &[ProductIndex]) -> Vec<ProductIndex> {
        let products = 0..self.dataset.products.len() as ProductIndex;
        products.filter(|product| seen.binary_search(product).is_err()).collect()
    }
}

fn dot(one: &Embedding, other: &Embedding) -> f32 {
    let pairs = one.as_slice().iter().zip(other.as_slice());
    pairs.map(|(a, b)| a * b).sum()
}
