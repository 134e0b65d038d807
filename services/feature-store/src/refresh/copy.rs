//! Embeddings as rows of Postgres's binary COPY, written straight into the block that is sent: a value of its own for
//! each field, as a general writer wants, costs more than all the rest.

use std::io::{self, Write};

use chrono::Utc;
use finrank_model::Embedding;
use postgres::{CopyInWriter, Transaction};

use super::{Entity, RunId};
use crate::{FeatureStoreError, Result};

/// How much is sent at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// The signature, no flags, and no extension of the header; see "COPY, Binary Format" in Postgres's manual.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In the place of a row's number of fields.
const TRAILER: i16 = -1;
/// Id, run, vector, and when it was computed.
const FIELDS: i16 = 4;
/// Postgres counts microseconds from 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What one row of a partition is written as.
pub(super) struct EmbeddingRow<'a> {
    pub(super) id: &'a str,
    pub(super) embedding: Embedding,
}

/// Writes embeddings into the run.
///
/// # Errors
/// When Postgres refuses one.
pub(super) fn copy(
    transaction: &mut Transaction<'_>,
    run_id: RunId,
    entity: Entity,
    rows: &[EmbeddingRow<'_>],
) -> Result<()> {
    let statement = match entity {
        Entity::User => "copy user_embeddings (user_id, run_id, vector, computed_at) from stdin binary",
        Entity::Product => {
            "copy product_embeddings (product_id, run_id, vector, computed_at) from stdin binary"
        }
    };
    let mut writer = transaction.copy_in(statement)?;
    write_rows(&mut writer, run_id, rows).map_err(refusal)?;
    writer.finish()?;
    Ok(())
}

fn write_rows(writer: &mut CopyInWriter<'_>, run_id: RunId, rows: &[EmbeddingRow<'_>]) -> io::Result<()> {
    let computed_at = Utc::now().timestamp_micros() - EPOCH_MICROS;
    let mut block = Vec::with_capacity(2 * BLOCK_BYTES);
    block.extend_from_slice(HEADER);
    for EmbeddingRow { id, embedding } in rows {
        block.extend_from_slice(&FIELDS.to_be_bytes());
        field(&mut block, id.as_bytes());
        field(&mut block, &run_id.get().to_be_bytes());
        vector(&mut block, embedding);
        field(&mut block, &computed_at.to_be_bytes());
        if block.len() >= BLOCK_BYTES {
            writer.write_all(&block)?;
            block.clear();
        }
    }
    block.extend_from_slice(&TRAILER.to_be_bytes());
    writer.write_all(&block)
}

fn field(block: &mut Vec<u8>, value: &[u8]) {
    block.extend_from_slice(&length(value.len()));
    block.extend_from_slice(value);
}

fn vector(block: &mut Vec<u8>, embedding: &Embedding) {
    let bytes = 4 * embedding.dimension();
    block.extend_from_slice(&length(bytes));
    let start = block.len();
    block.resize(start + bytes, 0);
    let (components, _) = block[start..].as_chunks_mut::<4>();
    for (to, component) in components.iter_mut().zip(embedding.as_slice()) {
        *to = component.to_le_bytes();
    }
}

fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).expect("ids and vectors are short").to_be_bytes()
}

/// What Postgres says, which comes wrapped.
fn refusal(error: io::Error) -> FeatureStoreError {
    error.downcast::<postgres::Error>().map_or_else(FeatureStoreError::Copy, FeatureStoreError::from)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use finrank_store::{bulk, scratch::ScratchDatabase};

    use super::*;

    #[tokio::test]
    async fn rows_of_many_blocks_come_back_bit_for_bit() {
        let database = ScratchDatabase::create().await;
        let row = |index: u16| {
            let vector = vec![f32::from(index) / 3.0, -0.0, f32::MIN_POSITIVE];
            (format!("客户 {index:05}"), Embedding::new(vector, 3).unwrap())
        };
        let computed: Vec<(String, Embedding)> = (0..5000).map(row).collect();
        let url = database.store.url().to_owned();

        let stored = tokio::task::spawn_blocking(move || {
            let mut client = bulk::connect(&url).unwrap();
            let mut transaction = client.transaction().unwrap();
            let rows =
                computed.iter().map(|(id, embedding)| EmbeddingRow { id, embedding: embedding.clone() });
            let rows: Vec<_> = rows.collect();
            copy(&mut transaction, RunId::from(7), Entity::User, &rows).unwrap();
            let stored = transaction.query("select * from user_embeddings order by user_id", &[]).unwrap();
            (computed, stored)
        });

        let (computed, stored) = stored.await.unwrap();
        assert_eq!(stored.len(), computed.len());
        for ((id, embedding), stored) in computed.iter().zip(stored) {
            assert_eq!(stored.get::<_, &str>("user_id"), id);
            assert_eq!(stored.get::<_, i64>("run_id"), 7);
            assert_eq!(stored.get::<_, &[u8]>("vector"), embedding.to_le_bytes());
            let age = Utc::now() - stored.get::<_, DateTime<Utc>>("computed_at");
            assert!(age >= TimeDelta::zero() && age < TimeDelta::hours(1), "{age}");
        }
    }
}
