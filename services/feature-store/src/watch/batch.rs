//! What a client is to be sent between snapshots, batch by batch. A batch is read from one short view of the database,
//! which is given back before the client is waited for.

use chrono::{DateTime, TimeDelta, Utc};
use finrank_contracts::feature::v1::{self, SnapshotReason, watch_product_embeddings_response::Step};
use finrank_model::{ModelVersion, ProductId};
use finrank_store::Store;
use sqlx::PgConnection;

use super::{
    position::{Current, Position},
    product_rows::Products,
    token,
};
use crate::{Result, changes::Learned, refresh::Entity};

/// Statements of one batch at most.
const BATCH: u32 = 1000;

/// What comes next.
pub(super) enum Next {
    /// There is no generation to be followed.
    Nothing,
    /// Changes do not lead on.
    Snapshot(SnapshotReason),
    Batch(Batch),
}

/// Changes that belong together.
pub(super) struct Batch {
    /// What there is to send; nothing, if nothing has changed.
    pub(super) steps: Vec<Step>,
    /// Where the client is then.
    pub(super) position: Position,
    /// Whether there is another batch to be sent at once.
    pub(super) has_more: bool,
}

/// Reads what comes after a position. `horizon` must be from before.
///
/// # Errors
/// When Postgres does not answer.
pub(super) async fn next(
    store: &Store,
    version: Option<&ModelVersion>,
    horizon: DateTime<Utc>,
    held: &Result<Position, SnapshotReason>,
    resume_limit: TimeDelta,
) -> Result<Next> {
    let mut view = store.pool().begin_with("begin isolation level repeatable read, read only").await?;
    let Some(current) = Current::read(&mut view, version, horizon).await? else {
        return Ok(Next::Nothing);
    };
    let held = match held {
        Ok(held) => held,
        Err(reason) => return Ok(Next::Snapshot(*reason)),
    };
    if let Some(reason) = current.cannot_follow(held, resume_limit) {
        return Ok(Next::Snapshot(reason));
    }
    let (ids, position) = changed(&mut view, held, &current.position).await?;
    let products = Products::read(&mut view, &current.generation, ids).await?;
    view.commit().await?;

    let mut steps: Vec<Step> = products.embedded.into_iter().map(Step::Upsert).collect();
    steps.extend(products.gone.into_iter().map(|product_id| {
        let product_id = product_id.into();
        Step::Delete(v1::ProductDeleted { product_id })
    }));
    if held.run_id != position.run_id {
        let generation = Some((&current.generation).into());
        steps.push(Step::GenerationChanged(v1::GenerationChanged { generation }));
    }
    if !steps.is_empty() {
        steps.push(Step::Progress(v1::Progress { resume_token: token::of(&position) }));
    }
    // Another server's horizon may be further than this one's.
    let has_more = position.embeddings_until < current.position.embeddings_until
        || position.products_until < current.position.products_until;
    Ok(Next::Batch(Batch { steps, position, has_more }))
}

/// The products of the next batch, and where it ends: first those whose embeddings have caught up with what was said
/// of them, then those of which something was said that embeddings do not know yet, so that a withdrawal does not wait
/// for them.
async fn changed(
    view: &mut PgConnection,
    held: &Position,
    current: &Position,
) -> Result<(Vec<ProductId>, Position)> {
    let embedded = Learned { from: held.embeddings_until, below: current.embeddings_until };
    let mut position = Position { run_id: current.run_id, ..held.clone() };
    if embedded.from < embedded.below {
        let part = embedded.first(view, Some(Entity::Product), BATCH).await?;
        position.embeddings_until = part.below;
        position.products_until = held.products_until.max(part.below);
        let ids = part.products(view).await?;
        if !ids.is_empty() || part != embedded {
            return Ok((ids, position));
        }
    }
    let said = Learned { from: position.products_until, below: current.products_until };
    if said.from < said.below {
        let part = said.first(view, Some(Entity::Product), BATCH).await?;
        position.products_until = part.below;
        return Ok((part.products(view).await?, position));
    }
    Ok((Vec::new(), position))
}
