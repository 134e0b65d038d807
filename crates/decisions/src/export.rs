//! Export: a part of the log as messages that can be verified without the database. A checkpoint after the part comes along with
//! the digests of the records up to it, so that its last decisions are covered too.

use finrank_contracts::ranking::v1::{LogEnd, LogHead, LogPart, LogRecord, log_part::Part};
use finrank_model::InvalidField;
use finrank_store::Store;
use futures::TryStreamExt;
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::{
    DecisionLogError, Result,
    chain::Link,
    checkpoint::PublicKey,
    read::{self, CheckpointRow},
};

/// Which decisions, by their places in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: i64,
    /// `None` for the last of the log.
    last: Option<i64>,
}

impl Range {
    /// From `first`, or else the beginning, to `last`, or else the end.
    ///
    /// # Errors
    /// Names the bound that is none.
    pub fn new(first: Option<i64>, last: Option<i64>) -> Result<Self, InvalidField> {
        let first = first.unwrap_or(1);
        if first < 1 {
            return Err(InvalidField::new("first", format!("is {first}, and a log begins with 1")));
        }
        if let Some(last) = last.filter(|&last| last < first) {
            return Err(InvalidField::new("last", format!("is {last}, before the first, {first}")));
        }
        Ok(Self { first, last })
    }
}

/// Sends a part of the log, message by message, until all is sent or nobody listens any more.
///
/// # Errors
/// [`DecisionLogError::NoSuchPart`] where the log does not reach so far, or when Postgres does not answer. A log that is
/// not as it was written is sent as it is.
pub async fn export(
    store: &Store,
    trusted: &[PublicKey],
    range: Range,
    parts: &mpsc::Sender<Result<LogPart>>,
) -> Result<()> {
    // One view of both tables: what is signed meanwhile is of decisions that are not seen.
    let mut view = store.pool().begin_with("begin isolation level repeatable read, read only").await?;
    let head = head(&mut view, trusted, range).await?;
    let (first, last) = (head.first, head.last);
    let checkpoints = read::checkpoints_from(&mut *view, first).try_collect::<Vec<CheckpointRow>>().await?;
    let tell = async |part| parts.send(Ok(LogPart { part: Some(part) })).await.is_ok();
    if !tell(Part::Head(head)).await {
        return Ok(());
    }
    let mut checkpoints = checkpoints.into_iter().peekable();
    let mut records = 0;
    let mut rows = sqlx::query!(
        "select sequence, record, sha256 from decisions
         where sequence >= $1 and sequence <= $2 order by sequence",
        first,
        last,
    )
    .fetch(&mut *view);
    while let Some(row) = rows.try_next().await? {
        records += 1;
        let sequence = row.sequence;
        let record = LogRecord { sequence, record: row.record, sha256: row.sha256 };
        if !tell(Part::Record(record)).await {
            return Ok(());
        }
        // One that is of no decision any more is told at the next one, where it is found not to fit.
        while let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.sequence <= sequence) {
            tell(Part::Checkpoint(checkpoint.to_wire())).await;
        }
    }
    drop(rows);
    let covering = checkpoints.find(|row| row.read().is_ok_and(|signed| signed.check(trusted).is_ok()));
    if let Some(covering) = covering {
        for sha256 in following(&mut view, last, covering.sequence).await? {
            tell(Part::FollowingSha256(sha256)).await;
        }
        tell(Part::Checkpoint(covering.to_wire())).await;
    }
    tell(Part::End(LogEnd { records })).await;
    Ok(())
}

async fn head(
    view: &mut PgConnection,
    trusted: &[PublicKey],
    Range { first, last }: Range,
) -> Result<LogHead> {
    let end = sqlx::query_scalar!("select max(sequence) from decisions").fetch_one(&mut *view).await?;
    let end = end.unwrap_or_default();
    let last = last.unwrap_or(end);
    if first > end || last > end {
        return Err(DecisionLogError::NoSuchPart { first, last: last.max(first), end });
    }
    let previous = sqlx::query_scalar!("select sha256 from decisions where sequence = $1", first - 1)
        .fetch_optional(view)
        .await?;
    Ok(LogHead {
        first,
        last,
        previous_sha256: previous.unwrap_or_else(|| Link::BEGINNING.sha256.as_bytes().to_vec()),
        public_keys: trusted.iter().map(|key| key.as_bytes().to_vec()).collect(),
    })
}

async fn following(view: &mut PgConnection, after: i64, up_to: i64) -> Result<Vec<Vec<u8>>> {
    let digests = sqlx::query_scalar!(
        r#"select sha256(record) as "sha256!" from decisions
           where sequence > $1 and sequence <= $2 order by sequence"#,
        after,
        up_to,
    );
    Ok(digests.fetch_all(view).await?)
}
