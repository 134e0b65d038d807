//! What many seeds come to.

use std::collections::BTreeMap;

use crate::{
    Comparison, ModelSummary, SeedReport,
    evaluation::RankedBy,
    metrics::{SeedDifference, standard_deviation},
};

/// Each model over all seeds.
pub(super) fn of_models(seeds: &[SeedReport]) -> Vec<ModelSummary> {
    models(seeds).into_iter().map(|model| summarise(model, seeds)).collect()
}

/// The ranker beside each other model.
pub(super) fn comparisons(seeds: &[SeedReport]) -> Vec<Comparison> {
    let of_ranker = by_measure(RankedBy::Ranker, seeds);
    let others = models(seeds).into_iter().filter(|&model| model != RankedBy::Ranker);
    let compared = others.map(|beside| {
        let of_other = by_measure(beside, seeds);
        let measures = of_ranker.iter().filter_map(|(name, values)| {
            Some((name.clone(), SeedDifference::of(values, of_other.get(name)?)))
        });
        Comparison { beside, measures: measures.collect() }
    });
    compared.collect()
}

fn models(seeds: &[SeedReport]) -> Vec<RankedBy> {
    let first = seeds.first();
    first.into_iter().flat_map(|seed| &seed.evaluation.models).map(|quality| quality.model).collect()
}

/// The values of each measure, one per seed.
fn by_measure(model: RankedBy, seeds: &[SeedReport]) -> BTreeMap<String, Vec<f64>> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for quality in seeds.iter().filter_map(|seed| seed.evaluation.of(model)) {
        for (name, value) in quality.measures() {
            values.entry(name).or_default().push(value);
        }
    }
    values
}

fn summarise(model: RankedBy, seeds: &[SeedReport]) -> ModelSummary {
    let values = by_measure(model, seeds);
    let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let measures: BTreeMap<String, f64> =
        values.iter().map(|(name, values)| (name.clone(), mean(values))).collect();
    let of = |name: &str| measures.get(name).copied().unwrap_or_default();
    ModelSummary {
        model,
        mrr: of("mrr"),
        mrr_sd: values.get("mrr").map_or(0.0, |values| standard_deviation(values)),
        hit_at_1: of("hit_at_1"),
        hit_at_3: of("hit_at_3"),
        hit_at_5: of("hit_at_5"),
        ndcg_at_5: of("ndcg_at_5"),
        measures,
    }
}
