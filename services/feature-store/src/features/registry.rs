//! The definitions that are in force, and those that were.

use std::{fs, sync::Arc};

use chrono::{DateTime, Utc};
use finrank_model::{Sha256Digest, features::Definitions};
use finrank_store::Store;
use tokio::sync::OnceCell;

use super::BUILT_IN_DEFINITIONS;
use crate::{FeatureStoreError, FeaturesConfig, Result};

/// What this server serves, and what Postgres remembers of earlier definitions. Clones share it.
#[derive(Clone)]
pub(crate) struct Registry {
    store: Store,
    definitions: Arc<Definitions>,
    text: Arc<str>,
    since: Arc<OnceCell<DateTime<Utc>>>,
}

/// Definitions, and since when they are in force.
pub(crate) struct InForce {
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) since: DateTime<Utc>,
}

impl Registry {
    /// Reads the configured file.
    ///
    /// # Errors
    /// Names the file, and everything that is wrong with it.
    pub(crate) fn load(store: Store, config: &FeaturesConfig) -> Result<Self> {
        let (definitions, text) = config.load()?;
        Ok(Self {
            store,
            definitions: Arc::new(definitions),
            text: text.into(),
            since: Arc::new(OnceCell::new()),
        })
    }

    /// What is declared, whether or not it is in force yet.
    pub(crate) fn declared(&self) -> &Definitions {
        &self.definitions
    }

    /// This server's definitions, which are in force from the first call on.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn in_force(&self) -> Result<InForce> {
        let since = *self.since.get_or_try_init(|| self.record()).await?;
        Ok(InForce { definitions: self.definitions.clone(), since })
    }

    /// Remembers them, unless they were the last to be.
    async fn record(&self) -> Result<DateTime<Utc>> {
        let since = sqlx::query_scalar!(
            r#"with latest as (
                   select in_force_from, sha256 from feature_definitions order by in_force_from desc limit 1
               ),
               recorded as (
                   insert into feature_definitions (sha256, definitions)
                   select $1, $2
                   where not exists (select from latest where sha256 = $1)
                   returning in_force_from
               )
               select coalesce((select in_force_from from recorded), (select in_force_from from latest)) as "since!""#,
            self.definitions.digest.to_string(),
            &*self.text,
        )
        .fetch_one(self.store.pool())
        .await?;
        Ok(since)
    }

    /// The definitions with this digest, or else those that were in force at a moment.
    ///
    /// # Errors
    /// When there were none.
    pub(crate) async fn at(
        &self,
        moment: DateTime<Utc>,
        digest: Option<Sha256Digest>,
    ) -> Result<Arc<Definitions>> {
        let digest = digest.map(|digest| digest.to_string());
        let text = sqlx::query_scalar!(
            "select definitions from feature_definitions
             where case when $2::text is null then in_force_from <= $1 else sha256 = $2 end
             order by in_force_from desc
             limit 1",
            moment,
            digest,
        )
        .fetch_optional(self.store.pool())
        .await?
        .ok_or(FeatureStoreError::NoDefinitions { digest, moment })?;
        let stored =
            |source| FeatureStoreError::Definitions { file: "feature_definitions".to_owned(), source };
        Ok(Arc::new(Definitions::parse(&text).map_err(stored)?))
    }
}

impl FeaturesConfig {
    /// The definitions, and their text as it stands in the file.
    ///
    /// # Errors
    /// Names the file, and everything that is wrong with it.
    pub fn load(&self) -> Result<(Definitions, String)> {
        let (file, text) = match &self.definitions {
            None => ("the built-in feature definitions".to_owned(), BUILT_IN_DEFINITIONS.to_owned()),
            Some(path) => {
                let unreadable = |source| FeatureStoreError::NoDefinitionsFile { path: path.clone(), source };
                (path.display().to_string(), fs::read_to_string(path).map_err(unreadable)?)
            }
        };
        let invalid = |source| FeatureStoreError::Definitions { file, source };
        Ok((Definitions::parse(&text).map_err(invalid)?, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_definitions_hold_together() {
        let definitions = Definitions::parse(BUILT_IN_DEFINITIONS).unwrap();

        assert!(definitions.services.contains_key("offer_ranking"));
    }
}
