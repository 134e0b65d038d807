//! One snapshot of the catalogue, read in chunks from one view of the database.

use finrank_contracts::feature::v1::{self, watch_product_embeddings_response::Step};
use finrank_model::{Attributes, ModelVersion};
use finrank_store::Store;
use prost::Message;
use sqlx::{PgConnection, types::Json};

use super::{
    client::{Client, Ended},
    product_row::EmbeddedProductRow,
};
use crate::{
    Result,
    embeddings::{Generation, newest_generation},
};

/// Products of one chunk at most.
const CHUNK: i64 = 1000;
/// The largest message, unless one product alone is larger: gRPC clients take 4 MB by default.
const MESSAGE_BYTES: usize = 3 * 1024 * 1024;

/// What a snapshot shows; two snapshots of equal contents are the same.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contents {
    generation: Generation,
    /// The sum of all product statements' `ingest_seq`. A write gives its statement a number that was never given
    /// before and so raises the sum; unlike the largest number, it also tells of one that was committed late.
    products: String,
}

/// What a snapshot would show now; nothing while there is no whole generation.
pub(super) async fn current(store: &Store, version: Option<&ModelVersion>) -> Result<Option<Contents>> {
    contents(&mut *store.pool().acquire().await?, version).await
}

/// Sends a snapshot, and returns what it showed.
pub(super) async fn send(
    store: &Store,
    version: Option<&ModelVersion>,
    client: &Client,
) -> Result<Option<Contents>, Ended> {
    let mut view = store.pool().begin_with("begin isolation level repeatable read, read only").await?;
    let Some(contents) = contents(&mut view, version).await? else {
        return Ok(None);
    };
    let generation = &contents.generation;
    let started = v1::SnapshotStarted {
        generation: Some(generation.into()),
        product_count: product_count(&mut view, generation).await?,
    };
    client.send(Step::SnapshotStarted(started)).await?;

    let mut after = String::new();
    loop {
        let rows = chunk(&mut view, generation, &after).await?;
        let Some(last) = rows.last() else {
            break;
        };
        after.clone_from(&last.product_id);
        for products in messages(rows, generation)? {
            client.send(Step::SnapshotChunk(v1::SnapshotChunk { products })).await?;
        }
    }
    let complete = v1::SnapshotComplete { run_id: generation.run_id.get() };
    client.send(Step::SnapshotComplete(complete)).await?;
    Ok(Some(contents))
}

async fn contents(view: &mut PgConnection, version: Option<&ModelVersion>) -> Result<Option<Contents>> {
    let Some(generation) = newest_generation(view, version).await? else {
        return Ok(None);
    };
    let products =
        sqlx::query_scalar!(r#"select coalesce(sum(ingest_seq), 0)::text as "sum!" from product_statements"#)
            .fetch_one(&mut *view)
            .await?;
    Ok(Some(Contents { generation, products }))
}

async fn product_count(view: &mut PgConnection, generation: &Generation) -> Result<u64> {
    let count = sqlx::query_scalar!(
        r#"select count(distinct product_id) as "count!"
           from product_embeddings join products using (product_id)
           where run_id = any($1)"#,
        &generation.runs,
    )
    .fetch_one(view)
    .await?;
    Ok(count.unsigned_abs())
}

/// The next products of a generation, in the order of their ids.
async fn chunk(
    view: &mut PgConnection,
    generation: &Generation,
    after: &str,
) -> Result<Vec<EmbeddedProductRow>> {
    let rows = sqlx::query_as!(
        EmbeddedProductRow,
        r#"select distinct on (product_id)
                  product_id as "product_id!", p.product_class as "product_class!", p.name as "name!",
                  p.description as "description!", p.issuer as "issuer!", p.risk_grade, p.status as "status!",
                  p.attributes as "attributes!: Json<Attributes>", p.event_time as "event_time!", e.vector,
                  e.computed_at
           from product_embeddings e join products p using (product_id)
           where e.run_id = any($1) and product_id > $2
           order by product_id, e.run_id desc
           limit $3"#,
        &generation.runs,
        after,
        CHUNK,
    )
    .fetch_all(view)
    .await?;
    Ok(rows)
}

/// Rows as messages of at most some [`MESSAGE_BYTES`].
fn messages(
    rows: Vec<EmbeddedProductRow>,
    generation: &Generation,
) -> Result<Vec<Vec<v1::ProductEmbedding>>> {
    let mut messages = vec![Vec::new()];
    let mut bytes = 0;
    for row in rows {
        let product = row.on_the_wire(generation)?;
        if bytes > 0 && bytes + product.encoded_len() > MESSAGE_BYTES {
            messages.push(Vec::new());
            bytes = 0;
        }
        bytes += product.encoded_len();
        if let Some(message) = messages.last_mut() {
            message.push(product);
        }
    }
    Ok(messages)
}
