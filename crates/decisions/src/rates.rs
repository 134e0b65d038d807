//! What came of what each model ranked: the shares of the items seen that were followed, applied for, taken, waved away.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use finrank_contracts::ranking::v1::{DecisionRecord, Placement, RankingBasis};
use finrank_model::ModelVersion;
use finrank_store::Store;
use futures::TryStreamExt;

use crate::{
    DecisionLogError, Result,
    counterfactual::{Explored, Shown},
    outcome::OutcomeKind,
    read,
};

/// The 97.5th percentile of the standard normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// What ranked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranker {
    /// The model's version.
    pub model_version: ModelVersion,
    /// By what it ranked.
    pub ranking_basis: RankingBasis,
}

/// What came of it. Whoever did anything with an item saw it; whoever took it, with or without a form, applied for and
/// followed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Decisions of which anything is known.
    pub decisions: u64,
    /// Items seen.
    pub impressions: u64,
    /// Items followed.
    pub clicks: u64,
    /// Items applied for.
    pub applications: u64,
    /// Items taken.
    pub purchases: u64,
    /// Items waved away.
    pub dismissals: u64,
}

/// What is known of what a ranker ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// All of it.
    pub outcomes: Outcomes,
    /// Of the answers in which an exploration rule was in force.
    pub explored: Explored,
}

/// A share with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// 0 to 1.
    pub rate: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Rate {
    /// `items` of `of`, with Wilson's score interval (E. B. Wilson, 1927). Of none, nothing is known: 0, from 0 to 1.
    pub fn of(items: u64, of: u64) -> Self {
        if of == 0 {
            return Self { rate: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, rate) = (of as f64, items as f64 / of as f64);
        let scale = 1.0 + Z * Z / n;
        let centre = (rate + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self { rate, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }
}

/// Counts what came of decisions made from `since` on, or of all.
///
/// # Errors
/// When Postgres does not answer, or a row holds what it cannot.
pub async fn by_ranker(store: &Store, since: Option<DateTime<Utc>>) -> Result<BTreeMap<Ranker, Measured>> {
    let mut rows = sqlx::query!(
        r#"select sequence, record, product_ids as "product_ids!", kinds as "kinds!"
           from decisions join (
               select decision_id, array_agg(product_id) as product_ids, array_agg(kind) as kinds
               from decision_outcomes group by decision_id
           ) as outcomes using (decision_id)
           where $1::timestamptz is null or decided_at >= $1"#,
        since,
    )
    .fetch(store.pool());
    let mut measured: BTreeMap<Ranker, Measured> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let damaged = |reason| DecisionLogError::damaged(row.sequence, reason);
        let record = read::record(row.sequence, &row.record)?;
        let ranker = Ranker {
            // One of a later program is none that this one knows.
            ranking_basis: RankingBasis::try_from(record.ranking_basis).unwrap_or_default(),
            model_version: ModelVersion::parse(record.model_version.as_str())
                .map_err(|_| damaged("has an unreadable model version"))?,
        };
        let kinds = row.kinds.iter().map(|kind| OutcomeKind::parse(kind));
        let kinds = kinds.collect::<Option<Vec<_>>>().ok_or_else(|| damaged("has an unknown outcome"))?;
        let items = by_item(row.product_ids.iter().map(String::as_str).zip(kinds));
        let measured = measured.entry(ranker).or_default();
        measured.outcomes.count(&items);
        if is_explored(&record) {
            measured.explored.count(&shown(&record, &items));
        }
    }
    Ok(measured)
}

/// Whether a customer of whom all this is told did one thing. Whoever did more did the less.
pub(crate) fn did(told: &[OutcomeKind], kind: OutcomeKind) -> bool {
    let enough: &[OutcomeKind] = match kind {
        OutcomeKind::Impression => &OutcomeKind::ALL,
        OutcomeKind::Click => &[OutcomeKind::Click, OutcomeKind::Application, OutcomeKind::Purchase],
        OutcomeKind::Application => &[OutcomeKind::Application, OutcomeKind::Purchase],
        OutcomeKind::Purchase => &[OutcomeKind::Purchase],
        OutcomeKind::Dismissal => &[OutcomeKind::Dismissal],
    };
    told.iter().any(|told| enough.contains(told))
}

/// What is told of each item.
fn by_item<'a>(told: impl Iterator<Item = (&'a str, OutcomeKind)>) -> HashMap<&'a str, Vec<OutcomeKind>> {
    let mut items: HashMap<&str, Vec<OutcomeKind>> = HashMap::new();
    for (product_id, kind) in told {
        items.entry(product_id).or_default().push(kind);
    }
    items
}

/// Whether chance might have had a part in a decision.
fn is_explored(record: &DecisionRecord) -> bool {
    record.selection.as_ref().is_some_and(|selection| !selection.exploration.is_empty())
}

/// The items that were seen, as they were shown. One without a propensity was written by no program of ours.
fn shown<'o>(record: &DecisionRecord, items: &'o HashMap<&str, Vec<OutcomeKind>>) -> Vec<Shown<'o>> {
    let shown = record.items.iter().filter(|item| item.propensity > 0.0).filter_map(|item| {
        let outcomes = items.get(item.candidate.as_ref()?.product_id.as_str())?;
        let by_chance = item.placement() == Placement::Exploration;
        Some(Shown { propensity: item.propensity, by_chance, outcomes })
    });
    shown.collect()
}

impl Outcomes {
    /// Counts one decision's.
    fn count(&mut self, items: &HashMap<&str, Vec<OutcomeKind>>) {
        self.decisions += 1;
        for told in items.values() {
            self.impressions += 1;
            self.clicks += u64::from(did(told, OutcomeKind::Click));
            self.applications += u64::from(did(told, OutcomeKind::Application));
            self.purchases += u64::from(did(told, OutcomeKind::Purchase));
            self.dismissals += u64::from(did(told, OutcomeKind::Dismissal));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rates_interval_is_wilsons() {
        // The roots q of (0.1 − q)² = z² q (1 − q) / 100, found by bisection.
        let some = Rate::of(10, 100);
        assert!((some.low - 0.055_229_137).abs() < 1e-8, "{some:?}");
        assert!((some.high - 0.174_365_661).abs() < 1e-8, "{some:?}");

        let none = Rate::of(0, 20);
        assert!(none.low.abs() < 1e-12 && none.high > 0.1, "{none:?}");
        assert_eq!(Rate::of(0, 0), Rate { rate: 0.0, low: 0.0, high: 1.0 });
    }

    #[test]
    fn an_item_is_counted_once_and_whoever_did_more_did_the_less() {
        use OutcomeKind::{Click, Dismissal, Impression, Purchase};
        let mut outcomes = Outcomes::default();

        let told = [("a", Impression), ("a", Click), ("a", Click), ("b", Purchase), ("c", Dismissal)];
        outcomes.count(&by_item(told.into_iter()));

        let expected = Outcomes {
            decisions: 1,
            impressions: 3,
            clicks: 2,
            applications: 1,
            purchases: 1,
            dismissals: 1,
        };
        assert_eq!(outcomes, expected);
    }
}
