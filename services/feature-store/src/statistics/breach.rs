//! Holds what was summarised to what is expected.

use finrank_model::features::{Feature, FeatureView, OnBreach};

use super::{FeatureSummary, ViewSummary, drift};

/// Entities below which rates are chance, unless they are all there are.
const MIN_ENTITIES: u64 = 100;

/// What was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Expectation {
    /// A share of nulls at most.
    NullRate,
    /// No value below.
    Min,
    /// No value above.
    Max,
    /// Not more different texts.
    Distinct,
    /// A population stability index at most.
    Drift,
}

/// A feature that is not as expected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Breach {
    pub(crate) view: String,
    pub(crate) feature: String,
    pub(crate) expectation: Expectation,
    pub(crate) allowed: f64,
    pub(crate) found: f64,
    /// Whether the refresh is withheld for it.
    pub(crate) stops: bool,
}

impl Expectation {
    /// The name in files and in the schema.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NullRate => "null_rate",
            Self::Min => "min",
            Self::Max => "max",
            Self::Distinct => "distinct",
            Self::Drift => "drift",
        }
    }

    /// Only these five are ever stored.
    pub(super) fn from_stored(stored: &str) -> Self {
        match stored {
            "null_rate" => Self::NullRate,
            "min" => Self::Min,
            "max" => Self::Max,
            "distinct" => Self::Distinct,
            _ => Self::Drift,
        }
    }
}

/// What of a view is not as expected. `earlier` is the view's summary of the full refresh before; nothing drifts from
/// it if not all entities (`whole`) were summarised now.
pub(crate) fn judge(
    view: &FeatureView,
    summary: &ViewSummary,
    earlier: Option<&ViewSummary>,
    whole: bool,
) -> Vec<Breach> {
    let breaches = view.features.iter().filter_map(|feature| {
        let of_feature = summary.features.get(&feature.name)?;
        let before = earlier.and_then(|earlier| earlier.features.get(&feature.name)).filter(|_| whole);
        Some(judge_feature(view, feature, of_feature, before, whole))
    });
    breaches.flatten().collect()
}

fn judge_feature(
    view: &FeatureView,
    feature: &Feature,
    summary: &FeatureSummary,
    before: Option<&FeatureSummary>,
    whole: bool,
) -> Vec<Breach> {
    let expect = &feature.expect;
    let enough = whole || summary.present + summary.null >= MIN_ENTITIES;
    let drift = before.and_then(|before| drift::stability_index(before, summary));
    let [smallest, largest] = [summary.quantile(0.0), summary.quantile(1.0)];
    let judged = [
        (Expectation::NullRate, expect.null_rate, Some(summary.null_rate()).filter(|_| enough)),
        (Expectation::Min, expect.min, smallest),
        (Expectation::Max, expect.max, largest),
        (Expectation::Distinct, expect.distinct.map(f64::from), Some(summary.texts.distinct() as f64)),
        (Expectation::Drift, expect.drift, drift),
    ];
    let breach = |(expectation, allowed, found): (Expectation, Option<f64>, Option<f64>)| {
        let (allowed, found) = (allowed?, found?);
        let is_breached = if expectation == Expectation::Min { found < allowed } else { found > allowed };
        is_breached.then(|| Breach {
            view: view.name.clone(),
            feature: feature.name.clone(),
            expectation,
            allowed,
            found,
            stops: expect.breach == OnBreach::Stop,
        })
    };
    judged.into_iter().filter_map(breach).collect()
}
