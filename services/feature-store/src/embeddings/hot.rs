//! Customers' embeddings, from memory where nothing has changed since they were read.

use std::sync::Arc;

use finrank_model::{ModelVersion, UserId};
use finrank_store::Store;

use super::{
    generation::Generation,
    lookup::{Answer, Found, Lookup, PresentEmbedding, lookup_users},
};
use crate::{Result, cache::HotCache};

/// Customers' embeddings, with the semantics of [`lookup_users`]: all of one generation.
///
/// # Errors
/// When there is no whole generation to read.
pub(crate) async fn hot_users(
    store: &Store,
    cache: &HotCache,
    ids: &[UserId],
    version: Option<&ModelVersion>,
) -> Result<Found> {
    let Some(ticket) = cache.ticket() else {
        return lookup_users(store, ids, version).await;
    };
    let generation = cache.embeddings.generation(version);
    let kept = Kept::of(cache, ids, generation);
    if let Some(found) = kept.all() {
        return Ok(found);
    }
    let found = lookup_users(store, &kept.missing, version).await?;
    cache.keep(ticket, || {
        cache.embeddings.put_generation(version, &found.generation);
        for answer in &found.answers {
            if let Lookup::Present(present) = &answer.lookup {
                cache.embeddings.put(&answer.id, &found.generation, present.clone());
            }
        }
    });
    match kept.filled_by(found) {
        Ok(found) => Ok(found),
        // A refresh has ended in between.
        Err(AnotherGeneration) => lookup_users(store, ids, version).await,
    }
}

/// What of the ids asked for is kept, in their order.
struct Kept {
    generation: Option<Arc<Generation>>,
    answers: Vec<(String, Option<PresentEmbedding>)>,
    missing: Vec<UserId>,
}

struct AnotherGeneration;

impl Kept {
    fn of(cache: &HotCache, ids: &[UserId], generation: Option<Arc<Generation>>) -> Self {
        let kept = |id: &UserId| (id.to_string(), cache.embeddings.get(id.as_str(), generation.as_deref()));
        let answers: Vec<_> = ids.iter().map(kept).collect();
        let missing = ids.iter().zip(&answers).filter(|(_, (_, kept))| kept.is_none());
        let missing = missing.map(|(id, _)| id.clone()).collect();
        Self { generation, answers, missing }
    }

    /// Everything, if nothing is missing.
    fn all(&self) -> Option<Found> {
        let present = |(id, kept): &(String, Option<PresentEmbedding>)| {
            Some(Answer { id: id.clone(), lookup: Lookup::Present(kept.clone()?) })
        };
        let answers = self.answers.iter().map(present).collect::<Option<_>>()?;
        Some(Found { generation: self.generation.clone()?, answers })
    }

    /// Everything, with what was missing in its places, if it is of the same generation.
    fn filled_by(self, found: Found) -> Result<Found, AnotherGeneration> {
        let nothing_kept = found.answers.len() == self.answers.len();
        if !nothing_kept && self.generation.as_deref() != Some(&found.generation) {
            return Err(AnotherGeneration);
        }
        let mut missing = found.answers.into_iter();
        let answers = self.answers.into_iter().filter_map(|(id, kept)| match kept {
            Some(present) => Some(Answer { id, lookup: Lookup::Present(present) }),
            None => missing.next(),
        });
        Ok(Found { answers: answers.collect(), generation: found.generation })
    }
}
