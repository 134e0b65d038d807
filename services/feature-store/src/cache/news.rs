//! What has happened since the turn before that makes something kept wrong.

use chrono::{DateTime, Utc};
use finrank_store::Store;

use crate::Result;

/// The most entities that are told apart; of more, everything is forgotten.
const MAX_CHANGED: usize = 10_000;

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Of whom something was learned.
    pub(super) customers: Changed,
    /// Of which products, be it by what customers did.
    pub(super) products: Changed,
    /// Of an erasure nothing is left that tells whom it was.
    pub(super) somebody_was_erased: bool,
    /// Of whom live embeddings were computed.
    pub(super) recomputed: Changed,
    /// Whether other generations are served than before.
    pub(super) other_generations: bool,
    /// To be told from the next.
    pub(super) marks: Marks,
}

/// Entities that have changed.
#[derive(Debug)]
pub(super) enum Changed {
    These(Vec<String>),
    /// More than are worth telling apart.
    Many,
}

/// What tells one state of the embeddings from another.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Marks {
    /// The whole runs.
    generations: Vec<i64>,
    /// The last promotion, which decides whose generation is served where none is named.
    promotion: Option<i64>,
    /// Model versions of which live embeddings are computed, and up to when, of each.
    live_versions: Vec<String>,
    live: Vec<DateTime<Utc>>,
}

impl Default for Changed {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Changed {
    fn new(ids: Vec<String>) -> Self {
        if ids.len() > MAX_CHANGED { Self::Many } else { Self::These(ids) }
    }
}

impl News {
    /// Reads what became known from one moment on and before another, which must both be horizons; without either
    /// nothing can have become known. What a live embedding is computed from became known before it, and so whoever has
    /// one since is told of apart, by each model version's own watermark: one that is stuck does not count.
    pub(super) async fn read(
        store: &Store,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
        before: Marks,
    ) -> Result<Self> {
        let (live_versions, live) = (before.live_versions.as_slice(), before.live.as_slice());
        let found = store.ask(|pool| async move {
            sqlx::query!(
                r#"with moved as (
                       select marked.known_at as since, live_watermarks.known_at as until
                       from unnest($4::text[], $5::timestamptz[]) as marked (model_version, known_at)
                       join live_watermarks using (model_version)
                       where live_watermarks.known_at > marked.known_at
                   )
                   select
                       array(
                           select user_id from customer_statements where known_at >= $1 and known_at < $2
                           union
                           select user_id from event_statements where known_at >= $1 and known_at < $2
                           limit $3
                       ) as "customers!",
                       array(
                           select product_id from product_statements where known_at >= $1 and known_at < $2
                           union
                           select product_id from event_statements where known_at >= $1 and known_at < $2
                           union
                           -- A correction may name another product than what it corrects; looked up one by one, for
                           -- there may be years of events.
                           select corrected.product_id
                           from event_statements correction
                           cross join lateral (
                               select product_id from event_statements
                               where user_id = correction.user_id and event_id = correction.event_id
                                 and revision < correction.revision
                               offset 0
                           ) as corrected
                           where correction.revision > 0
                             and correction.known_at >= $1 and correction.known_at < $2
                           limit $3
                       ) as "products!",
                       array(
                           select changed.id
                           from moved
                           cross join lateral (
                               select id from changes
                               where entity = 'user' and known_at >= moved.since and known_at < moved.until
                           ) as changed
                           group by changed.id
                           limit $3
                       ) as "recomputed!",
                       exists (select from erasures where erased_at >= $1 and erased_at < $2) as "erased!",
                       array(select run_id from refresh_runs where state = 'complete' order by run_id)
                           as "generations!",
                       (select max(promotion_id) from promotions) as promotion,
                       array(select model_version from live_watermarks order by model_version) as "live_versions!",
                       array(select known_at from live_watermarks order by model_version) as "live!""#,
                from,
                to,
                MAX_CHANGED as i64 + 1,
                live_versions,
                live,
            )
            .fetch_one(&pool)
            .await
        });
        let found = found.await?;
        Ok(Self {
            customers: Changed::new(found.customers),
            products: Changed::new(found.products),
            recomputed: Changed::new(found.recomputed),
            somebody_was_erased: found.erased,
            other_generations: found.generations != before.generations || found.promotion != before.promotion,
            marks: Marks {
                generations: found.generations,
                promotion: found.promotion,
                live_versions: found.live_versions,
                live: found.live,
            },
        })
    }
}
