//! The rows of one message: checked, written, and each told what became of it.

use std::time::Duration;

use finrank_contracts::feature::v1::{self, write_rows_request};
use finrank_model::{Customer, Event, InvalidField, Product};
use finrank_serving::status;
use finrank_store::Store;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::Ingested;
use crate::Result;

/// The most rows of one message.
const MAX_ROWS: usize = 1000;
/// How much of a rejected row's id, field and reason is repeated.
const MAX_CHARACTERS: usize = 256;

/// What became of the rows of one message.
pub(crate) struct Written {
    /// Of each row, in order.
    pub(crate) results: Vec<v1::RowResult>,
    /// Why those are not kept that are not valid, in order.
    pub(crate) rejections: Vec<v1::RejectedRow>,
}

/// Takes the next message of a stream of all kinds of rows; nothing at its end. `seen` counts the rows before.
///
/// # Errors
/// As [`super::ingest`].
pub(crate) async fn write_next(
    store: &Store,
    stream: &mut Streaming<v1::WriteRowsRequest>,
    seen: u64,
    idle_limit: Duration,
) -> Result<Option<Written>, Status> {
    use write_rows_request::Rows;

    let idle = |_| status::idle(idle_limit);
    let Some(message) = timeout(idle_limit, stream.message()).await.map_err(idle)?? else {
        return Ok(None);
    };
    let written = match message.rows {
        Some(Rows::Customers(message)) => write::<Customer>(store, seen, message.customers).await?,
        Some(Rows::Products(message)) => write::<Product>(store, seen, message.products).await?,
        Some(Rows::Events(message)) => write::<Event>(store, seen, message.events).await?,
        None => return Err(status::invalid_field(&InvalidField::new("rows", "is missing"))),
    };
    Ok(Some(written))
}

/// Writes the valid rows of a message in one transaction. `seen` counts the rows of the messages before.
pub(super) async fn write<I: Ingested>(store: &Store, seen: u64, rows: Vec<I::Wire>) -> Result<Written> {
    check_count(I::FIELD, rows.len())?;
    let mut results = Vec::with_capacity(rows.len());
    let (mut valid, mut places) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let mut rejections = Vec::new();
    for (place, wire) in rows.into_iter().enumerate() {
        let id = cut(I::id(&wire));
        match I::check(wire) {
            Ok(statement) => {
                valid.push(statement);
                places.push(place);
                // Until it turns out to be new.
                results.push(v1::RowResult::Duplicate);
            }
            Err(InvalidField { field, reason }) => {
                let (row, field, reason) = (seen + place as u64, cut(&field), cut(&reason));
                rejections.push(v1::RejectedRow { row, id, field, reason });
                results.push(v1::RowResult::Rejected);
            }
        }
    }
    for accepted in I::write(store, &valid).await? {
        results[places[accepted]] = v1::RowResult::Accepted;
    }
    Ok(Written { results, rejections })
}

fn check_count(field: &str, rows: usize) -> Result<(), InvalidField> {
    if (1..=MAX_ROWS).contains(&rows) {
        return Ok(());
    }
    let reason =
        format!("has {rows} rows in one message, 1 to {MAX_ROWS} are allowed; earlier messages are kept");
    Err(InvalidField::new(field, reason))
}

/// What a rejected row holds may be of any length, and the answer has to fit into a message.
fn cut(text: &str) -> String {
    text.chars().take(MAX_CHARACTERS).collect()
}
