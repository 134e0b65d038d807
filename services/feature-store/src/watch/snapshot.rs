//! One snapshot of the catalogue, read in chunks from one view of the database.

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1::{self, SnapshotReason, watch_product_embeddings_response::Step};
use finrank_model::{ModelVersion, ProductId};
use finrank_store::Store;
use prost::Message;
use sqlx::PgConnection;

use super::{
    client::Client,
    position::{Current, Position},
    product_rows::Products,
    token,
};
use crate::{FeatureStoreError, Result, client::Ended, embeddings::Generation};

/// Products of one chunk at most.
const CHUNK: i64 = 1000;
/// The largest message, unless one product alone is larger: gRPC clients take 4 MB by default.
const MESSAGE_BYTES: usize = 3 * 1024 * 1024;

/// Sends a snapshot, and returns where the client is then; nothing if there is no generation any more.
pub(super) async fn send(
    store: &Store,
    version: Option<&ModelVersion>,
    horizon: DateTime<Utc>,
    reason: SnapshotReason,
    client: &Client,
) -> Result<Option<Position>, Ended> {
    let mut view = store.pool().begin_with("begin isolation level repeatable read, read only").await?;
    let Some(Current { generation, position, .. }) = Current::read(&mut view, version, horizon).await? else {
        return Ok(None);
    };
    let started = v1::SnapshotStarted {
        generation: Some((&generation).into()),
        product_count: product_count(&mut view, &generation).await?,
        reason: reason.into(),
    };
    client.send(Step::SnapshotStarted(started)).await?;

    let mut after = String::new();
    loop {
        let ids = ids_after(&mut view, &after).await?;
        let Some(last) = ids.last() else {
            break;
        };
        after = last.to_string();
        let products = Products::read(&mut view, &generation, ids).await?;
        for products in messages(products.embedded) {
            client.send(Step::SnapshotChunk(v1::SnapshotChunk { products })).await?;
        }
    }
    let resume_token = token::of(&position);
    let complete = v1::SnapshotComplete { run_id: generation.run_id.get(), resume_token };
    client.send(Step::SnapshotComplete(complete)).await?;
    Ok(Some(position))
}

/// How many products [`Products::read`] finds an embedding of.
async fn product_count(view: &mut PgConnection, generation: &Generation) -> Result<u64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from products p
           where exists (
                     select from live_product_embeddings live
                     where live.product_id = p.product_id and live.model_version = $1 and live.known_at > $2
                 )
              or exists (
                     select from product_embeddings e where e.product_id = p.product_id and e.run_id = any($3)
                 )"#,
        generation.model_version.as_str(),
        generation.known_at,
        &generation.runs,
    )
    .fetch_one(view)
    .await?;
    Ok(count.unsigned_abs())
}

/// The ids of the next products, in their order; also those of which everything was taken back, which costs less than
/// to leave them out.
async fn ids_after(view: &mut PgConnection, after: &str) -> Result<Vec<ProductId>> {
    let ids = sqlx::query_scalar!(
        "select distinct product_id from product_statements where product_id > $1 order by product_id limit $2",
        after,
        CHUNK,
    )
    .fetch_all(view)
    .await?;
    let ids = ids.into_iter().map(ProductId::parse);
    ids.collect::<Result<_, _>>().map_err(FeatureStoreError::StoredRow)
}

/// Products as messages of at most some [`MESSAGE_BYTES`]; none for no products.
fn messages(products: Vec<v1::ProductEmbedding>) -> Vec<Vec<v1::ProductEmbedding>> {
    let mut messages = Vec::new();
    let mut bytes = usize::MAX;
    for product in products {
        let added = product.encoded_len();
        if bytes.saturating_add(added) > MESSAGE_BYTES {
            messages.push(Vec::new());
            bytes = 0;
        }
        bytes += added;
        if let Some(message) = messages.last_mut() {
            message.push(product);
        }
    }
    messages
}
