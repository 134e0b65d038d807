//! The same training with several seeds: what one seed hides moves many customers together, so that a single
//! figure says little.

mod seeds;
mod summary;

use finrank_model::Attributes;
use finrank_store::{Store, models, moments};

use self::seeds::measure_seeds;
use crate::{
    EvaluateConfig, EvaluateReport, LearningError, Result, Stage, TrainObserver,
    dataset::Dataset,
    evaluation::{DriftReport, SegmentSums, drift},
    source,
    split::ProductOrder,
};

/// Trains and measures once per seed; registers and writes nothing.
///
/// # Errors
/// As [`crate::train`], and when there are no seeds, an attribute to divide by is unknown, or the order of products is
/// not one of the catalogue.
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
    let drift = moved_since_training(store, &dataset).await?;
    let config = config.clone();
    let report = tokio::task::spawn_blocking(move || evaluate_on(&dataset, &config, &mut observer)).await??;
    Ok(EvaluateReport { drift, ..report })
}

/// The customers of now beside those of the newest model, if there is one.
async fn moved_since_training(store: &Store, dataset: &Dataset) -> Result<Option<DriftReport>> {
    let Some(model) = models::newest(store).await? else {
        return Ok(None);
    };
    let then = moments::attributes_of_all(store, model.registered_at).await?;
    let then: Vec<&Attributes> = then.iter().collect();
    let now: Vec<&Attributes> = dataset.users.iter().map(|user| &user.attributes).collect();
    Ok(Some(DriftReport {
        model_version: model.model_version,
        registered_at: model.registered_at,
        customers_then: then.len(),
        customers_now: now.len(),
        attributes: drift(&then, &now),
    }))
}

/// Everything but the store.
fn evaluate_on(
    dataset: &Dataset,
    config: &EvaluateConfig,
    observer: &mut dyn TrainObserver,
) -> Result<EvaluateReport> {
    let order = match config.product_order.as_slice() {
        [] => ProductOrder::by_id(dataset),
        ids => ProductOrder::of(dataset, ids)?,
    };
    let mut segments = vec![SegmentSums::by_holdings(dataset)];
    for attribute in &config.segments {
        let is_known = dataset.users.iter().any(|user| user.attributes.get(attribute.as_str()).is_some());
        if !is_known {
            return Err(LearningError::Setting {
                name: "segment",
                value: attribute.to_string(),
                reason: "no customer has such an attribute",
            });
        }
        segments.push(SegmentSums::by_attribute(dataset, attribute.as_str()));
    }
    let mut curves = None;
    let mut seeds = Vec::with_capacity(config.seeds.len());
    for measured in measure_seeds(dataset, config, &order, observer)? {
        for sums in &mut segments {
            sums.add(&measured.customers, &measured.answers);
        }
        curves.get_or_insert(measured.curves);
        seeds.push(measured.report);
    }
    Ok(EvaluateReport {
        split: config.split,
        dataset: dataset.report,
        summary: summary::of_models(&seeds),
        comparisons: summary::comparisons(&seeds),
        segments: segments.into_iter().map(SegmentSums::finish).collect(),
        curves: curves.unwrap_or_default(),
        drift: None,
        seeds,
    })
}
