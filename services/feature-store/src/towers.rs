//! What a model's user tower reads beside records: features of views as of one moment, by the definitions of that moment.
//! Training has read the same, as of each of its examples, by the same plan.

use chrono::{DateTime, Utc};
use finrank_model::{Bundle, UserRecord, features::Definitions};
use finrank_store::{Store, features::TowerFeatures};
use sqlx::PgExecutor;

use crate::{FeatureStoreError, Result};

/// Completes the records that a model's user tower runs on; with nothing, if it reads no features.
pub(crate) struct Completion {
    features: Option<TowerFeatures>,
    moment: DateTime<Utc>,
}

impl Completion {
    /// For a model, by these definitions, as of `moment`.
    ///
    /// # Errors
    /// Names the features that the model reads and the definitions do not give any more.
    pub(crate) fn new(bundle: &Bundle, definitions: &Definitions, moment: DateTime<Utc>) -> Result<Self> {
        let unusable = |source| FeatureStoreError::FeaturesUnusable {
            version: bundle.manifest.model_version.clone(),
            source,
        };
        let set = bundle.user.transform.feature_set().cloned();
        let features =
            set.map(|set| TowerFeatures::compile(definitions, set).map_err(unusable)).transpose()?;
        Ok(Self { features, moment })
    }

    /// Completes a page of customers in the order of their ids, nearly all that there are between its ends.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn of_page(&self, store: &Store, users: &mut [UserRecord]) -> Result<()> {
        match &self.features {
            Some(features) => Ok(features.complete_page(store, users, self.moment).await?),
            None => Ok(()),
        }
    }

    /// Completes some customers.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn of_some(&self, view: impl PgExecutor<'_>, users: &mut [UserRecord]) -> Result<()> {
        match &self.features {
            Some(features) => Ok(features.complete(view, users, self.moment).await?),
            None => Ok(()),
        }
    }
}
