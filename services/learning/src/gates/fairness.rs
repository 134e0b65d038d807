//! Whether groups of people are treated alike: who is shown what, whose holdings are found, whose scores are right.
//!
//! Three measures per protected attribute, since they cannot all be equal at once where groups hold different shares
//! (Kleinberg et al. 2016), and the policy says how far each may be off. A group that is too small says nothing, and is
//! told apart.

use std::collections::{BTreeMap, BTreeSet};

use finrank_model::policy::{Policy, SelectedFor};
use finrank_store::models::GateResult;
use serde::Serialize;

use super::{
    calibration, classes,
    groups::Grouping,
    measure::Measured,
    questions::Questions,
    verdict::{at_least, at_most, insufficient, not_applicable},
};
use crate::dataset::Dataset;

/// The groups of one protected attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupTable {
    /// The attribute.
    pub attribute: String,
    /// One group each.
    pub groups: Vec<GroupRow>,
}

/// What was measured of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupRow {
    /// How it is called.
    pub group: String,
    /// How many were asked about.
    pub customers: usize,
    /// The share of them who are shown each class, or product, in the first places.
    pub selection: BTreeMap<String, f64>,
    /// How often the hidden holding is in the first places.
    pub true_positive_rate: f64,
    /// Mean score less share held.
    pub calibration_gap: f64,
    /// The expected calibration error.
    pub calibration_error: f64,
}

/// Measures every group, and holds the large ones to each other.
pub(super) fn judge(
    policy: &Policy,
    dataset: &Dataset,
    measured: &Measured,
    questions: &Questions,
    grouping: &Grouping,
) -> (Vec<GateResult>, GroupTable) {
    let rows: Vec<GroupRow> = (0..grouping.names.len())
        .map(|group| measure_group(policy, dataset, measured, questions, grouping, group))
        .collect();
    let results = hold(policy, &grouping.attribute, &rows);
    (results, GroupTable { attribute: grouping.attribute.clone(), groups: rows })
}

fn hold(policy: &Policy, attribute: &str, rows: &[GroupRow]) -> Vec<GateResult> {
    let (large, small): (Vec<&GroupRow>, Vec<&GroupRow>) =
        rows.iter().partition(|row| row.customers >= policy.min_customers);
    let mut results: Vec<GateResult> = small
        .iter()
        .map(|row| {
            let reason = format!(
                "{attribute} {} has {} customers, and the policy asks for {}",
                row.group, row.customers, policy.min_customers
            );
            insufficient(&format!("group-size/{attribute}/{}", row.group), reason)
        })
        .collect();
    if large.len() < 2 {
        if small.is_empty() {
            let reason = format!("every customer is of one group of {attribute}");
            results.push(not_applicable(&format!("fairness/{attribute}"), &reason));
        }
        return results;
    }
    let bounds = policy.fairness;
    for subject in rows.iter().flat_map(|row| row.selection.keys()).collect::<BTreeSet<_>>() {
        let rate = |row: &GroupRow| row.selection.get(subject).copied().unwrap_or_default();
        let (least, most) = ends(&large, rate);
        let gate = format!("selection-ratio/{subject}/{attribute}");
        // Nobody is shown it, and so everybody alike.
        let ratio = if rate(most) > 0.0 { rate(least) / rate(most) } else { 1.0 };
        let what = format!(
            "{:.1} % of {attribute} {} are shown {subject} in the first {}, and {:.1} % of {}: the ratio",
            100.0 * rate(least),
            least.group,
            bounds.places,
            100.0 * rate(most),
            most.group,
        );
        results.push(at_least(&gate, &what, ratio, bounds.min_selection_ratio));
    }
    let gap = |gate: &str, of: fn(&GroupRow) -> f64, words: &str, bound: f64| {
        let (least, most) = ends(&large, of);
        let what = format!(
            "{words} is {:.4} for {attribute} {} and {:.4} for {}: the difference",
            of(most),
            most.group,
            of(least),
            least.group,
        );
        at_most(&format!("{gate}/{attribute}"), &what, of(most) - of(least), bound)
    };
    results.push(gap(
        "true-positive-gap",
        |row| row.true_positive_rate,
        &format!("the share of hidden holdings in the first {}", bounds.places),
        bounds.max_true_positive_gap,
    ));
    results.push(gap(
        "calibration-gap",
        |row| row.calibration_gap,
        "mean score less share held",
        bounds.max_calibration_gap,
    ));
    results
}

/// The groups with the least and the most of something; there is at least one.
fn ends<'a>(rows: &[&'a GroupRow], of: impl Fn(&GroupRow) -> f64) -> (&'a GroupRow, &'a GroupRow) {
    let mut sorted = rows.to_vec();
    sorted.sort_by(|one, other| of(one).total_cmp(&of(other)));
    (sorted[0], sorted[sorted.len() - 1])
}

fn measure_group(
    policy: &Policy,
    dataset: &Dataset,
    measured: &Measured,
    questions: &Questions,
    grouping: &Grouping,
    group: usize,
) -> GroupRow {
    let members: Vec<usize> =
        (0..questions.len()).filter(|&question| grouping.of[question] == group).collect();
    let share = |count: usize| count as f64 / members.len().max(1) as f64;
    let places = policy.fairness.places;
    let shown =
        |question: usize| measured.shown[question].iter().take(places).map(|&product| product as usize);
    let selected = |is_it: &dyn Fn(usize) -> bool| {
        share(members.iter().filter(|&&question| shown(question).any(is_it)).count())
    };
    let selection = match policy.fairness.selected_for {
        SelectedFor::ProductClass => classes(dataset)
            .into_iter()
            .map(|class| {
                let rate = selected(&|product| dataset.products[product].product_class == class);
                (class.as_str().to_owned(), rate)
            })
            .collect(),
        SelectedFor::Product => (0..dataset.products.len())
            .map(|wanted| {
                let rate = selected(&|product| product == wanted);
                (dataset.products[wanted].product_id.to_string(), rate)
            })
            .collect(),
    };
    let pairs = members.iter().flat_map(|&question| measured.starts[question]..measured.starts[question + 1]);
    let (scores, labels): (Vec<f32>, Vec<bool>) =
        pairs.map(|pair| (measured.scores[pair], measured.labels[pair])).unzip();
    GroupRow {
        group: grouping.names[group].clone(),
        customers: members.len(),
        selection,
        true_positive_rate: share(
            members.iter().filter(|&&question| measured.ranks[question] < places as f64).count(),
        ),
        calibration_gap: calibration::gap(scores.iter().copied().zip(labels.iter().copied())),
        calibration_error: calibration::error(&scores, &labels, policy.calibration.bins),
    }
}

#[cfg(test)]
mod tests {
    use finrank_store::models::Verdict;

    use super::*;

    fn row(group: &str, customers: usize, loan: f64, found: f64, gap: f64) -> GroupRow {
        GroupRow {
            group: group.to_owned(),
            customers,
            selection: [("loan".to_owned(), loan)].into(),
            true_positive_rate: found,
            calibration_gap: gap,
            calibration_error: gap.abs(),
        }
    }

    fn told(results: &[GateResult]) -> Vec<(&str, Verdict)> {
        results.iter().map(|result| (result.gate.as_str(), result.verdict)).collect()
    }

    #[test]
    fn what_fails_is_told_with_the_metric_the_groups_and_by_how_much() {
        let rows = [row("north", 200, 0.30, 0.9, 0.00), row("south", 300, 0.60, 0.7, 0.01)];

        let results = hold(&Policy::default(), "region", &rows);

        assert_eq!(
            told(&results),
            [
                ("selection-ratio/loan/region", Verdict::Fail),
                ("true-positive-gap/region", Verdict::Fail),
                ("calibration-gap/region", Verdict::Pass),
            ]
        );
        assert_eq!(
            results[0].explanation,
            "30.0 % of region north are shown loan in the first 5, and 60.0 % of south: the ratio is 0.5000, \
             0.3000 below the 0.8 asked for"
        );
        assert_eq!(
            results[1].explanation,
            "the share of hidden holdings in the first 5 is 0.9000 for region north and 0.7000 for south: the \
             difference is 0.2000, 0.1000 above the 0.1 allowed"
        );
    }

    #[test]
    fn a_group_that_is_too_small_is_insufficient_and_the_others_are_held_to_each_other() {
        let rows = [
            row("east", 99, 0.0, 0.0, 0.9),
            row("north", 200, 0.5, 0.8, 0.0),
            row("south", 300, 0.5, 0.8, 0.0),
        ];

        let results = hold(&Policy::default(), "region", &rows);

        assert_eq!(results[0].verdict, Verdict::Insufficient);
        assert_eq!(results[0].explanation, "region east has 99 customers, and the policy asks for 100");
        assert!(results[1..].iter().all(|result| result.verdict == Verdict::Pass), "{results:?}");
        assert_eq!(results.len(), 4);
    }

    #[test]
    fn one_group_alone_is_no_pass_unless_there_is_no_other() {
        let (north, east) = (row("north", 200, 0.5, 0.8, 0.0), row("east", 3, 0.5, 0.8, 0.0));

        let alone = hold(&Policy::default(), "region", std::slice::from_ref(&north));
        let beside_a_small_one = hold(&Policy::default(), "region", &[north, east]);

        assert_eq!(told(&alone), [("fairness/region", Verdict::NotApplicable)]);
        assert_eq!(told(&beside_a_small_one), [("group-size/region/east", Verdict::Insufficient)]);
    }
}
