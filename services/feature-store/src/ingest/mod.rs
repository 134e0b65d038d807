//! The door for rows: reads a client stream message by message, rejects bad rows alone, and writes the rest.
//!
//! Each message is one statement and so one transaction. What earlier messages brought stays when a later
//! one breaks the stream, because writes are idempotent: the client sends the whole stream again and what is
//! known already counts as duplicate.

mod carry_over;
mod customers;
mod events;
mod overlay;
mod products;
mod rows;
mod summary;

use std::time::Duration;

use finrank_contracts::feature::v1;
use finrank_model::{InvalidField, Statement};
use finrank_serving::status;
use finrank_store::Store;
use tokio::time::timeout;
use tonic::{Status, Streaming};

pub(crate) use self::{
    carry_over::carry_over_for_the_killed,
    overlay::{Overlay, Whose, overlay},
    rows::{Written, write_next},
};
use self::{rows::write, summary::Summary};

/// A kind of row that clients write.
pub(crate) trait Ingested: Sized {
    /// The message that carries many of them.
    type Message;
    /// One of them as it arrives.
    type Wire;
    /// The message's field that they stand in.
    const FIELD: &'static str;

    /// The rows of a message.
    fn rows(message: Self::Message) -> Vec<Self::Wire>;

    /// What the row calls itself, as far as it does.
    fn id(row: &Self::Wire) -> &str;

    /// Takes a row that is valid.
    fn check(row: Self::Wire) -> Result<Statement<Self>, InvalidField>;

    /// Writes rows in one transaction, and returns the places of those that said something new: of several rows of one
    /// name at most the first.
    fn write(
        store: &Store,
        rows: &[Statement<Self>],
    ) -> impl Future<Output = Result<Vec<usize>, sqlx::Error>> + Send;
}

/// Takes a whole stream of rows, and counts what became of them.
///
/// # Errors
/// The client's own status when the stream breaks; `INVALID_ARGUMENT` for a message without rows or with
/// more than 1,000; `DEADLINE_EXCEEDED` when no message comes for `idle_limit`; `UNAVAILABLE` when Postgres
/// cannot be reached. Earlier messages are kept.
pub(crate) async fn ingest<I: Ingested>(
    store: &Store,
    mut stream: Streaming<I::Message>,
    idle_limit: Duration,
) -> Result<v1::WriteSummary, Status> {
    let mut summary = Summary::default();
    let idle = |_| status::idle(idle_limit);
    while let Some(message) = timeout(idle_limit, stream.message()).await.map_err(idle)?? {
        let written = write::<I>(store, summary.rows(), I::rows(message)).await?;
        summary.add(written);
    }
    Ok(summary.into())
}

/// Places as SQL counts them, from 1, as we do.
fn counted_from_0(places: &[i64]) -> Vec<usize> {
    places.iter().filter_map(|place| usize::try_from(place - 1).ok()).collect()
}

/// The revisions' columns.
fn revisions<T>(rows: &[Statement<T>]) -> (Vec<i32>, Vec<bool>) {
    rows.iter().map(|row| (row.revision.number(), row.revision.retracted())).unzip()
}
