//! The definitions that are in force, and those that were.
//!
//! What is in force is one pointer: a request takes it once and is answered by it to the end, and reading the file anew
//! swaps it. Plans hang on the definitions that they were compiled of, and go with them. Of a moment before they came into
//! force, at which a writer may hold the horizon for a while, those answer that were in force then.

use std::{fs, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use finrank_model::{Sha256Digest, features::Definitions};
use finrank_store::Store;
use moka::sync::Cache;
use tracing::info;

use super::{BUILT_IN_DEFINITIONS, declared::Declared};
use crate::{FeatureStoreError, FeaturesConfig, Result};

/// Earlier definitions that are kept parsed, each with its plans.
const EARLIER: u64 = 16;

/// What this server serves, and what Postgres remembers of earlier definitions. Clones share it.
#[derive(Clone)]
pub(crate) struct Registry {
    store: Store,
    file: FeaturesConfig,
    current: Arc<ArcSwap<Current>>,
    earlier: Cache<Sha256Digest, Arc<Declared>>,
}

/// What is declared, and what this server served before.
struct Current {
    declared: Arc<Declared>,
    former: Option<Arc<Declared>>,
}

/// Definitions, and since when they are in force.
pub(crate) struct InForce {
    pub(crate) declared: Arc<Declared>,
    pub(crate) since: DateTime<Utc>,
}

/// What came of reading the file anew.
pub(crate) struct Reloaded {
    pub(crate) in_force: InForce,
    /// What was served until then.
    pub(crate) before: Arc<Declared>,
}

impl Registry {
    /// Reads the configured file.
    ///
    /// # Errors
    /// Names the file, and everything that is wrong with it.
    pub(crate) fn load(store: Store, config: &FeaturesConfig) -> Result<Self> {
        let (definitions, text) = config.load()?;
        let declared = Arc::new(Declared::new(definitions, text));
        Ok(Self {
            store,
            file: config.clone(),
            current: Arc::new(ArcSwap::from_pointee(Current { declared, former: None })),
            earlier: Cache::new(EARLIER),
        })
    }

    /// What is declared, whether or not it is in force yet.
    pub(crate) fn declared(&self) -> Arc<Declared> {
        self.current.load().declared.clone()
    }

    /// This server's definitions, which are in force from the first call on.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn in_force(&self) -> Result<InForce> {
        let declared = self.declared();
        let since = *declared.since.get_or_try_init(|| self.record(&declared)).await?;
        Ok(InForce { declared, since })
    }

    /// Whether these are still what is served.
    pub(crate) fn serves(&self, declared: &Arc<Declared>) -> bool {
        Arc::ptr_eq(declared, &self.current.load().declared)
    }

    /// Those that were in force at a moment before these came into force; nothing if these are the first.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn before_these(&self, moment: DateTime<Utc>) -> Result<Option<Arc<Declared>>> {
        let former = self.current.load().former.clone();
        let is_of = |former: &Arc<Declared>| former.since.get().is_some_and(|since| *since <= moment);
        // A server that has just begun has served none, and one whose file changed twice at once others before them.
        match former.filter(is_of) {
            Some(former) => Ok(Some(former)),
            None => match self.at(moment, None).await {
                Ok(recorded) => Ok(Some(recorded)),
                Err(FeatureStoreError::NoDefinitions { .. }) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Reads the file anew and puts what it declares into force, if it declares something else.
    ///
    /// The swap comes first and the record after it. So whoever still serves the old definitions after the swap can
    /// see that, and whoever did not see it has taken a moment before the new ones' first (see `service::features`):
    /// every moment belongs to one set of definitions.
    ///
    /// # Errors
    /// Everything that is wrong with the file, and then the old definitions stay. When Postgres does not answer: then the
    /// new ones are in force as soon as it does.
    pub(crate) async fn reload(&self) -> Result<Reloaded> {
        let file = self.file.clone();
        // A file may lie far away.
        let (definitions, text) = tokio::task::spawn_blocking(move || file.load()).await??;
        let before = self.declared();
        if definitions.digest != before.definitions.digest {
            let declared = Arc::new(Declared::new(definitions, text));
            self.current.store(Arc::new(Current { declared, former: Some(before.clone()) }));
        }
        let in_force = self.in_force().await?;
        if !Arc::ptr_eq(&in_force.declared, &before) {
            info!(definitions = %in_force.declared.definitions.digest, "other feature definitions are in force");
        }
        Ok(Reloaded { in_force, before })
    }

    /// Remembers them, unless they were the last to be.
    async fn record(&self, declared: &Declared) -> Result<DateTime<Utc>> {
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
            declared.definitions.digest.to_string(),
            declared.text,
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
    ) -> Result<Arc<Declared>> {
        let digest = match digest {
            Some(digest) => digest,
            None => self.digest_at(moment).await?,
        };
        let declared = self.declared();
        // Definitions are not served before they are recorded.
        if declared.definitions.digest == digest && declared.since.initialized() {
            return Ok(declared);
        }
        if let Some(earlier) = self.earlier.get(&digest) {
            return Ok(earlier);
        }
        let text = sqlx::query_scalar!(
            "select definitions from feature_definitions where sha256 = $1 limit 1",
            digest.to_string(),
        )
        .fetch_optional(self.store.pool())
        .await?
        .ok_or_else(|| FeatureStoreError::NoDefinitions { digest: Some(digest.to_string()), moment })?;
        let stored =
            |source| FeatureStoreError::Definitions { file: "feature_definitions".to_owned(), source };
        let earlier = Arc::new(Declared::new(Definitions::parse(&text).map_err(stored)?, text));
        self.earlier.insert(digest, earlier.clone());
        Ok(earlier)
    }

    async fn digest_at(&self, moment: DateTime<Utc>) -> Result<Sha256Digest> {
        let digest = sqlx::query_scalar!(
            "select sha256 from feature_definitions
             where in_force_from <= $1
             order by in_force_from desc
             limit 1",
            moment,
        )
        .fetch_optional(self.store.pool())
        .await?
        .ok_or(FeatureStoreError::NoDefinitions { digest: None, moment })?;
        Sha256Digest::parse(&digest).map_err(FeatureStoreError::StoredRow)
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
            Some(path) => (path.display().to_string(), read(path.clone())?),
        };
        let invalid = |source| FeatureStoreError::Definitions { file, source };
        Ok((Definitions::parse(&text).map_err(invalid)?, text))
    }
}

fn read(path: PathBuf) -> Result<String> {
    fs::read_to_string(&path).map_err(|source| FeatureStoreError::NoDefinitionsFile { path, source })
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
