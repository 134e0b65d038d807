//! How shadows compare with the models that served: what both would offer, how far apart their probabilities are, and, where
//! it is told what customers did, how well each foretold it.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use finrank_contracts::ranking::v1::DecisionRecord;
use finrank_model::ModelVersion;
use finrank_store::Store;
use futures::TryStreamExt;

use crate::{DecisionLogError, Result, outcome::OutcomeKind, read};

/// How far from 0 and 1 a probability counts at least, or one that was wrong would outweigh all others.
const CERTAINTY: f64 = 1e-7;

/// A shadow, and what served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sides {
    /// The shadow's version.
    pub shadow: ModelVersion,
    /// The version that served.
    pub served: ModelVersion,
}

/// How the two compare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Decisions that both made.
    pub decisions: u64,
    /// Summed over decisions, the share of products that both would offer.
    overlaps: f64,
    /// Of each item offered, the two probabilities, the served model's first, and whether it was applied for or taken, if
    /// anything is told of it.
    shown: Vec<(f64, f64, Option<bool>)>,
}

/// How well a model foretold what was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The mean of −ln of the probability given to what happened.
    pub log_loss: f64,
    /// The area under the ROC curve, if some were taken and some not.
    pub auc: Option<f64>,
}

/// Compares over the decisions made from `since` on, or over all.
///
/// # Errors
/// When Postgres does not answer, or a row holds what it cannot.
pub async fn compared(store: &Store, since: Option<DateTime<Utc>>) -> Result<BTreeMap<Sides, Comparison>> {
    let mut rows = sqlx::query!(
        r#"select sequence, record, model_version, shadow.product_ids, shown_product_ids,
                  shown_scores as "shown_scores: Vec<Option<f32>>",
                  outcomes.product_ids as "told_product_ids?", kinds as "kinds?"
           from shadow_decisions shadow
           join decisions using (decision_id)
           left join (
               select decision_id, array_agg(product_id) as product_ids, array_agg(kind) as kinds
               from decision_outcomes group by decision_id
           ) as outcomes using (decision_id)
           where $1::timestamptz is null or shadow.decided_at >= $1"#,
        since,
    )
    .fetch(store.pool());
    let mut compared: BTreeMap<Sides, Comparison> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let record = read::record(row.sequence, &row.record)?;
        let unreadable = |_| DecisionLogError::damaged(row.sequence, "has an unreadable model version");
        let sides = Sides {
            shadow: ModelVersion::parse(&row.model_version).map_err(unreadable)?,
            served: ModelVersion::parse(&record.model_version).map_err(unreadable)?,
        };
        let told = row.told_product_ids.unwrap_or_default().into_iter().zip(row.kinds.unwrap_or_default());
        let mut taken: HashMap<String, bool> = HashMap::new();
        for (product_id, kind) in told {
            let kind = OutcomeKind::parse(&kind);
            let took = matches!(kind, Some(OutcomeKind::Application | OutcomeKind::Purchase));
            *taken.entry(product_id).or_default() |= took;
        }
        let comparison = compared.entry(sides).or_default();
        comparison.count(&row.product_ids, &row.shown_product_ids);
        let served = served_scores(&record);
        for (product_id, shadow) in row.shown_product_ids.iter().zip(row.shown_scores) {
            if let (Some(served), Some(shadow)) = (served.get(product_id.as_str()), shadow) {
                comparison.shown.push((*served, shadow.into(), taken.get(product_id).copied()));
            }
        }
    }
    Ok(compared)
}

/// What the served model said of what was offered.
fn served_scores(record: &DecisionRecord) -> HashMap<&str, f64> {
    let offered = record.items.iter().filter_map(|item| item.candidate.as_ref());
    offered.map(|candidate| (candidate.product_id.as_str(), f64::from(candidate.score))).collect()
}

impl Comparison {
    fn count(&mut self, shadow: &[String], shown: &[String]) {
        let shadow: HashSet<&String> = shadow.iter().collect();
        let both = shown.iter().filter(|product_id| shadow.contains(product_id)).count();
        self.decisions += 1;
        self.overlaps += both as f64 / shadow.len().max(shown.len()).max(1) as f64;
    }

    /// The mean share of products that both would offer, of the longer list.
    pub fn overlap(&self) -> f64 {
        self.overlaps / self.decisions.max(1) as f64
    }

    /// Items offered of which both state a probability.
    pub fn shown(&self) -> u64 {
        self.shown.len() as u64
    }

    /// The mean absolute difference of their probabilities.
    pub fn mean_absolute_difference(&self) -> f64 {
        let apart = self.shown.iter().map(|(served, shadow, _)| (served - shadow).abs());
        apart.sum::<f64>() / self.shown.len().max(1) as f64
    }

    /// Of these, how many were seen.
    pub fn seen(&self) -> u64 {
        self.shown.iter().filter(|(_, _, taken)| taken.is_some()).count() as u64
    }

    /// Of those, how many were applied for or taken.
    pub fn taken(&self) -> u64 {
        self.shown.iter().filter(|(_, _, taken)| *taken == Some(true)).count() as u64
    }

    /// How well the served model foretold what was taken of what was seen, if anything was.
    pub fn fit_of_served(&self) -> Option<Fit> {
        Fit::of(self.shown.iter().filter_map(|&(served, _, taken)| Some((served, taken?))).collect())
    }

    /// How well the shadow did.
    pub fn fit_of_shadow(&self) -> Option<Fit> {
        Fit::of(self.shown.iter().filter_map(|&(_, shadow, taken)| Some((shadow, taken?))).collect())
    }
}

impl Fit {
    /// Of probabilities, and whether each came true.
    fn of(mut foretold: Vec<(f64, bool)>) -> Option<Self> {
        if foretold.is_empty() {
            return None;
        }
        let loss = |&(probability, taken): &(f64, bool)| {
            let given = if taken { probability } else { 1.0 - probability };
            -given.clamp(CERTAINTY, 1.0 - CERTAINTY).ln()
        };
        let log_loss = foretold.iter().map(loss).sum::<f64>() / foretold.len() as f64;
        foretold.sort_by(|one, other| one.0.total_cmp(&other.0));
        Some(Self { log_loss, auc: auc(&foretold) })
    }
}

/// The area under the ROC curve of probabilities in ascending order, by the sum of the ranks of those that came true
/// (H. B. Mann and D. R. Whitney, 1947); equals share the mean of their ranks.
fn auc(ascending: &[(f64, bool)]) -> Option<f64> {
    let (mut ranks, mut before) = (0.0, 0);
    for equals in ascending.chunk_by(|one, other| one.0 == other.0) {
        let mean_rank = before as f64 + (equals.len() as f64 + 1.0) / 2.0;
        ranks += mean_rank * equals.iter().filter(|(_, taken)| *taken).count() as f64;
        before += equals.len();
    }
    let taken = ascending.iter().filter(|(_, taken)| *taken).count() as f64;
    let not_taken = ascending.len() as f64 - taken;
    (taken > 0.0 && not_taken > 0.0).then(|| (ranks - taken * (taken + 1.0) / 2.0) / (taken * not_taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn overlap_is_of_the_longer_list_and_the_mean_of_decisions() {
        let mut comparison = Comparison::default();

        comparison.count(&ids(&["a", "b", "c"]), &ids(&["c", "d"]));
        comparison.count(&ids(&["a"]), &ids(&["a"]));

        assert!((comparison.overlap() - (1.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn what_was_seen_says_how_well_each_model_foretold_it() {
        let shown = vec![
            (0.9, 0.2, Some(true)),
            (0.5, 0.2, Some(false)),
            (0.5, 0.8, Some(true)),
            (0.1, 0.3, Some(false)),
            (0.4, 0.9, None),
        ];
        let comparison = Comparison { decisions: 1, overlaps: 1.0, shown };

        let (served, shadow) = (comparison.fit_of_served().unwrap(), comparison.fit_of_shadow().unwrap());

        assert_eq!((comparison.shown(), comparison.seen(), comparison.taken()), (5, 4, 2));
        assert!((comparison.mean_absolute_difference() - 2.0 / 5.0).abs() < 1e-12);
        // Of the four pairs of a taken and a not taken one: 3 right and 1 equal; 2 right, 1 equal and 1 wrong.
        assert_eq!((served.auc, shadow.auc), (Some(3.5 / 4.0), Some(2.5 / 4.0)));
        let expected = -(0.9_f64.ln() + 0.5_f64.ln() + 0.5_f64.ln() + 0.9_f64.ln()) / 4.0;
        assert!((served.log_loss - expected).abs() < 1e-12, "{served:?}");
    }

    #[test]
    fn nothing_is_told_of_what_nobody_saw_and_no_curve_of_what_all_took() {
        assert_eq!(Fit::of(vec![]), None);
        assert_eq!(Fit::of(vec![(0.5, true), (0.7, true)]).unwrap().auc, None);
        let certain = Fit::of(vec![(1.0, false)]).unwrap();
        assert!(certain.log_loss.is_finite(), "{certain:?}");
    }
}
