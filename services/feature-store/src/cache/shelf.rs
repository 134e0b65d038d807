//! Things kept by the id of whom they are about, up to a number of bytes; what is asked for often stays longest.

use std::{iter, sync::Arc};

use metrics::{Counter, Gauge};
use moka::sync::Cache;

/// Things of one entity that are kept at the same time: feature sets in use, or model versions.
const MAX_THINGS: usize = 8;
/// What the cache itself needs for an entry, about.
const OVERHEAD: usize = 200;

/// What a shelf keeps.
pub(super) trait Thing: Clone + Send + Sync + 'static {
    /// Whether the one takes the other's place.
    fn replaces(&self, other: &Self) -> bool;
    /// About how much memory it takes, in bytes.
    fn bytes(&self) -> usize;
}

/// Things by entity.
pub(super) struct Shelf<T> {
    things: Cache<String, Arc<[T]>>,
    hits: Counter,
    misses: Counter,
    bytes: Gauge,
}

impl<T: Thing> Shelf<T> {
    /// Keeps at most so many bytes; `name` tells it from others in the metrics.
    pub(super) fn new(name: &'static str, max_bytes: u64) -> Self {
        let weigh = |id: &String, things: &Arc<[T]>| {
            let bytes = OVERHEAD + id.len() + things.iter().map(Thing::bytes).sum::<usize>();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let reads =
            |result| metrics::counter!("finrank_cache_reads_total", "cache" => name, "result" => result);
        Self {
            things: Cache::builder().max_capacity(max_bytes).weigher(weigh).build(),
            hits: reads("hit"),
            misses: reads("miss"),
            bytes: metrics::gauge!("finrank_cache_bytes", "cache" => name),
        }
    }

    /// The thing of an entity that is the one wanted.
    pub(super) fn get(&self, id: &str, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let found = self.things.get(id).and_then(|things| things.iter().find(|thing| wanted(thing)).cloned());
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.increment(1);
        found
    }

    /// Keeps a thing in the place of the one that it replaces, or of the oldest of too many.
    pub(super) fn put(&self, id: &str, thing: &T) {
        self.things.entry_by_ref(id).and_upsert_with(|kept| {
            let kept = kept.map(moka::Entry::into_value);
            let others = kept.iter().flat_map(|kept| kept.iter()).filter(|other| !thing.replaces(other));
            iter::once(thing).chain(others.take(MAX_THINGS - 1)).cloned().collect()
        });
    }

    /// Forgets what is kept of these entities.
    pub(super) fn forget(&self, ids: &[String]) {
        for id in ids {
            self.things.invalidate(id.as_str());
        }
        self.bytes.set(self.things.weighted_size() as f64);
    }

    /// Forgets everything.
    pub(super) fn forget_all(&self) {
        self.things.invalidate_all();
        self.bytes.set(0.0);
    }
}
