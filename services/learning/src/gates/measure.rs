//! What a model says of every question: where the hidden product ranks, and the score of every candidate.

use finrank_model::{Bundle, SplitScorer};

use super::questions::Questions;
use crate::{
    Result,
    dataset::{Dataset, ProductIndex},
    metrics::mean_rank,
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

/// Products of a question that are looked at, at most; the policy allows no longer lists.
const MOST_PLACES: usize = 1_000;

/// Asks a model, by the parts that serve.
pub(super) fn measure(bundle: &Bundle, dataset: &Dataset, questions: &Questions) -> Result<Measured> {
    let products = bundle.product.encode(&dataset.products)?;
    let users = bundle.user.encode(&questions.records(dataset))?;
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
        let scores: Vec<f32> = scorer.score(user, &candidates).iter().map(|score| score.get()).collect();
        let mut ranked: Vec<(f32, ProductIndex)> = scores
            .iter()
            .zip(&candidates)
            .map(|(&score, &product)| (score, product as ProductIndex))
            .collect();
        // Of equal scores the first product, as anywhere else.
        ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        let others = ranked
            .iter()
            .filter(|(_, product)| *product != question.hidden)
            .map(|(score, _)| f64::from(*score));
        let answer = ranked.iter().find(|(_, product)| *product == question.hidden);
        measured
            .ranks
            .push(mean_rank(answer.map_or(f64::NEG_INFINITY, |(score, _)| f64::from(*score)), others));
        measured.shown.push(ranked.iter().take(MOST_PLACES).map(|(_, product)| *product).collect());
        measured.labels.extend(candidates.iter().map(|&product| product as ProductIndex == question.hidden));
        measured.scores.extend(scores);
        measured.starts.push(measured.scores.len());
    }
    Ok(measured)
}
