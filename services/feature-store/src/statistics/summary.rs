//! The summary of a view's values over any number of entities: filled one by one, merged, and stored as JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use finrank_model::features::Sensitivity;
use finrank_store::features::{FeatureStatus, FeatureValue, Value};
use serde::{Deserialize, Serialize};

use super::numbers::Numbers;

/// Different texts that are told apart. With more, each one's count is too low by at most 1/1,000 of all values (Misra
/// and Gries, Finding repeated elements, 1982).
const MAX_TEXTS: usize = 1000;
/// A text that fewer people share could tell who they are.
const SHARED_BY: u64 = 10;

/// What a view's values are like.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ViewSummary {
    /// Entities that were looked at.
    pub(crate) entities: u64,
    /// Those of whom the source has no statement.
    pub(crate) not_found: u64,
    /// Those whose newest statement is older than the view's time to live.
    pub(crate) outside_max_age: u64,
    /// Since when the oldest and the newest of their newest statements are true.
    pub(crate) event_times: Option<[DateTime<Utc>; 2]>,
    /// By name.
    pub(crate) features: BTreeMap<String, FeatureSummary>,
}

/// What a feature's values are like.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct FeatureSummary {
    /// Entities with a value.
    pub(crate) present: u64,
    /// Entities that the source knows, without a value.
    pub(crate) null: u64,
    /// Values below and above what is expected.
    pub(crate) out_of_range: u64,
    /// Absent while there is no number. Of a moment, how many seconds it lies back.
    pub(crate) numbers: Option<Numbers>,
    /// Texts, or "true" and "false".
    pub(crate) texts: Texts,
}

/// How often which text occurs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Texts {
    pub(crate) counts: BTreeMap<String, u64>,
    /// Whether there were more than are told apart.
    pub(crate) has_more: bool,
    /// How many different ones were too rare to be kept.
    #[serde(default)]
    pub(crate) rare: u64,
}

impl ViewSummary {
    /// Takes in what holds for all of an entity's values of this view.
    pub(crate) fn add_entity(&mut self, values: &[FeatureValue]) {
        self.entities += 1;
        let Some(value) = values.first() else {
            return;
        };
        match value.status {
            FeatureStatus::NotFound => self.not_found += 1,
            FeatureStatus::OutsideMaxAge => self.outside_max_age += 1,
            FeatureStatus::Present | FeatureStatus::Null | FeatureStatus::Denied => {}
        }
        self.event_times = span(self.event_times, value.event_time.map(|time| [time, time]));
    }

    /// Takes in what other entities are like.
    pub(crate) fn merge(&mut self, other: Self) {
        self.entities += other.entities;
        self.not_found += other.not_found;
        self.outside_max_age += other.outside_max_age;
        self.event_times = span(self.event_times, other.event_times);
        for (name, summary) in other.features {
            self.features.entry(name).or_default().merge(summary);
        }
    }

    /// Forgets which texts few entities share, if they tell of persons; how many they were stays.
    pub(crate) fn forget_rare_texts(&mut self, sensitivity: Sensitivity) {
        for feature in self.features.values_mut() {
            feature.texts.forget_rare(sensitivity);
        }
    }
}

fn span<T: Ord + Copy>(one: Option<[T; 2]>, other: Option<[T; 2]>) -> Option<[T; 2]> {
    match (one, other) {
        (Some([first, last]), Some([earlier, later])) => Some([first.min(earlier), last.max(later)]),
        (one, other) => one.or(other),
    }
}

/// A value as far as it is a number: amounts in the minor unit, moments in seconds before `moment`.
pub(crate) fn as_number(value: &Value, moment: DateTime<Utc>) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Count(count) => Some(*count as f64),
        Value::Money { minor_units, .. } => Some(*minor_units as f64),
        Value::Time(time) => Some((moment - time).as_seconds_f64()),
        Value::Text(_) | Value::Flag(_) => None,
    }
}

impl FeatureSummary {
    /// Takes in one entity's value, as of `moment`. Returns it as far as it is a number.
    pub(crate) fn add(&mut self, value: &FeatureValue, moment: DateTime<Utc>) -> Option<f64> {
        let Some(known) = &value.value else {
            self.null += u64::from(value.status != FeatureStatus::NotFound);
            return None;
        };
        self.present += 1;
        match known {
            Value::Text(text) => self.texts.add(text, 1),
            Value::Flag(flag) => self.texts.add(if *flag { "true" } else { "false" }, 1),
            Value::Number(_) | Value::Count(_) | Value::Money { .. } | Value::Time(_) => {}
        }
        let number = as_number(known, moment)?;
        match &mut self.numbers {
            Some(numbers) => numbers.add(number),
            None => self.numbers = Some(Numbers::of(number)),
        }
        Some(number)
    }

    /// The share of entities that the source knows without knowing this of them.
    pub(crate) fn null_rate(&self) -> f64 {
        match self.null + self.present {
            0 => 0.0,
            known => self.null as f64 / known as f64,
        }
    }

    /// The number below which a share of its numbers lies.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        self.numbers.as_ref()?.quantile(share)
    }

    fn merge(&mut self, other: Self) {
        self.present += other.present;
        self.null += other.null;
        self.out_of_range += other.out_of_range;
        self.numbers = match (self.numbers.take(), other.numbers) {
            (Some(numbers), Some(others)) => Some(numbers.merge(&others)),
            (one, other) => one.or(other),
        };
        for (text, count) in other.texts.counts {
            self.texts.add(&text, count);
        }
        self.texts.has_more |= other.texts.has_more;
        self.texts.rare += other.texts.rare;
    }
}

impl Texts {
    fn add(&mut self, text: &str, count: u64) {
        if let Some(counted) = self.counts.get_mut(text) {
            *counted += count;
            return;
        }
        self.counts.insert(text.to_owned(), count);
        if self.counts.len() > MAX_TEXTS {
            self.has_more = true;
            let least = self.counts.values().copied().min().unwrap_or_default();
            self.counts.retain(|_, count| {
                *count -= least;
                *count > 0
            });
        }
    }

    fn forget_rare(&mut self, sensitivity: Sensitivity) {
        let told_apart = self.counts.len();
        self.counts.retain(|_, count| *count >= least_told(sensitivity));
        self.rare += (told_apart - self.counts.len()) as u64;
    }

    /// How many different ones there are, at least.
    pub(crate) fn distinct(&self) -> usize {
        if self.has_more { MAX_TEXTS + 1 } else { self.counts.len() + self.rare as usize }
    }

    /// Those that may be told, the most frequent first; of equally frequent ones in their order.
    pub(crate) fn most_frequent(&self, sensitivity: Sensitivity) -> Vec<(&str, u64)> {
        let least = least_told(sensitivity);
        let told = self.counts.iter().filter(|(_, count)| **count >= least);
        let mut texts: Vec<_> = told.map(|(text, count)| (text.as_str(), *count)).collect();
        texts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        texts
    }
}

/// How many entities must share a text that may be told.
fn least_told(sensitivity: Sensitivity) -> u64 {
    match sensitivity {
        Sensitivity::Personal | Sensitivity::Special => SHARED_BY,
        Sensitivity::Public | Sensitivity::Internal => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summary(values: &[Option<i64>]) -> FeatureSummary {
        let mut summary = FeatureSummary::default();
        for value in values {
            let value = value.map(Value::Count);
            let status = if value.is_some() { FeatureStatus::Present } else { FeatureStatus::Null };
            summary.add(&FeatureValue { status, event_time: None, value }, DateTime::UNIX_EPOCH);
        }
        summary
    }

    proptest! {
        #[test]
        fn merging_partitions_says_what_one_pass_says(
            values in prop::collection::vec(prop::option::of(-1000_i64..1000), 1..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let (left, right) = values.split_at(cut.index(values.len()));

            let mut merged = summary(left);
            merged.merge(summary(right));

            let whole = summary(&values);
            prop_assert_eq!(merged.present, whole.present);
            prop_assert_eq!(merged.null, whole.null);
            for share in [0.0, 0.05, 0.5, 0.95, 1.0] {
                prop_assert_eq!(merged.quantile(share), whole.quantile(share));
            }
            let mean = |summary: &FeatureSummary| summary.numbers.as_ref().and_then(Numbers::mean);
            prop_assert_eq!(mean(&merged), mean(&whole));
        }

        #[test]
        fn quantiles_are_right_to_one_in_a_hundred(mut values in prop::collection::vec(1_i64..1_000_000, 1..300)) {
            let whole = summary(&values.iter().copied().map(Some).collect::<Vec<_>>());
            values.sort_unstable();

            for share in [0.05, 0.25, 0.5, 0.75, 0.95] {
                let exact = values[((values.len() - 1) as f64 * share) as usize] as f64;
                let found = whole.quantile(share).unwrap();
                prop_assert!((found - exact).abs() <= 0.011 * exact, "{found} for {exact} at {share}");
            }
        }
    }

    #[test]
    fn finds_the_frequent_among_very_many_texts() {
        let mut texts = Texts::default();
        for n in 0..20_000 {
            texts.add(&format!("rare {n}"), 1);
            if n % 4 == 0 {
                texts.add("frequent", 1);
            }
        }

        let (text, count) = texts.most_frequent(Sensitivity::Public)[0];

        assert_eq!(text, "frequent");
        assert!((5000 - 25..=5000).contains(&count), "{count}");
        assert_eq!(texts.distinct(), 1001);
        assert!(texts.counts.len() <= MAX_TEXTS);
    }
}
