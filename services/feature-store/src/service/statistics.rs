//! ListFeatureViews and DescribeFeatureView.

use finrank_contracts::feature::v1;
use finrank_model::{
    InvalidField,
    features::{FeatureView, Sensitivity},
};
use finrank_serving::wire;

use super::{FeatureStoreService, feature_wire, features};
use crate::{
    FeatureStoreError, Result,
    statistics::{self, Breach, Described, FeatureSummary},
};

/// Refreshes that are told of at most.
const MAX_HISTORY: u32 = 1000;
/// Texts that are told of at most.
const TOP_TEXTS: usize = 20;
/// Shares of all values below quantiles that are told.
const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

pub(super) async fn list(service: &FeatureStoreService) -> Result<v1::ListFeatureViewsResponse> {
    let declared = service.registry.declared();
    let definitions = &declared.definitions;
    let freshness = statistics::freshness(&service.store, definitions.views.keys()).await?;
    Ok(feature_wire::declared(definitions, &freshness, service.horizon.moment().await?))
}

pub(super) async fn describe(
    service: &FeatureStoreService,
    request: v1::DescribeFeatureViewRequest,
) -> Result<v1::DescribeFeatureViewResponse> {
    if request.history > MAX_HISTORY {
        return Err(InvalidField::new("history", format!("is more than {MAX_HISTORY}")).into());
    }
    let (declared, known_at) = features::now(service).await?;
    let definitions = &declared.definitions;
    let Some(view) = definitions.views.get(&request.view) else {
        return Err(FeatureStoreError::ViewNotFound { view: request.view });
    };
    let history = statistics::describe(&service.store, &view.name, request.history.max(1).into()).await?;
    Ok(v1::DescribeFeatureViewResponse {
        view: Some(feature_wire::view(view)),
        definitions_sha256: definitions.digest.to_string(),
        known_at: Some(wire::timestamp(known_at)),
        statistics: history.into_iter().map(|described| of_view(view, described)).collect(),
    })
}

/// What is not as expected; with the ids of some of those whom it is breached by.
pub(super) fn breach(breach: &Breach, entity_ids: &[String]) -> v1::FeatureBreach {
    v1::FeatureBreach {
        feature: format!("{}:{}", breach.view, breach.feature),
        expectation: breach.expectation.as_str().to_owned(),
        allowed: breach.allowed,
        found: breach.found,
        stops: breach.stops,
        entity_ids: entity_ids.to_vec(),
    }
}

fn of_view(view: &FeatureView, described: Described) -> v1::FeatureViewStatistics {
    let Described { run_id, definitions_sha256, moment, whole, summary, breaches, outliers } = described;
    let features = summary.features.iter().map(|(name, summary)| {
        let breaches = breaches.iter().filter(|breach| breach.feature == *name);
        v1::FeatureStatistics {
            name: name.clone(),
            count: summary.present,
            null_rate: summary.null_rate(),
            numbers: numbers(summary),
            texts: texts(summary, view.sensitivity),
            breaches: breaches.map(|found| breach(found, outliers.of(name, found.expectation))).collect(),
        }
    });
    v1::FeatureViewStatistics {
        run_id: run_id.get(),
        moment: Some(wire::timestamp(moment)),
        whole,
        definitions_sha256,
        entities: summary.entities,
        not_found: summary.not_found,
        outside_max_age: summary.outside_max_age,
        oldest_event_time: summary.event_times.map(|[oldest, _]| wire::timestamp(oldest)),
        newest_event_time: summary.event_times.map(|[_, newest]| wire::timestamp(newest)),
        features: features.collect(),
    }
}

fn numbers(summary: &FeatureSummary) -> Option<v1::NumberStatistics> {
    let quantile = |share: f64| Some(v1::Quantile { share, value: summary.quantile(share)? });
    Some(v1::NumberStatistics {
        mean: summary.numbers.as_ref()?.mean()?,
        min: summary.quantile(0.0)?,
        max: summary.quantile(1.0)?,
        quantiles: QUANTILES.into_iter().filter_map(quantile).collect(),
    })
}

fn texts(summary: &FeatureSummary, sensitivity: Sensitivity) -> Option<v1::TextStatistics> {
    let texts = &summary.texts;
    if texts.distinct() == 0 {
        return None;
    }
    let shared = texts.most_frequent(sensitivity).into_iter().take(TOP_TEXTS);
    let top = shared.map(|(text, count)| v1::TextCount { text: text.to_owned(), count });
    Some(v1::TextStatistics {
        distinct: u32::try_from(texts.distinct()).unwrap_or(u32::MAX),
        has_more: texts.has_more,
        top: top.collect(),
    })
}
