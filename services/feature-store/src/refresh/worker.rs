//! Works a plan off, partition by partition, on a thread of its own: reads entities, runs their tower, and
//! writes the embeddings together with the mark that the partition is done.

use std::{num::NonZeroU32, sync::Arc};

use finrank_model::{Bundle, Embedding};
use finrank_store::Store;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    RunId, finish,
    lock::WorkerConnection,
    partition::{self, EmbeddingRow},
    plan::{Entity, Partition, Plan},
};
use crate::{FeatureStoreError, Result};

/// What a worker works with. Lives on a blocking thread: Postgres by COPY and the towers both block, and the
/// lock goes when its connection is dropped.
pub(super) struct Worker {
    pub(super) connection: WorkerConnection,
    pub(super) store: Store,
    pub(super) bundle: Arc<Bundle>,
    pub(super) keep_generations: NonZeroU32,
    pub(super) stop: CancellationToken,
    /// For the questions that sqlx asks.
    pub(super) runtime: Handle,
}

impl Worker {
    /// Works until the run is complete or failed, and says which before the lock goes.
    pub(super) fn work(mut self, plan: Plan) {
        let Plan { run_id, resumed, incremental, pending } = plan;
        info!(%run_id, resumed, incremental, partitions = pending.len(), "refresh begins");
        let written = pending
            .into_iter()
            .try_for_each(|partition| self.write(run_id, incremental, &partition))
            .and_then(|()| finish::complete(self.connection.transaction()?, run_id));
        match written {
            Ok(()) => {
                info!(%run_id, "refresh is complete");
                self.drop_old_generations();
            }
            Err(reason) => self.fail(run_id, &reason),
        }
    }

    fn write(&mut self, run_id: RunId, incremental: bool, partition: &Partition) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(FeatureStoreError::Stopped);
        }
        let changed_in = incremental.then_some(run_id);
        let rows = match partition.entity {
            Entity::User => {
                let users = partition::users(&self.store, partition, changed_in);
                let users = self.runtime.block_on(users)?;
                let embeddings = self.bundle.user.encode(&users).map_err(FeatureStoreError::Encode)?;
                rows(users.into_iter().map(|user| user.user_id.into()), embeddings)
            }
            Entity::Product => {
                let products = partition::products(&self.store, partition, changed_in);
                let products = self.runtime.block_on(products)?;
                let embeddings = self.bundle.product.encode(&products).map_err(FeatureStoreError::Encode)?;
                rows(products.into_iter().map(|product| product.product_id.into()), embeddings)
            }
        };
        partition::write(self.connection.transaction()?, run_id, partition, &rows)?;
        info!(
            %run_id,
            entity = partition.entity.as_str(),
            partition = partition.number,
            rows = rows.len(),
            "partition is written"
        );
        Ok(())
    }

    /// An old generation that stays does no harm, and the next refresh drops it.
    fn drop_old_generations(&self) {
        let dropped = finish::drop_old_generations(&self.store, self.keep_generations);
        if let Err(error) = self.runtime.block_on(dropped) {
            error!(%error, "old generations could not be dropped");
        }
    }

    /// If not even that can be stored, the run is found abandoned later.
    fn fail(&mut self, run_id: RunId, reason: &FeatureStoreError) {
        error!(%run_id, error = %reason, "refresh failed");
        let stored =
            self.connection.transaction().and_then(|transaction| finish::fail(transaction, run_id, reason));
        if let Err(error) = stored {
            error!(%run_id, %error, "the failure could not be stored");
        }
    }
}

fn rows(ids: impl Iterator<Item = String>, embeddings: Vec<Embedding>) -> Vec<EmbeddingRow> {
    ids.zip(embeddings).map(|(id, embedding)| EmbeddingRow { id, embedding }).collect()
}
