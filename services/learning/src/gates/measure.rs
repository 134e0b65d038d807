//! What a model says of every question: where the hidden product ranks, and the score of every candidate.

use finrank_model::{Bundle, SplitScorer, UserRecord};

use super::questions::Questions;
use crate::{
    Result,
    dataset::{Dataset, ProductIndex},
    metrics::{best, rank_of},
};

/// One model's answers, in the order of the questions.
pub(super) struct Measured {
    /// Where the hidden product ranks, from 0.
    pub(super) ranks: Vec<f64>,
    /// The products, best first, as many as are looked at.
    pub(super) shown: Vec<Vec<ProductIndex>>,
    /// The score of each candidate of each question.
    pub(super) scores: Vec<f32>,
    /// Whether it is the hidden one; as long as `scores`.
    pub(super) labels: Vec<bool>,
    /// Where each question's scores begin, and at the end how many there are.
    pub(super) starts: Vec<usize>,
}

impl Measured {
    /// The ranks of some of the questions that were all asked.
    pub(super) fn ranks_of(&self, all: &Questions, some: &Questions) -> Vec<f64> {
        let mut some = some.iter().peekable();
        let asked = all.iter().zip(&self.ranks).filter(|(question, _)| some.next_if_eq(question).is_some());
        asked.map(|(_, &rank)| rank).collect()
    }
}

/// Products of a question that are looked at, at most; the policy allows no longer lists.
const MOST_PLACES: usize = 1_000;

/// Asks a model, by the parts that serve. `shown[i]` is the customer of question i as the model may see them.
pub(super) fn measure(
    bundle: &Bundle,
    dataset: &Dataset,
    questions: &Questions,
    shown: &[UserRecord],
) -> Result<Measured> {
    let products = bundle.product.encode(&dataset.products)?;
    let users = bundle.user.encode(shown)?;
    let scorer = SplitScorer::new(&bundle.scorer, &products)?;
    let mut measured = Measured {
        ranks: Vec::with_capacity(questions.len()),
        shown: Vec::with_capacity(questions.len()),
        scores: Vec::new(),
        labels: Vec::new(),
        starts: vec![0],
    };
    for (question, user) in questions.iter().zip(&users) {
        let candidates = question.candidates(dataset);
        let scores = scorer.score(user, &candidates);
        let products: Vec<ProductIndex> = candidates.iter().map(|&product| product as ProductIndex).collect();
        let of_products: Vec<f64> = scores.iter().map(|score| f64::from(score.logit())).collect();
        measured.ranks.push(rank_of(&products, &of_products, question.hidden));
        measured.shown.push(best(&products, &of_products, MOST_PLACES));
        measured.labels.extend(products.iter().map(|&product| product == question.hidden));
        measured.scores.extend(scores.iter().map(|score| score.get()));
        measured.starts.push(measured.scores.len());
    }
    Ok(measured)
}
