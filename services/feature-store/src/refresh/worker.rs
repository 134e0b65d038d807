//! One of the workers of a run, on a thread of its own: takes partitions until none is left, reads their entities, runs
//! the tower, and writes the embeddings together with the mark that the partition is done.

use std::{num::NonZeroU32, sync::Arc, thread, time::Duration};

use finrank_model::{Bundle, Embedding, ProductId, UserId, UserRecord};
use finrank_store::{
    Store,
    features::{Believed, InRange},
};
use postgres::Transaction;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Entity, RunId,
    copy::{self, EmbeddingRow},
    finish::{self, Completion},
    lease::{self, Lease, Partition},
    lock::WorkerConnection,
    partition::{self, Pages, Source, Users},
};
use crate::{
    FeatureStoreError, Result,
    statistics::{Breach, PartitionSummary, Summariser},
    towers,
};

/// How long to wait for the others' last partitions: one whose worker dies is free again. Each look is a transaction, and
/// there may be many workers.
const LEASE_PAUSE: Duration = Duration::from_millis(50);

/// What a worker works with. Lives on a blocking thread: Postgres by COPY and the towers both block, and the
/// lock goes when its connection is dropped.
pub(super) struct Worker {
    pub(super) connection: WorkerConnection,
    pub(super) task: Task,
    pub(super) keep_generations: NonZeroU32,
    pub(super) stop: CancellationToken,
}

/// What there is to do in each partition.
pub(super) struct Task {
    pub(super) run_id: RunId,
    /// Whether only what has changed is computed.
    pub(super) incremental: bool,
    pub(super) bundle: Arc<Bundle>,
    /// What the user tower reads beside records.
    pub(super) completion: towers::Completion,
    /// Absent for a run of an earlier version.
    pub(super) summariser: Option<Summariser>,
    /// Rows that are held in memory at the same time.
    pub(super) page_rows: NonZeroU32,
    pub(super) store: Store,
    /// For the questions that sqlx asks.
    pub(super) runtime: Handle,
}

impl Worker {
    /// Works until nothing is left to do in the run. The last one says that it is complete; whoever meets an error says
    /// that it has failed, and the others end.
    pub(super) fn work(mut self) {
        let run_id = self.task.run_id;
        info!(%run_id, "a worker begins");
        let completed = self.write_all().and_then(|()| {
            finish::complete(self.connection.transaction()?, run_id, self.task.summariser.as_ref())
        });
        match completed {
            Ok(Completion::Served(breaches)) => {
                info!(%run_id, "refresh is complete");
                tell(run_id, &breaches);
                self.drop_old_generations();
            }
            Ok(Completion::Withheld(breaches)) => {
                error!(%run_id, "refresh is withheld: its features are not as they must be");
                tell(run_id, &breaches);
            }
            Ok(Completion::Done) => info!(%run_id, "nothing is left for this worker"),
            Err(reason @ FeatureStoreError::RunEnded { .. }) => info!(%run_id, %reason, "a worker ends"),
            Err(reason) => self.fail(&reason),
        }
    }

    fn write_all(&mut self) -> Result<()> {
        loop {
            if self.stop.is_cancelled() {
                return Err(FeatureStoreError::Stopped);
            }
            let mut transaction = self.connection.transaction()?;
            match lease::take(&mut transaction, self.task.run_id)? {
                Lease::Taken(partition) => self.task.write(transaction, &partition)?,
                Lease::AllTaken => {
                    drop(transaction);
                    thread::sleep(LEASE_PAUSE);
                }
                Lease::NothingLeft => return Ok(()),
            }
        }
    }

    /// An old generation that stays does no harm, and the next refresh drops it.
    fn drop_old_generations(&self) {
        let dropped = finish::drop_old_generations(&self.task.store, self.keep_generations);
        if let Err(error) = self.task.runtime.block_on(dropped) {
            error!(%error, "old generations could not be dropped");
        }
    }

    /// If not even that can be stored, the run is found abandoned later. One whose server is stopped leaves the run to
    /// the workers of other servers, if there are any.
    fn fail(mut self, reason: &FeatureStoreError) {
        let run_id = self.task.run_id;
        error!(%run_id, error = %reason, "a worker fails");
        let stored = match reason {
            FeatureStoreError::Stopped => {
                self.connection.transaction_of_the_last(|alone| finish::fail(alone, run_id, reason))
            }
            _ => self
                .connection
                .transaction()
                .and_then(|transaction| finish::fail(transaction, run_id, reason)),
        };
        if let Err(error) = stored {
            error!(%run_id, %error, "the failure could not be stored");
        }
    }
}

impl Task {
    /// Writes a whole partition by the transaction that holds its lease.
    fn write(&self, mut transaction: Transaction<'_>, partition: &Partition) -> Result<()> {
        let mut summary = PartitionSummary::default();
        let rows = match partition.entity {
            Entity::User => self.write_users(&mut transaction, partition, &mut summary),
            Entity::Product => self.write_products(&mut transaction, partition, &mut summary),
        }?;
        summary.store(&mut transaction, self.run_id, partition.entity.as_str(), partition.number)?;
        lease::give_up_written(transaction, self.run_id, partition, rows)?;
        info!(
            run_id = %self.run_id,
            entity = partition.entity.as_str(),
            partition = partition.number,
            rows,
            "partition is written"
        );
        Ok(())
    }

    fn write_users(
        &self,
        transaction: &mut Transaction<'_>,
        partition: &Partition,
        summary: &mut PartitionSummary,
    ) -> Result<usize> {
        let mut pages = Pages::new(partition.ends(UserId::parse)?, self.page_rows.get() as usize);
        let mut written = 0;
        while !pages.is_over() {
            let mut users = self.runtime.block_on(partition::next_users(self.source(), &mut pages))?;
            self.complete(&mut users.records)?;
            let Users { records, event_times } = &users;
            let embeddings = self.bundle.user.encode(records).map_err(FeatureStoreError::Encode)?;
            let rows = rows(records.iter().map(|user| user.user_id.as_str()), embeddings);
            copy::copy(transaction, self.run_id, Entity::User, &rows)?;
            let page = records.iter().enumerate().map(|(place, user)| InRange {
                id: user.user_id.as_str(),
                believed: event_times.as_ref().map(|event_times| Believed {
                    attributes: &user.attributes,
                    event_time: event_times[place],
                }),
            });
            self.summarise(Entity::User, &page.collect::<Vec<_>>(), summary)?;
            written += rows.len();
        }
        Ok(written)
    }

    /// Puts to a page's records what the tower reads beside them.
    fn complete(&self, users: &mut [UserRecord]) -> Result<()> {
        self.runtime.block_on(async {
            match self.incremental {
                true => self.completion.of_some(self.store.pool(), users).await,
                false => self.completion.of_page(&self.store, users).await,
            }
        })
    }

    fn write_products(
        &self,
        transaction: &mut Transaction<'_>,
        partition: &Partition,
        summary: &mut PartitionSummary,
    ) -> Result<usize> {
        let mut pages = Pages::new(partition.ends(ProductId::parse)?, self.page_rows.get() as usize);
        let mut written = 0;
        while !pages.is_over() {
            let products = self.runtime.block_on(partition::next_products(self.source(), &mut pages))?;
            let embeddings = self.bundle.product.encode(&products).map_err(FeatureStoreError::Encode)?;
            let rows = rows(products.iter().map(|product| product.product_id.as_str()), embeddings);
            copy::copy(transaction, self.run_id, Entity::Product, &rows)?;
            let page = rows.iter().map(|row| InRange { id: row.id, believed: None });
            self.summarise(Entity::Product, &page.collect::<Vec<_>>(), summary)?;
            written += rows.len();
        }
        Ok(written)
    }

    fn summarise(&self, entity: Entity, page: &[InRange<'_>], summary: &mut PartitionSummary) -> Result<()> {
        let Some(summariser) = &self.summariser else {
            return Ok(());
        };
        self.runtime.block_on(summariser.add(&self.store, entity.of_features(), page, summary))
    }

    fn source(&self) -> Source<'_> {
        Source { store: &self.store, changed_in: self.incremental.then_some(self.run_id) }
    }
}

fn tell(run_id: RunId, breaches: &[Breach]) {
    for Breach { view, feature, expectation, allowed, found, .. } in breaches {
        let expectation = expectation.as_str();
        warn!(%run_id, view, feature, expectation, allowed, found, "a feature is not as expected");
    }
}

fn rows<'a>(ids: impl Iterator<Item = &'a str>, embeddings: Vec<Embedding>) -> Vec<EmbeddingRow<'a>> {
    ids.zip(embeddings).map(|(id, embedding)| EmbeddingRow { id, embedding }).collect()
}
