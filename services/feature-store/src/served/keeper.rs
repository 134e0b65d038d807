//! Writes samples in batches, and removes those that are old or many.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use finrank_contracts::feature::v1;
use finrank_model::{InvalidField, features::Entity};
use finrank_serving::wire;
use finrank_store::Store;
use sqlx::types::Json;
use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};
use tracing::warn;

use super::{
    Sampler,
    sampler::{Queued, Sample},
};
use crate::{Result, SampleConfig, people};

/// Samples of one transaction.
const BATCH: usize = 1_000;
/// How long a sample waits for others at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often old samples are removed.
const REMOVE_INTERVAL: Duration = Duration::from_secs(60);

/// Keeps what the [`Sampler`] takes.
pub(crate) struct Keeper {
    store: Store,
    config: SampleConfig,
    queue: mpsc::Receiver<Queued>,
    dropped: Arc<AtomicU64>,
}

/// Samples on their way, and who waits for them.
#[derive(Default)]
struct Batch {
    samples: Vec<Sample>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, queued: Queued) {
        match queued {
            Queued::Sample(sample) => self.samples.push(sample),
            Queued::Flush(waiting) => self.waiting.push(waiting),
        }
    }

    fn is_due(&self) -> bool {
        self.samples.len() >= BATCH || !self.waiting.is_empty()
    }
}

impl Keeper {
    /// A sampler, and who keeps what it takes.
    pub(crate) fn new(store: Store, config: SampleConfig) -> (Sampler, Self) {
        let (sampler, queue, dropped) = Sampler::new(&config);
        (sampler, Self { store, config, queue, dropped })
    }

    /// Keeps samples for as long as there are samplers.
    pub(crate) async fn follow(mut self) {
        let mut remove = time::interval_at(Instant::now() + REMOVE_INTERVAL, REMOVE_INTERVAL);
        loop {
            tokio::select! {
                queued = self.queue.recv() => match queued {
                    Some(queued) => self.keep_with(queued).await,
                    None => return,
                },
                _ = remove.tick() => {
                    if let Err(error) = self.remove().await {
                        warn!(%error, "samples of what was served cannot be removed for a moment");
                    }
                }
            }
        }
    }

    /// Writes a sample with those that come soon after it.
    async fn keep_with(&mut self, first: Queued) {
        let mut batch = Batch::default();
        batch.add(first);
        let due = Instant::now() + PATIENCE;
        while !batch.is_due() {
            match time::timeout_at(due, self.queue.recv()).await {
                Ok(Some(queued)) => batch.add(queued),
                Ok(None) | Err(_) => break,
            }
        }
        let mut dropped = self.dropped.swap(0, Ordering::Relaxed);
        let samples = mem::take(&mut batch.samples);
        if let Err(error) = self.write(&samples).await {
            dropped += samples.len() as u64;
            warn!(%error, "samples of what was served cannot be written");
        }
        if dropped > 0 {
            warn!(dropped, "samples of what was served are lost");
        }
        for waiting in batch.waiting {
            // Whoever waited may have gone.
            let _ = waiting.send(());
        }
    }

    /// Writes samples, but for those that an erasure since may have been about, and those of customers of whom nothing
    /// is held: their ids would be all that is known of them.
    async fn write(&self, samples: &[Sample]) -> Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        let answers = || samples.iter().map(|sample| &*sample.answer);
        let entities: Vec<&str> = answers().map(|answer| kind(answer.entity)).collect();
        let ids: Vec<&str> = samples.iter().map(|sample| sample.id.as_str()).collect();
        let features: Vec<Json<&[String]>> =
            answers().map(|answer| Json(answer.header.features.as_slice())).collect();
        let purposes: Vec<&str> = answers().map(|answer| answer.purpose.as_str()).collect();
        let expired: Vec<Option<&str>> = answers().map(|answer| policy(answer.expired)).collect();
        let known_at = answers().map(|answer| wire::moment("known_at", answer.header.known_at));
        let known_at: Vec<DateTime<Utc>> = known_at.collect::<Result<_, InvalidField>>()?;
        let digests: Vec<&str> = answers().map(|answer| answer.header.definitions_sha256.as_str()).collect();
        let served: Vec<&[u8]> = samples.iter().map(|sample| sample.served.as_slice()).collect();
        let mut transaction = self.store.pool().begin().await?;
        people::wait_for_erasures(&mut transaction).await?;
        sqlx::query!(
            "insert into served_samples
                 (entity, id, features, purpose, expired, known_at, definitions_sha256, served)
             select entity, id, features, purpose, expired, known_at, definitions_sha256, served
             from unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::timestamptz[],
                         $7::text[], $8::bytea[])
                  as sampled (entity, id, features, purpose, expired, known_at, definitions_sha256, served)
             where known_at > coalesce((select max(erased_at) from erasures), '-infinity')
               and (
                   entity = 'product'
                   or exists (select from customer_statements where user_id = id)
                   or exists (select from event_statements where user_id = id)
               )",
            &entities as _,
            &ids as _,
            &features as _,
            &purposes as _,
            &expired as _,
            &known_at,
            &digests as _,
            &served as _,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Removes what is older than is to be kept, and what is more.
    async fn remove(&self) -> Result<()> {
        // Nothing is too old for a time that reaches back further than clocks do.
        let keep = TimeDelta::from_std(self.config.keep).ok();
        let oldest = keep.and_then(|keep| Utc::now().checked_sub_signed(keep));
        let most = i64::try_from(self.config.max_rows).unwrap_or(i64::MAX);
        sqlx::query!(
            "delete from served_samples
             where known_at < $1 or sample_id <= (select max(sample_id) from served_samples) - $2",
            oldest as _,
            most,
        )
        .execute(self.store.pool())
        .await?;
        Ok(())
    }
}

/// The name of an entity's kind in tables.
fn kind(entity: Entity) -> &'static str {
    match entity {
        Entity::Customer => "user",
        Entity::Product => "product",
    }
}

fn policy(expired: v1::ExpiredPolicy) -> Option<&'static str> {
    match expired {
        v1::ExpiredPolicy::Unspecified => None,
        v1::ExpiredPolicy::Flag => Some("flag"),
        v1::ExpiredPolicy::Null => Some("null"),
        v1::ExpiredPolicy::Reject => Some("reject"),
    }
}
