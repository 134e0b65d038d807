//! The pairs that a calibration is fitted on: of each customer who only decided when to stop, one held product is
//! masked, and everything that the customer is not taken to hold is a candidate, as in the evaluation and in
//! serving. They are scored by the parts that serve.

use finrank_model::{MlpScorer, ProductEncoder, SplitScorer, UserEncoder, UserRecord};

use super::examples::Example;
use crate::{Result, dataset::Dataset};

/// Pairs at most; beyond it fewer customers are asked. Two parameters are settled long before.
const MAX_PAIRS: usize = 2_000_000;

/// Logits and what is true.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) logits: Vec<f32>,
    /// As many as logits.
    pub(super) labels: Vec<bool>,
}

/// Scores every candidate of every question; `records` are the customers as training sees them.
pub(super) fn pairs(
    dataset: &Dataset,
    records: &[UserRecord],
    questions: &[Example],
    (user, product, scorer): (&UserEncoder, &ProductEncoder, &MlpScorer),
) -> Result<Pairs> {
    let products = product.encode(&dataset.products)?;
    let scorer = SplitScorer::new(scorer, &products)?;
    let asked = &questions[..questions.len().min((MAX_PAIRS / products.len().max(1)).max(1))];
    let masked: Vec<UserRecord> = asked.iter().map(|question| masked(dataset, records, question)).collect();
    let mut pairs = Pairs::default();
    for (question, embedding) in asked.iter().zip(user.encode(&masked)?) {
        let is_answer = |product: usize| product == question.target as usize;
        let candidates: Vec<usize> = (0..products.len())
            .filter(|&product| is_answer(product) || !question.holds(product as u32))
            .collect();
        let scores = scorer.score(&embedding, &candidates);
        for (&product, score) in candidates.iter().zip(&scores) {
            // A logit that overflowed says nothing of how others should be read.
            if score.logit().is_finite() {
                pairs.logits.push(score.logit());
                pairs.labels.push(is_answer(product));
            }
        }
    }
    Ok(pairs)
}

/// The customer with the question's history in place of what is held.
fn masked(dataset: &Dataset, records: &[UserRecord], question: &Example) -> UserRecord {
    let held = question.history.iter().map(|&product| dataset.products[product as usize].product_id.clone());
    UserRecord { held: held.collect(), ..records[question.user].clone() }
}
