//! Candidates for who objects to profiling: nothing of the customer but what may be offered plays a part.

use finrank_model::Score;
use finrank_selection::InForce;

use super::{
    Ask, Pipeline, Ranked,
    business::Business,
    candidate::{RetrievedCandidate, ScoredCandidate, SelectedCandidate},
    eligibility::Eligible,
    selector::Choice,
    stage::{Stage, Watch},
};
use crate::{catalogue::Catalogue, index::Row, popularity::Popularity};

impl Pipeline {
    /// What most people hold, by the rules that need no scores.
    pub(super) fn by_popularity(
        &self,
        catalogue: &Catalogue,
        ask: &Ask,
        popularity: Option<&Popularity>,
        eligible: &Eligible,
        rules: InForce<'_>,
        watch: &mut Watch,
    ) -> Ranked {
        let diversity = rules.diversity;
        let choice = Choice { rules: rules.unscored(), k: ask.k, decision_id: ask.decision_id };
        // Without pins and caps these are the first ones.
        let is_plain = choice.rules.pins.is_empty() && choice.rules.caps.is_empty();
        let count = if is_plain { ask.k } else { eligible.count() };
        let select = || {
            let candidates = most_popular(eligible, popularity, count);
            self.selector.select(catalogue, &candidates, &choice)
        };
        let selected =
            watch.stage(Stage::Selection, eligible.count(), select, |selected| selected.items.len());
        let business = Business::new(catalogue, ask, &choice.rules, eligible, &selected, 0);
        let candidates = selected.items.iter().map(SelectedCandidate::candidate).collect();
        // What was asked for is told, though it played no part.
        let business = Business { diversity, ..business };
        Ranked { candidates, plan: None, items: selected.items, business }
    }
}

/// The `count` most popular eligible products; equally popular ones, and all if nothing is known of popularity, in the
/// order of their ids. Nobody has scored them: their scores are 0.
fn most_popular(eligible: &Eligible, popularity: Option<&Popularity>, count: usize) -> Vec<ScoredCandidate> {
    let rows = eligible.rows();
    let mut eligible: Vec<Row> = (0..rows.universe()).map(Row).filter(|&row| rows.contains(row)).collect();
    if let Some(popularity) = popularity {
        // Stable, so that equals stay in the order of their rows.
        eligible.sort_by(|&a, &b| popularity.of(b).total_cmp(&popularity.of(a)));
    }
    eligible.truncate(count);
    let unscored = |row| {
        let never = Score::from_logit(f32::NEG_INFINITY);
        RetrievedCandidate { row, retrieval_score: 0.0 }.scored(never)
    };
    eligible.into_iter().map(unscored).collect()
}
