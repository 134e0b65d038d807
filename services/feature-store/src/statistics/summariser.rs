//! Summarises the entities of a partition, page by page.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use finrank_model::features::{Definitions, Entity, FeatureView};
use finrank_store::{
    Store,
    features::{Asked, FeaturePlan, FeatureValue, InRange},
};
use postgres::{Transaction, types::Json};

use super::ViewSummary;
use crate::{Result, refresh::RunId};

/// Entities with a value out of range, or without one, that one partition names, of each feature.
const NAMED_OUTLIERS: u64 = 100;

/// Summaries by view.
pub(crate) type Summaries = BTreeMap<String, ViewSummary>;

/// Reads features of one moment.
pub(crate) struct Summariser {
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) moment: DateTime<Utc>,
    /// Whether all entities are to be summarised, and not only those that have changed.
    pub(crate) whole: bool,
}

/// What a partition's entities are like so far.
#[derive(Default)]
pub(crate) struct PartitionSummary {
    summaries: Summaries,
    outliers: Vec<Outlier>,
}

/// An entity whose value is not within what is expected, or that has none where that is counted.
#[derive(Clone, Debug)]
pub(crate) struct Outlier {
    pub(crate) view: String,
    pub(crate) feature: String,
    pub(crate) id: String,
    pub(crate) value: Option<f64>,
}

impl Summariser {
    /// Takes a page of entities into a partition's summary; their ids are in ascending order. What is believed of them
    /// was read just now.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn add(
        &self,
        store: &Store,
        entity: Entity,
        page: &[InRange<'_>],
        partition: &mut PartitionSummary,
    ) -> Result<()> {
        let views = || self.definitions.views.values().filter(|view| view.entity == entity);
        if views().next().is_none() {
            return Ok(());
        }
        let plan = FeaturePlan::of_views(entity, views());
        let moment = self.moment;
        // A page of a whole refresh is everyone between two ids. A product has so many events that reading them one
        // product at a time costs nothing, and reads no more than the windows want.
        let rows = if self.whole && entity == Entity::Customer {
            plan.read_range(store, page, moment, moment).await?
        } else {
            let asked =
                |entity: &InRange<'_>| Asked { id: entity.id.to_owned(), as_of: moment, known_at: moment };
            plan.read(store, &page.iter().map(asked).collect::<Vec<_>>()).await?
        };
        for (entity, values) in page.iter().zip(&rows) {
            let mut values = values.as_slice();
            for view in views() {
                let (of_view, of_others) = values.split_at(view.features.len());
                partition.add(view, entity.id, of_view, moment);
                values = of_others;
            }
        }
        Ok(())
    }
}

impl PartitionSummary {
    fn add(&mut self, view: &FeatureView, id: &str, values: &[FeatureValue], moment: DateTime<Utc>) {
        let summary = match self.summaries.get_mut(&view.name) {
            Some(summary) => summary,
            None => self.summaries.entry(view.name.clone()).or_default(),
        };
        summary.add_entity(values);
        for (feature, value) in view.features.iter().zip(values) {
            let of_feature = match summary.features.get_mut(&feature.name) {
                Some(of_feature) => of_feature,
                None => summary.features.entry(feature.name.clone()).or_default(),
            };
            let nulls = of_feature.null;
            let value = of_feature.add(value, moment);
            let place = if of_feature.null > nulls {
                feature.expect.null_rate.map(|_| of_feature.null)
            } else if value.is_some_and(|value| feature.expect.excludes(value)) {
                of_feature.out_of_range += 1;
                Some(of_feature.out_of_range)
            } else {
                None
            };
            if place.is_some_and(|place| place <= NAMED_OUTLIERS) {
                let (view, feature) = (view.name.clone(), feature.name.clone());
                self.outliers.push(Outlier { view, feature, id: id.to_owned(), value });
            }
        }
    }

    /// Stores the summary in the transaction that writes the partition.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub(crate) fn store(
        self,
        transaction: &mut Transaction<'_>,
        run_id: RunId,
        entity: &str,
        partition: i32,
    ) -> Result<()> {
        transaction.execute(
            "update refresh_partitions set summaries = $4 where run_id = $1 and entity = $2 and partition = $3",
            &[&run_id.get(), &entity, &partition, &Json(self.summaries)],
        )?;
        for Outlier { view, feature, id, value } in self.outliers {
            transaction.execute(
                "insert into feature_outliers (run_id, view, feature, entity, id, value)
                 values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
                &[&run_id.get(), &view, &feature, &entity, &id, &value],
            )?;
        }
        Ok(())
    }
}
