//! How far two distributions of the same feature lie apart: the population stability index.
//!
//! Bins are the deciles of then, or the texts of then.

use super::FeatureSummary;

/// Numbers that each sketch is taken for: evenly spaced quantiles.
const PROBES: usize = 1000;
/// Fewer values make the index large by chance: with as many on each side, about 2 · 9 / 1,000.
const MIN_VALUES: u64 = 1000;

/// The index of now against then; nothing when either has too few values.
pub(super) fn stability_index(then: &FeatureSummary, now: &FeatureSummary) -> Option<f64> {
    if then.present < MIN_VALUES || now.present < MIN_VALUES {
        return None;
    }
    let shares = if then.numbers.is_some() { of_numbers(then, now) } else { of_texts(then, now) };
    Some(finrank_model::stability_index(shares))
}

/// The shares of then and now in the deciles of then.
fn of_numbers(then: &FeatureSummary, now: &FeatureSummary) -> Vec<[f64; 2]> {
    // Sketches tell numbers apart that differ by more than one in a hundred, up or down.
    let upper = |decile: f64| decile + 0.02 * decile.abs();
    let mut edges: Vec<f64> =
        (1..10).filter_map(|decile| then.quantile(f64::from(decile) / 10.0)).map(upper).collect();
    edges.dedup();
    let shares = |summary: &FeatureSummary| {
        let mut shares = vec![0.0; edges.len() + 1];
        for probe in 0..PROBES {
            let share = (probe as f64 + 0.5) / PROBES as f64;
            if let Some(number) = summary.quantile(share) {
                shares[edges.partition_point(|edge| *edge < number)] += 1.0 / PROBES as f64;
            }
        }
        shares
    };
    shares(then).into_iter().zip(shares(now)).map(|(then, now)| [then, now]).collect()
}

/// The shares of the texts of then, and of all others.
fn of_texts(then: &FeatureSummary, now: &FeatureSummary) -> Vec<[f64; 2]> {
    let share = |count: u64, summary: &FeatureSummary| count as f64 / summary.present as f64;
    let mut shares: Vec<[f64; 2]> = then
        .texts
        .counts
        .iter()
        .map(|(text, count)| {
            let count_now = now.texts.counts.get(text).copied().unwrap_or_default();
            [share(*count, then), share(count_now, now)]
        })
        .collect();
    let [then, now] = shares.iter().fold([0.0, 0.0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
    shares.push([1.0 - then, 1.0 - now]);
    shares
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use finrank_store::features::{FeatureStatus, FeatureValue, Value};

    use super::*;

    fn summary(values: impl Iterator<Item = Value>) -> FeatureSummary {
        let mut summary = FeatureSummary::default();
        for value in values {
            let value = FeatureValue { status: FeatureStatus::Present, event_time: None, value: Some(value) };
            summary.add(&value, DateTime::UNIX_EPOCH);
        }
        summary
    }

    fn numbers(from: i32, to: i32) -> FeatureSummary {
        summary((0..10_000).map(|n| Value::Number(f64::from(from + n % (to - from)))))
    }

    #[test]
    fn does_not_drift_from_itself() {
        assert!(stability_index(&numbers(0, 100), &numbers(0, 100)).unwrap() < 1e-9);
    }

    #[test]
    fn does_not_drift_when_only_the_ends_move() {
        let constant = summary((0..2000).map(|_| Value::Count(5)));
        let with_one_larger = summary((0..2000).map(|n| Value::Count(if n == 0 { 100 } else { 5 })));

        assert!(stability_index(&constant, &with_one_larger).unwrap() < 0.01);
        assert!(stability_index(&with_one_larger, &constant).unwrap() < 0.01);
    }

    #[test]
    fn is_what_the_formula_gives_for_half_as_many_in_half_the_bins() {
        // Ten bins of a tenth each; now the lower five hold a twentieth each, the upper ones three twentieths.
        let now = summary((0..20_000).map(|n| {
            let lower = n % 4 == 0;
            Value::Number(f64::from(n / 4 % 50 + if lower { 0 } else { 50 }))
        }));
        let expected = 5.0 * (0.05 - 0.1) * f64::ln(0.05 / 0.1) + 5.0 * (0.15 - 0.1) * f64::ln(0.15 / 0.1);

        let found = stability_index(&numbers(0, 100), &now).unwrap();

        assert!((found - expected).abs() < 0.03, "{found}, by the formula {expected}");
    }

    #[test]
    fn drifts_when_a_text_takes_another_s_place() {
        let then = summary((0..2000).map(|n| Value::Text(["a", "b"][n % 2].to_owned())));
        let now = summary((0..2000).map(|n| Value::Text(["a", "c"][n % 2].to_owned())));

        assert!(stability_index(&then, &now).unwrap() > 1.0);
        assert!(stability_index(&then, &then).unwrap() < 1e-9);
    }

    #[test]
    fn is_not_told_of_few_values() {
        assert_eq!(stability_index(&summary((0..999).map(Value::Count)), &numbers(0, 100)), None);
    }
}
