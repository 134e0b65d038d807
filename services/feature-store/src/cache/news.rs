//! What has happened since the turn before that makes something kept wrong.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use finrank_store::Store;

use crate::Result;

/// The most entities that are told apart; of more, everything is forgotten.
const MAX_CHANGED: usize = 10_000;
/// The longest time of which is listed who has changed; of a longer one everything is forgotten. To list what was learned
/// in an hour's bulk load would take longer than anybody waits for the horizon, and the next try would have to list more.
const LONGEST_LISTED: TimeDelta = TimeDelta::seconds(10);

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
    /// More than are worth telling apart, or listing.
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
    /// Those that were listed, if they could be.
    fn new(listed: Option<Vec<String>>) -> Self {
        match listed {
            Some(ids) if ids.len() <= MAX_CHANGED => Self::These(ids),
            _ => Self::Many,
        }
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
        let is_long = |(from, to): (DateTime<Utc>, DateTime<Utc>)| to - from > LONGEST_LISTED;
        let is_listed = !from.zip(to).is_some_and(is_long);
        let (from, to) = if is_listed { (from, to) } else { (None, None) };
        let (live_versions, live) = (before.live_versions.as_slice(), before.live.as_slice());
        let found = store.ask(|pool| async move {
            sqlx::query!(
                r#"with moved as (
                       select marked.known_at as since, live_watermarks.known_at as until
                       from unnest($4::text[], $5::timestamptz[]) as marked (model_version, known_at)
                       join live_watermarks using (model_version)
                       where live_watermarks.known_at > marked.known_at
                         and live_watermarks.known_at <= marked.known_at + $6::interval
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
                               select id from changes_between(moved.since, moved.until) where entity = 'user'
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
                LONGEST_LISTED as _,
            )
            .fetch_one(&pool)
            .await
        });
        let found = found.await?;
        let marks = Marks {
            generations: found.generations,
            promotion: found.promotion,
            live_versions: found.live_versions,
            live: found.live,
        };
        let steps_are_listed = !marks.steps_since(&before).any(is_long);
        Ok(Self {
            customers: Changed::new(is_listed.then_some(found.customers)),
            products: Changed::new(is_listed.then_some(found.products)),
            recomputed: Changed::new(steps_are_listed.then_some(found.recomputed)),
            somebody_was_erased: found.erased,
            other_generations: marks.generations != before.generations || marks.promotion != before.promotion,
            marks,
        })
    }
}

impl Marks {
    /// From when to when each model version's watermark has moved, of those that had one before.
    fn steps_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let now: HashMap<&str, DateTime<Utc>> = self.watermarks().collect();
        before.watermarks().filter_map(move |(version, before)| Some((before, *now.get(version)?)))
    }

    fn watermarks(&self) -> impl Iterator<Item = (&str, DateTime<Utc>)> {
        self.live_versions.iter().map(String::as_str).zip(self.live.iter().copied())
    }
}
