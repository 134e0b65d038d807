//! Candidates for who objects to profiling: nothing of the customer but what may be offered plays a part.

use finrank_model::Score;

use super::{
    candidate::{RetrievedCandidate, SelectedCandidate},
    eligibility::Eligible,
};
use crate::{index::Row, popularity::Popularity};

/// The `count` most popular eligible products; equally popular ones, and all if nothing is known of popularity, in the
/// order of their ids. Nobody has scored them: their scores are 0.
pub(super) fn most_popular(
    eligible: &Eligible,
    popularity: Option<&Popularity>,
    count: usize,
) -> Vec<SelectedCandidate> {
    let rows = eligible.rows();
    let mut eligible: Vec<Row> = (0..rows.universe()).map(Row).filter(|&row| rows.contains(row)).collect();
    if let Some(popularity) = popularity {
        // Stable, so that equals stay in the order of their rows.
        eligible.sort_by(|&a, &b| popularity.of(b).total_cmp(&popularity.of(a)));
    }
    eligible.truncate(count);
    let unscored = |row| {
        let never = Score::from_logit(f32::NEG_INFINITY);
        RetrievedCandidate { row, retrieval_score: 0.0 }.scored(never).selected()
    };
    eligible.into_iter().map(unscored).collect()
}
