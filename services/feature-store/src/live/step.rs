//! One step of one model version: from its watermark on, as far as some 1,000 statements go.

use std::{num::NonZeroU32, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_model::{
    Bundle, ModelVersion,
    features::{Definitions, Entity},
};
use finrank_store::{Store, records};
use sqlx::{Postgres, Transaction};
use tokio::task;

use super::{
    LIVE_CHANNEL,
    guard::Guard,
    rows::{Rows, write_products, write_users},
};
use crate::{
    FeatureStoreError, Result,
    changes::{Changed, Learned},
    people::hold_off_erasures,
    towers::Completion,
};

/// How far a watermark may stay behind while nothing changes: moving it ten times a second would write for nothing.
const IDLE_LAG: TimeDelta = TimeDelta::seconds(1);

/// A step that has begun: nobody else is at this model version until it ends.
pub(super) struct Step {
    transaction: Transaction<'static, Postgres>,
    version: ModelVersion,
    learned: Learned,
    changed: Changed,
    rows: usize,
    /// Whether it goes up to the horizon.
    is_last: bool,
}

/// What is left after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    CaughtUp,
    MoreToDo,
}

impl Step {
    /// Begins a step, unless there is nothing to do or somebody else is at it. While a customer is erased or a run
    /// becomes visible there is nothing to do either, and these wait for a step that is under way: what a step has
    /// read of a person it does not write after their erasure.
    pub(super) async fn begin(
        store: &Store,
        version: &ModelVersion,
        below: DateTime<Utc>,
        rows: NonZeroU32,
    ) -> Result<Option<Self>> {
        let mut transaction = store.pool().begin().await?;
        if !hold_off_erasures(&mut transaction).await? {
            return Ok(None);
        }
        let watermark = sqlx::query_scalar!(
            "select known_at from live_watermarks where model_version = $1 for update skip locked",
            version.as_str(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(from) = watermark.filter(|watermark| *watermark < below) else {
            return Ok(None);
        };
        let learned = Learned { from, below }.first(&mut transaction, None, rows.get()).await?;
        let changed = Changed::read(&mut transaction, learned).await?;
        let is_last = learned.below == below;
        if changed.is_empty() && is_last && below - from < IDLE_LAG {
            return Ok(None);
        }
        let rows = rows.get() as usize;
        Ok(Some(Self { transaction, version: version.clone(), learned, changed, rows, is_last }))
    }

    /// Whether there is something to compute.
    pub(super) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Moves the watermark past statements that change nobody.
    pub(super) async fn skip(self) -> Result<Outcome> {
        self.finish().await
    }

    /// Computes and writes whoever has changed and is not to be left out, and moves the watermark. Reads each after the horizon has passed what
    /// was learned of them, so that a row knows at least all that the step is about.
    pub(super) async fn compute(mut self, bundle: Arc<Bundle>, definitions: &Definitions) -> Result<Outcome> {
        let completion = Completion::new(&bundle, definitions, self.learned.below)?;
        let guard = Guard::new(definitions, Entity::Customer);
        // Statements of one moment come in one step, however many they are.
        for ids in self.changed.users.chunks(self.rows) {
            let ids = &*guard.admitted(&mut *self.transaction, ids, self.learned.below).await?;
            let mut users = records::user_records_of(&mut *self.transaction, ids).await?;
            completion.of_some(&mut *self.transaction, &mut users).await?;
            let towers = bundle.clone();
            let encode = move || towers.user.encode(&users).map(|embeddings| (users, embeddings));
            let (users, embeddings) =
                task::spawn_blocking(encode).await?.map_err(FeatureStoreError::Encode)?;
            let rows = Rows::new(ids, users.iter().map(|user| &user.user_id), &embeddings);
            write_users(&mut self.transaction, &self.version, self.learned.below, &rows).await?;
        }
        let guard = Guard::new(definitions, Entity::Product);
        for ids in self.changed.products.chunks(self.rows) {
            let ids = &*guard.admitted(&mut *self.transaction, ids, self.learned.below).await?;
            let products = records::product_records_of(&mut *self.transaction, ids).await?;
            let towers = bundle.clone();
            let encode = move || towers.product.encode(&products).map(|embeddings| (products, embeddings));
            let (products, embeddings) =
                task::spawn_blocking(encode).await?.map_err(FeatureStoreError::Encode)?;
            let rows = Rows::new(ids, products.iter().map(|product| &product.product_id), &embeddings);
            write_products(&mut self.transaction, &self.version, self.learned.below, &rows).await?;
        }
        sqlx::query!("select pg_notify($1, $2)", LIVE_CHANNEL, self.version.as_str())
            .execute(&mut *self.transaction)
            .await?;
        self.finish().await
    }

    async fn finish(mut self) -> Result<Outcome> {
        sqlx::query!(
            "update live_watermarks set known_at = $2 where model_version = $1",
            self.version.as_str(),
            self.learned.below,
        )
        .execute(&mut *self.transaction)
        .await?;
        self.transaction.commit().await?;
        Ok(if self.is_last { Outcome::CaughtUp } else { Outcome::MoreToDo })
    }
}
