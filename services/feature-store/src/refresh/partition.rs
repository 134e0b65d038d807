//! One partition: its entities read, and its embeddings written with the mark that they are.

use chrono::{DateTime, Utc};
use finrank_model::{Embedding, Product, ProductId, UserId, UserRecord};
use finrank_store::{Store, records};
use postgres::{Transaction, binary_copy::BinaryCopyInWriter, types::Type};

use super::{
    RunId,
    plan::{Entity, Partition},
};
use crate::{FeatureStoreError, Result};

/// What one row of a partition is written as.
pub(super) struct EmbeddingRow {
    pub(super) id: String,
    pub(super) embedding: Embedding,
}

/// The customers of a partition: those included that were written since it was planned, or only those that have
/// changed, as the run's changes say.
pub(super) async fn users(
    store: &Store,
    partition: &Partition,
    changed_in: Option<RunId>,
) -> Result<Vec<UserRecord>> {
    if let Some(run_id) = changed_in {
        let ids = changed(store, run_id, partition).await?.into_iter().map(UserId::parse);
        let ids: Vec<UserId> = ids.collect::<Result<_, _>>().map_err(FeatureStoreError::StoredRow)?;
        return Ok(records::user_records_of(store, &ids).await?);
    }
    let [from, below] = partition.ends(UserId::parse)?;
    Ok(records::user_records(store, from.as_ref(), below.as_ref(), usize::MAX).await?)
}

/// The products of a partition, likewise.
pub(super) async fn products(
    store: &Store,
    partition: &Partition,
    changed_in: Option<RunId>,
) -> Result<Vec<Product>> {
    if let Some(run_id) = changed_in {
        let ids = changed(store, run_id, partition).await?.into_iter().map(ProductId::parse);
        let ids: Vec<ProductId> = ids.collect::<Result<_, _>>().map_err(FeatureStoreError::StoredRow)?;
        return Ok(records::product_records_of(store, &ids).await?);
    }
    let [from, below] = partition.ends(ProductId::parse)?;
    Ok(records::product_records(store, from.as_ref(), below.as_ref(), usize::MAX).await?)
}

/// What of the partition has changed, as was noted when the run was planned.
async fn changed(store: &Store, run_id: RunId, partition: &Partition) -> Result<Vec<String>> {
    let ids = sqlx::query_scalar!(
        "select id from refresh_changes
         where run_id = $1 and entity = $2
           and ($3::text is null or id >= $3) and ($4::text is null or id < $4)",
        run_id.get(),
        partition.entity.as_str(),
        partition.first_id,
        partition.below,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(ids)
}

/// Writes a partition's embeddings and marks it finished, both or neither.
pub(super) fn write(
    mut transaction: Transaction<'_>,
    run_id: RunId,
    partition: &Partition,
    rows: &[EmbeddingRow],
) -> Result<()> {
    copy(&mut transaction, run_id, partition.entity, rows)?;
    // It now holds what was read, which may be more than was planned; and no feature that it read is newer
    // than this moment.
    transaction.execute(
        "update refresh_partitions set finished_at = now(), row_count = $4
         where run_id = $1 and entity = $2 and partition = $3",
        &[&run_id.get(), &partition.entity.as_str(), &partition.number, &(rows.len() as i64)],
    )?;
    transaction
        .execute("update refresh_runs set features_as_of = now() where run_id = $1", &[&run_id.get()])?;
    transaction.commit()?;
    Ok(())
}

fn copy(
    transaction: &mut Transaction<'_>,
    run_id: RunId,
    entity: Entity,
    rows: &[EmbeddingRow],
) -> Result<()> {
    let statement = match entity {
        Entity::User => "copy user_embeddings (user_id, run_id, vector, computed_at) from stdin binary",
        Entity::Product => {
            "copy product_embeddings (product_id, run_id, vector, computed_at) from stdin binary"
        }
    };
    let computed_at: DateTime<Utc> = Utc::now();
    let types = [Type::TEXT, Type::INT8, Type::BYTEA, Type::TIMESTAMPTZ];
    let mut writer = BinaryCopyInWriter::new(transaction.copy_in(statement)?, &types);
    for row in rows {
        writer.write(&[&row.id, &run_id.get(), &row.embedding.to_le_bytes(), &computed_at])?;
    }
    writer.finish()?;
    Ok(())
}
