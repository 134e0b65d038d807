//! Who is left out of live embeddings: of whom a value lies outside of what is expected, where a refresh would be
//! withheld for it. A rate, a drift or a number of texts is of all together, and only refreshes are held to those.

use std::{borrow::Cow, collections::HashSet};

use chrono::{DateTime, Utc};
use finrank_model::features::{Definitions, Entity, Feature, FeatureView, OnBreach};
use finrank_store::features::{Asked, FeaturePlan, FeatureValue};
use sqlx::PgExecutor;
use tracing::warn;

use crate::{Result, statistics::as_number};

/// Holds single values of one entity to what is expected of them.
pub(super) struct Guard {
    entity: Entity,
    /// Each with those of its features only that stop a refresh by a single value.
    views: Vec<FeatureView>,
}

impl Guard {
    /// As these definitions want it.
    pub(super) fn new(definitions: &Definitions, entity: Entity) -> Self {
        let views = definitions.views.values().filter(|view| view.entity == entity).filter_map(|view| {
            let mut view = view.clone();
            view.features.retain(is_guarded);
            (!view.features.is_empty()).then_some(view)
        });
        Self { entity, views: views.collect() }
    }

    /// Those of `ids` that are not left out, as of `moment`. Of the others the log says how many they are and for which
    /// feature; it names nobody.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(super) async fn admitted<'a, Id: AsRef<str> + Clone>(
        &self,
        view: impl PgExecutor<'_>,
        ids: &'a [Id],
        moment: DateTime<Utc>,
    ) -> Result<Cow<'a, [Id]>> {
        if self.views.is_empty() {
            return Ok(Cow::Borrowed(ids));
        }
        let asked = |id: &Id| Asked { id: id.as_ref().to_owned(), as_of: moment, known_at: moment };
        let asked: Vec<Asked> = ids.iter().map(asked).collect();
        let rows = FeaturePlan::of_views(self.entity, &self.views).read_within(view, &asked).await?;
        let left_out = self.left_out(&rows, moment);
        if left_out.is_empty() {
            return Ok(Cow::Borrowed(ids));
        }
        let admitted = (0..).zip(ids).filter(|(place, _)| !left_out.contains(place));
        Ok(Cow::Owned(admitted.map(|(_, id)| id.clone()).collect()))
    }

    /// The places of the rows that hold a value that must not be.
    fn left_out(&self, rows: &[Vec<FeatureValue>], moment: DateTime<Utc>) -> HashSet<usize> {
        let mut left_out = HashSet::new();
        let entity = self.entity.as_str();
        for (column, (view, feature)) in self.features().enumerate() {
            let number = |row: &Vec<FeatureValue>| as_number(row[column].value.as_ref()?, moment);
            let is_excluded = |row| number(row).is_some_and(|number| feature.expect.excludes(number));
            let excluded = (0..).zip(rows).filter(|(_, row)| is_excluded(row)).map(|(place, _)| place);
            let excluded: Vec<usize> = excluded.collect();
            if !excluded.is_empty() {
                let (view, feature, count) = (&view.name, &feature.name, excluded.len());
                warn!(
                    entity,
                    view, feature, count, "left out of live embeddings: their values must not be so"
                );
            }
            left_out.extend(excluded);
        }
        metrics::counter!("finrank_live_left_out_total", "entity" => entity).increment(left_out.len() as u64);
        left_out
    }

    /// In the order of a row's values.
    fn features(&self) -> impl Iterator<Item = (&FeatureView, &Feature)> {
        self.views.iter().flat_map(|view| view.features.iter().map(move |feature| (view, feature)))
    }
}

fn is_guarded(feature: &Feature) -> bool {
    let expect = &feature.expect;
    expect.breach == OnBreach::Stop && (expect.min.is_some() || expect.max.is_some())
}
