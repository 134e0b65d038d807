//! Writing: a bounded queue, and one task that takes from it and writes in batches. Whoever decides takes a place in the
//! queue first, and so never decides what cannot be kept.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::Utc;
use finrank_store::Store;
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    DecisionLogConfig, DecisionLogError, Mode, Result,
    chain::Link,
    checkpoint::{Checkpoint, CheckpointKey},
    entry::Entry,
    read,
};

/// Decisions of one transaction at most.
const BATCH: usize = 256;
/// The waits before a batch that could not be written is tried again.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long what waits is still tried to be written when the server ends.
const LAST_TRIES: Duration = Duration::from_secs(10);

/// One writer at a time, of all servers: the bytes of "finr" and "dlog".
const ONE_WRITER: &str = "select pg_advisory_xact_lock(1718185586, 1684827751)";
/// No erasure meanwhile (the lock of whoever erases): inputs are not written of somebody who was just erased.
pub(crate) const NO_ERASURE: &str = "select pg_advisory_xact_lock_shared(1718185586, 1701994867)";

/// Where decisions are left to be written. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DecisionLog {
    queue: mpsc::Sender<Queued>,
    mode: Mode,
}

/// A decision on its way, and whom to tell once it is written.
#[derive(Debug)]
struct Queued {
    entry: Entry,
    written: Option<oneshot::Sender<()>>,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Place {
    permit: mpsc::OwnedPermit<Queued>,
    mode: Mode,
}

/// The task that writes.
#[derive(Debug)]
pub struct Writing {
    task: JoinHandle<()>,
    /// Its end is the task's sign to finish.
    closing: watch::Sender<()>,
}

/// Tells when a decision is kept as the mode wants it.
#[derive(Debug)]
pub struct Receipt(Option<oneshot::Receiver<()>>);

impl DecisionLog {
    /// Begins to write, until it is told to finish.
    pub fn start(store: Store, config: &DecisionLogConfig, key: CheckpointKey) -> (Self, Writing) {
        info!(public_key = %key.public(), mode = ?config.mode, "decisions are kept");
        let (queue, waiting) = mpsc::channel(config.queue.get());
        let (closing, told) = watch::channel(());
        let writer = Writer {
            store,
            waiting,
            told,
            config: config.clone(),
            key,
            // What a server that was killed left unsigned is signed too.
            unsigned: 1,
            signed_at: Instant::now(),
            written: Link::BEGINNING,
            give_up: None,
        };
        (Self { queue, mode: config.mode }, Writing { task: tokio::spawn(writer.run()), closing })
    }

    /// How many places the queue has.
    pub fn places(&self) -> usize {
        self.queue.max_capacity()
    }

    /// Waits for a place in the queue.
    ///
    /// # Errors
    /// [`DecisionLogError::Closed`].
    pub async fn place(&self) -> Result<Place> {
        let permit = self.queue.clone().reserve_owned().await.map_err(|_| DecisionLogError::Closed)?;
        Ok(Place { permit, mode: self.mode })
    }
}

impl Writing {
    /// Takes nothing more on, and waits until what was taken is written and signed, or cannot be for some seconds.
    pub async fn finish(self) {
        drop(self.closing);
        if let Err(failure) = self.task.await {
            error!(%failure, "the writer of decisions failed");
        }
    }
}

impl Place {
    /// Leaves a decision to be written.
    pub fn take(self, entry: Entry) -> Receipt {
        let (written, receipt) = match self.mode {
            Mode::Strict => {
                let (written, receipt) = oneshot::channel();
                (Some(written), Some(receipt))
            }
            Mode::Queued | Mode::Off => (None, None),
        };
        self.permit.send(Queued { entry, written });
        Receipt(receipt)
    }
}

impl Receipt {
    /// Waits until the answer may go out.
    ///
    /// # Errors
    /// [`DecisionLogError::Closed`] if the writer ended before it wrote.
    pub async fn kept(self) -> Result<()> {
        match self.0 {
            Some(written) => written.await.map_err(|_| DecisionLogError::Closed),
            None => Ok(()),
        }
    }
}

struct Writer {
    store: Store,
    waiting: mpsc::Receiver<Queued>,
    /// Closed when it is time to finish.
    told: watch::Receiver<()>,
    config: DecisionLogConfig,
    key: CheckpointKey,
    /// Decisions written since the last checkpoint.
    unsigned: u64,
    signed_at: Instant,
    /// Where the chain ended when this writer last wrote: what stands there must still be so, or somebody has written the
    /// log anew, which is not gone on with and not signed.
    written: Link,
    /// When what waits is given up, once it is time to finish.
    give_up: Option<Instant>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let mut batch = Vec::new();
            let due = self.signed_at + self.config.checkpoint_after;
            let open = tokio::select! {
                taken = self.waiting.recv_many(&mut batch, BATCH) => taken > 0,
                () = sleep_until(due), if self.unsigned > 0 => true,
                _ = self.told.changed(), if !self.waiting.is_closed() => {
                    self.waiting.close();
                    continue;
                }
            };
            if !open {
                break;
            }
            self.keep(batch).await;
            if self.unsigned >= self.config.checkpoint_every || (self.unsigned > 0 && Instant::now() >= due) {
                self.sign().await;
            }
        }
        if self.unsigned > 0 {
            self.sign().await;
        }
    }

    /// Writes a batch, however often it takes while the server lives.
    async fn keep(&mut self, batch: Vec<Queued>) {
        if batch.is_empty() {
            return;
        }
        let entries: Vec<&Entry> = batch.iter().map(|queued| &queued.entry).collect();
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(WAITS.0)
            .with_max_delay(WAITS.1)
            .without_max_times()
            .with_jitter()
            .build();
        while let Err(failure) = self.write(&entries).await {
            metrics::counter!("finrank_decision_log_failures_total").increment(1);
            warn!(%failure, waiting = batch.len() + self.waiting.len(), "decisions cannot be written; trying again");
            if self.told.has_changed().is_err() {
                let until = *self.give_up.get_or_insert_with(|| Instant::now() + LAST_TRIES);
                if Instant::now() >= until {
                    error!(%failure, lost = batch.len(), "decisions are lost: the server ends");
                    return;
                }
            }
            sleep(waits.next().unwrap_or(WAITS.1)).await;
        }
        self.unsigned += batch.len() as u64;
        metrics::counter!("finrank_decisions_written_total").increment(batch.len() as u64);
        metrics::gauge!("finrank_decision_log_waiting").set(self.waiting.len() as f64);
        for written in batch.into_iter().filter_map(|queued| queued.written) {
            // Whoever has given up waiting does not want to know.
            let _ = written.send(());
        }
    }

    /// Writes a batch once. What takes too long counts as failed; a commit that came after all is noticed at the next try.
    async fn write(&mut self, entries: &[&Entry]) -> Result<()> {
        let late = |_| DecisionLogError::Slow(LAST_TRIES);
        self.written =
            timeout(LAST_TRIES, write(&self.store, self.written, entries)).await.map_err(late)??;
        Ok(())
    }

    /// Signs what is written. What fails is tried again with the next batch.
    async fn sign(&mut self) {
        match timeout(LAST_TRIES, sign(&self.store, &self.key, self.written)).await {
            Ok(Ok(_)) => (self.unsigned, self.signed_at) = (0, Instant::now()),
            Ok(Err(failure)) => {
                metrics::counter!("finrank_decision_log_failures_total").increment(1);
                warn!(%failure, "the chain cannot be signed; trying again later");
                self.signed_at = Instant::now();
            }
            Err(_) => {
                warn!("the chain was not signed within {LAST_TRIES:?}; trying again later");
                self.signed_at = Instant::now();
            }
        }
    }
}

/// Writes decisions behind the last one, and returns where the chain then ends. One that is written already, because a
/// commit's answer was lost, is left out.
async fn write(store: &Store, written: Link, entries: &[&Entry]) -> Result<Link> {
    let mut transaction = store.pool().begin().await?;
    sqlx::query(NO_ERASURE).execute(&mut *transaction).await?;
    sqlx::query(ONE_WRITER).execute(&mut *transaction).await?;
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.decision_id).collect();
    let there = sqlx::query_scalar!("select decision_id from decisions where decision_id = any($1)", &ids)
        .fetch_all(&mut *transaction)
        .await?;
    let entries: Vec<&Entry> =
        entries.iter().copied().filter(|entry| !there.contains(&entry.decision_id)).collect();
    stands(&mut transaction, written).await?;
    let mut link = last(&mut transaction).await?;
    let (mut sequences, mut hashes) = (Vec::new(), Vec::new());
    for entry in &entries {
        link = link.then(&entry.record);
        sequences.push(link.sequence);
        hashes.push(link.sha256.as_bytes().to_vec());
    }
    insert(&mut transaction, &entries, &sequences, &hashes).await?;
    transaction.commit().await?;
    Ok(link)
}

/// Whether the chain still has a link that it had.
async fn stands(connection: &mut PgConnection, link: Link) -> Result<()> {
    if link == Link::BEGINNING {
        return Ok(());
    }
    let sha256 = sqlx::query_scalar!("select sha256 from decisions where sequence = $1", link.sequence)
        .fetch_optional(connection)
        .await?;
    if sha256.is_some_and(|sha256| sha256 == link.sha256.as_bytes()) {
        return Ok(());
    }
    Err(DecisionLogError::damaged(link.sequence, "is not what this server wrote"))
}

async fn insert(
    transaction: &mut Transaction<'_, Postgres>,
    entries: &[&Entry],
    sequences: &[i64],
    hashes: &[Vec<u8>],
) -> Result<()> {
    let ids: Vec<Uuid> = entries.iter().map(|entry| entry.decision_id).collect();
    let times: Vec<_> = entries.iter().map(|entry| entry.decided_at).collect();
    let records: Vec<Vec<u8>> = entries.iter().map(|entry| entry.record.clone()).collect();
    sqlx::query!(
        "insert into decisions (sequence, decision_id, decided_at, record, sha256)
         select * from unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::bytea[], $5::bytea[])",
        sequences,
        &ids,
        &times,
        &records,
        hashes,
    )
    .execute(&mut **transaction)
    .await?;
    let users: Vec<String> = entries.iter().map(|entry| entry.user_id.to_string()).collect();
    let inputs: Vec<Vec<u8>> = entries.iter().map(|entry| entry.inputs.clone()).collect();
    // Of who was erased while the decision waited, nothing personal is written, nor given to who has their id since. Clocks
    // may differ a little.
    sqlx::query!(
        "insert into decision_inputs (user_id, decision_id, inputs)
         select user_id, decision_id, inputs
         from unnest($1::text[], $2::uuid[], $3::bytea[], $4::timestamptz[])
              as decided (user_id, decision_id, inputs, decided_at)
         where exists (
             select from customer_statements
             where customer_statements.user_id = decided.user_id
               and known_at <= decided_at + interval '5 seconds'
         )",
        &users,
        &ids,
        &inputs,
        &times,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Signs the chain up to its end; `None` if the last checkpoint covers all of it.
///
/// # Errors
/// When Postgres does not answer, or the chain has not the link that it had.
pub async fn sign(store: &Store, key: &CheckpointKey, written: Link) -> Result<Option<Checkpoint>> {
    let mut transaction = store.pool().begin().await?;
    sqlx::query(ONE_WRITER).execute(&mut *transaction).await?;
    stands(&mut transaction, written).await?;
    let link = last(&mut transaction).await?;
    let checkpoint = key.sign(link, Utc::now());
    let signed = sqlx::query!(
        "insert into decision_checkpoints (sequence, sha256, signed_at, public_key, signature)
         select $1::bigint, $2, $3, $4, $5 where $1::bigint > 0
         on conflict do nothing",
        link.sequence,
        link.sha256.as_bytes().as_slice(),
        checkpoint.signed_at,
        checkpoint.public_key.as_bytes().as_slice(),
        checkpoint.signature.as_slice(),
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((signed.rows_affected() > 0).then_some(checkpoint))
}

async fn last(connection: &mut PgConnection) -> Result<Link> {
    let row = sqlx::query!("select sequence, sha256 from decisions order by sequence desc limit 1")
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(Link::BEGINNING), |row| read::link(row.sequence, &row.sha256))
}
