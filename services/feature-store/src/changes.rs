//! Who has changed: whose embedding may have become another, told by when that was learned. What is a change stands
//! once, in the function `changes_between`; refreshes, live embeddings and whoever keeps copies of either follow it.

use std::cmp::{max, min};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{ProductId, UserId};
use sqlx::PgConnection;

use crate::{FeatureStoreError, Result, refresh::Entity};

/// How much of a range is looked at first for where to cut it. What is bulk-loaded comes at some 100,000 statements a
/// second.
const FIRST_LOOK: TimeDelta = TimeDelta::seconds(1);

/// What was learned from one moment on and below another one. Up to the horizon nothing more can be learned of it, so
/// that whoever follows changes range by range misses none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    pub(crate) from: DateTime<Utc>,
    pub(crate) below: DateTime<Utc>,
}

/// Those who have changed, each once, in the order of their ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) users: Vec<UserId>,
    pub(crate) products: Vec<ProductId>,
}

impl Changed {
    /// Reads them.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn read(view: &mut PgConnection, learned: Learned) -> Result<Self> {
        let rows = sqlx::query!(
            r#"select distinct entity as "entity!", id as "id!" from changes_between($1, $2)
               order by entity, id"#,
            learned.from,
            learned.below,
        )
        .fetch_all(view)
        .await?;
        let mut changed = Self::default();
        for row in rows {
            match row.entity.as_str() {
                "user" => changed.users.push(UserId::parse(row.id).map_err(FeatureStoreError::StoredRow)?),
                _ => changed.products.push(ProductId::parse(row.id).map_err(FeatureStoreError::StoredRow)?),
            }
        }
        Ok(changed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.products.is_empty()
    }
}

impl Learned {
    /// The products that have changed, each once, in the order of their ids.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn products(self, view: &mut PgConnection) -> Result<Vec<ProductId>> {
        let ids = sqlx::query_scalar!(
            r#"select distinct id as "id!" from changes_between($1, $2)
               where entity = 'product'
               order by id"#,
            self.from,
            self.below,
        )
        .fetch_all(view)
        .await?;
        let ids = ids.into_iter().map(ProductId::parse);
        ids.collect::<Result<_, _>>().map_err(FeatureStoreError::StoredRow)
    }

    /// The first part of it in which at most `limit` statements changed somebody, or those of one single moment, which
    /// cannot be told apart; of users or products only, if one is named. Looks at twice as much each time until it has
    /// found where to cut, and so never reads far beyond that.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn first(self, view: &mut PgConnection, of: Option<Entity>, limit: u32) -> Result<Self> {
        let mut look = FIRST_LOOK;
        loop {
            let below = min(self.from + look, self.below);
            let beyond = sqlx::query_scalar!(
                r#"select known_at as "known_at!" from changes_between($1, $2)
                   where entity = coalesce($4, entity)
                   order by known_at
                   offset $3
                   limit 1"#,
                self.from,
                below,
                i64::from(limit),
                of.map(Entity::as_str),
            )
            .fetch_optional(&mut *view)
            .await?;
            match beyond {
                Some(beyond) => {
                    let below = max(beyond, self.from + TimeDelta::microseconds(1));
                    return Ok(Self { below, ..self });
                }
                None if below == self.below => return Ok(self),
                None => look = look * 2,
            }
        }
    }
}
