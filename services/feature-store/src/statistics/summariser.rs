//! Summarises the entities of a partition, page by page.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use finrank_model::features::{Definitions, Entity, FeatureView};
use finrank_store::{
    Store,
    features::{Asked, FeaturePlan, FeatureValue},
};
use postgres::{Transaction, types::Json};

use super::ViewSummary;
use crate::{Result, refresh::RunId};

/// Entities with a value out of range that one partition names, of each feature.
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

/// An entity whose value is not within what is expected.
#[derive(Clone, Debug)]
pub(crate) struct Outlier {
    pub(crate) view: String,
    pub(crate) feature: String,
    pub(crate) id: String,
    pub(crate) value: f64,
}

impl Summariser {
    /// Takes a page of entities into a partition's summary.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn add(
        &self,
        store: &Store,
        entity: Entity,
        ids: &[&str],
        partition: &mut PartitionSummary,
    ) -> Result<()> {
        let asked = |id: &&str| Asked { id: (*id).to_owned(), as_of: self.moment, known_at: self.moment };
        let asked: Vec<Asked> = ids.iter().map(asked).collect();
        for view in self.definitions.views.values().filter(|view| view.entity == entity) {
            let values = FeaturePlan::of_view(view).read(store, &asked).await?;
            for (asked, values) in asked.iter().zip(&values) {
                partition.add(view, asked, values);
            }
        }
        Ok(())
    }
}

impl PartitionSummary {
    fn add(&mut self, view: &FeatureView, asked: &Asked, values: &[FeatureValue]) {
        let summary = self.summaries.entry(view.name.clone()).or_default();
        summary.add_entity(values);
        for (feature, value) in view.features.iter().zip(values) {
            let of_feature = summary.features.entry(feature.name.clone()).or_default();
            let number = of_feature.add(value, asked.as_of);
            let Some(value) = number.filter(|number| feature.expect.excludes(*number)) else {
                continue;
            };
            of_feature.out_of_range += 1;
            if of_feature.out_of_range <= NAMED_OUTLIERS {
                self.outliers.push(Outlier {
                    view: view.name.clone(),
                    feature: feature.name.clone(),
                    id: asked.id.clone(),
                    value,
                });
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
