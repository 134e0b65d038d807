//! The same training with several seeds: what one seed hides moves many customers together, so that a single
//! figure says little.

use finrank_store::Store;

use crate::{
    EvaluateConfig, EvaluateReport, LearningError, ModelSummary, Result, SeedReport, Stage, TrainObserver,
    dataset::Dataset,
    evaluation::{self, ModelQuality, RankedBy},
    metrics::RankingQuality,
    source,
    split::Split,
    trainer,
};

/// Trains and measures once per seed; registers and writes nothing.
///
/// # Errors
/// As [`crate::train`], and when there are no seeds.
pub async fn evaluate(
    store: &Store,
    config: &EvaluateConfig,
    mut observer: impl TrainObserver + 'static,
) -> Result<EvaluateReport> {
    if config.seeds.is_empty() {
        return Err(LearningError::Setting {
            name: "seeds",
            value: "empty".to_owned(),
            reason: "give at least one",
        });
    }
    observer.stage(Stage::Reading);
    let dataset = source::read(store, config.split, &config.learning, config.definitions.as_deref()).await?;
    let config = config.clone();
    tokio::task::spawn_blocking(move || {
        let seeds = config
            .seeds
            .iter()
            .map(|&seed| measure_seed(&dataset, &config, seed, &mut observer))
            .collect::<Result<Vec<_>>>()?;
        Ok(EvaluateReport { split: config.split, dataset: dataset.report, summary: summary(&seeds), seeds })
    })
    .await?
}

fn measure_seed(
    dataset: &Dataset,
    config: &EvaluateConfig,
    seed: u64,
    observer: &mut dyn TrainObserver,
) -> Result<SeedReport> {
    let split = Split::new(dataset, config.split, seed)?;
    let trained = trainer::fit(dataset, &split, &config.transform, &config.learning, seed, observer)?;
    observer.stage(Stage::Evaluating);
    Ok(SeedReport {
        seed,
        epochs: trained.epochs,
        learning_seconds: trained.seconds,
        evaluation: evaluation::measure(dataset, &split, &trained, seed)?,
    })
}

fn summary(seeds: &[SeedReport]) -> Vec<ModelSummary> {
    let Some(first) = seeds.first() else {
        return Vec::new();
    };
    let models = first.evaluation.models.iter().map(|quality| quality.model);
    models.map(|model| summarise(model, seeds)).collect()
}

fn summarise(model: RankedBy, seeds: &[SeedReport]) -> ModelSummary {
    let found: Vec<&RankingQuality> = seeds
        .iter()
        .flat_map(|seed| &seed.evaluation.models)
        .filter(|quality| quality.model == model)
        .map(|ModelQuality { ranking, .. }| ranking)
        .collect();
    let mean = |measure: &dyn Fn(&RankingQuality) -> f64| {
        found.iter().map(|quality| measure(quality)).sum::<f64>() / found.len() as f64
    };
    let mrr = mean(&|quality| quality.mrr);
    let squares: f64 = found.iter().map(|quality| (quality.mrr - mrr).powi(2)).sum();
    let hit = |k| mean(&|quality| quality.at(k).map_or(0.0, |at| at.hit));
    ModelSummary {
        model,
        mrr,
        mrr_sd: (squares / (found.len().max(2) - 1) as f64).sqrt(),
        hit_at_1: hit(1),
        hit_at_3: hit(3),
        hit_at_5: hit(5),
        ndcg_at_5: mean(&|quality| quality.at(5).map_or(0.0, |at| at.ndcg)),
    }
}
