//! Whether a model ranks at least as well as what is there: the same customers asked of both, and a bootstrap over them.

use finrank_model::policy::Policy;
use finrank_store::models::GateResult;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{
    measure::Measured,
    questions::Questions,
    verdict::{at_least, insufficient},
};
use crate::{
    baselines::Popularity,
    dataset::Dataset,
    metrics::{Interval, mean_rank},
};

/// How good a model is beside another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QualityTable {
    /// What it was compared with: `the serving model` or `popularity`.
    pub beside: &'static str,
    /// Customers whom both were asked about.
    pub customers: usize,
    /// Mean reciprocal rank.
    pub mrr: f64,
    /// The other one's.
    pub mrr_beside: f64,
    /// The lower end of the difference's confidence interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Beside the model that is served, on those of the questions whose answers neither has seen.
pub(super) fn beside_serving(
    policy: &Policy,
    [candidate, serving]: [&Measured; 2],
    questions: &Questions,
    shared: &Questions,
) -> (GateResult, Option<QualityTable>) {
    let (found, least) = (shared.len(), policy.min_customers);
    if found < least {
        let reason = format!(
            "{found} customers hold what was hidden from this model and from the one that is served, and the \
             policy asks for {least}; trained with the same seed both hide the same"
        );
        return (insufficient("quality", reason), None);
    }
    let [candidate, serving] = [candidate, serving].map(|model| model.ranks_of(questions, shared));
    judge(policy, "the serving model", &candidate, &serving)
}

/// Beside popularity, while no model is served.
pub(super) fn beside_popularity(
    policy: &Policy,
    dataset: &Dataset,
    measured: &Measured,
    questions: &Questions,
) -> (GateResult, Option<QualityTable>) {
    let popularity = Popularity::fit(&questions.seen(dataset), dataset.products.len());
    let holders = popularity.scores();
    let ranks = questions.iter().map(|question| {
        let hidden = question.hidden as usize;
        let others = question.candidates(dataset).into_iter().filter(|&product| product != hidden);
        mean_rank(holders[hidden], others.map(|product| holders[product]))
    });
    judge(policy, "popularity", &measured.ranks, &ranks.collect::<Vec<_>>())
}

fn judge(
    policy: &Policy,
    beside: &'static str,
    ranks: &[f64],
    ranks_beside: &[f64],
) -> (GateResult, Option<QualityTable>) {
    let reciprocal = |ranks: &[f64]| ranks.iter().map(|rank| 1.0 / (rank + 1.0)).collect::<Vec<f64>>();
    let (ours, theirs) = (reciprocal(ranks), reciprocal(ranks_beside));
    let differences: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours - theirs).collect();
    let (low, high) = interval(&differences, policy.quality.confidence, policy.quality.resamples);
    let table = QualityTable {
        beside,
        customers: ranks.len(),
        mrr: mean(&ours),
        mrr_beside: mean(&theirs),
        low,
        high,
    };
    let percent = 100.0 * policy.quality.confidence;
    let what = format!(
        "MRR is {:.4} and that of {beside} {:.4}; the lower end of the difference's {percent} % interval",
        table.mrr, table.mrr_beside,
    );
    (at_least("quality", &what, low, -policy.quality.margin), Some(table))
}

/// The percentile bootstrap (Efron 1979) of a mean. Seeded: the same figures give the same interval.
fn interval(values: &[f64], confidence: f64, resamples: usize) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let means: Vec<f64> = (0..resamples)
        .map(|_| {
            let drawn = (0..values.len()).map(|_| values[rng.random_range(0..values.len())]);
            drawn.sum::<f64>() / values.len().max(1) as f64
        })
        .collect();
    let Interval { low, high } = Interval::of(means, confidence);
    (low, high)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use finrank_store::models::Verdict;

    use super::*;

    #[test]
    fn the_interval_is_that_of_the_normal_distribution_where_there_are_many() {
        let values: Vec<f64> = (0..2_000).map(|index| f64::from(index % 2)).collect();

        let (low, high) = interval(&values, 0.95, 2_000);

        // A share of one half among 2,000: ± 1.96 · 0.5 / √2000 = 0.0219.
        assert!((low - 0.4781).abs() < 0.003 && (high - 0.5219).abs() < 0.003, "{low} {high}");
    }

    #[test]
    fn a_model_that_is_clearly_worse_fails_by_how_much_it_is() {
        let policy = Policy::default();
        let (first, fifth) = (vec![0.0; 500], vec![4.0; 500]);

        let (worse, _) = judge(&policy, "the serving model", &fifth, &first);
        let (equal, table) = judge(&policy, "the serving model", &first, &first);

        assert_eq!(worse.verdict, Verdict::Fail);
        assert_eq!(
            worse.explanation,
            "MRR is 0.2000 and that of the serving model 1.0000; the lower end of the difference's 95 % interval \
             is -0.8000, 0.7900 below the -0.01 asked for"
        );
        assert_eq!(equal.verdict, Verdict::Pass);
        assert_eq!(table.unwrap().low, 0.0);
    }

    #[test]
    fn a_small_worsening_that_chance_may_hide_fails_too() {
        let policy = Policy::default();
        let ours: Vec<f64> = (0..100).map(|index| f64::from(index % 3)).collect();
        let theirs: Vec<f64> = (0..100).map(|index| f64::from((index + 1) % 3)).collect();

        let (result, table) = judge(&policy, "the serving model", &ours, &theirs);

        let table = table.unwrap();
        assert!((table.mrr - table.mrr_beside).abs() < 0.01, "{table:?}");
        assert_eq!(result.verdict, Verdict::Fail, "the interval reaches below the margin: {table:?}");
    }
}
