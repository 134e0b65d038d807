//! One decision, as it is kept.

use chrono::{DateTime, Utc};
use finrank_contracts::ranking::v1::{self, DecisionInputs, DecisionRecord};
use finrank_serving::wire;
use finrank_store::Store;
use futures::stream::BoxStream;
use prost::Message;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{
    DecisionLogError, Result,
    chain::Link,
    checkpoint::{Checkpoint, PublicKey},
};

/// A decision in the log.
#[derive(Clone, Debug)]
pub struct KeptDecision {
    /// Its place, and the hash up to it.
    pub link: Link,
    /// What is hashed.
    pub record: DecisionRecord,
    /// What it was made from; `None` once erased.
    pub inputs: Option<DecisionInputs>,
}

/// Reads a decision.
///
/// # Errors
/// [`DecisionLogError::NotFound`], or when a row holds what it cannot.
pub async fn decision(store: &Store, decision_id: Uuid) -> Result<KeptDecision> {
    let row = store
        .ask(|pool| async move {
            sqlx::query!(
                r#"select sequence, sha256, record, inputs as "inputs?"
                   from decisions left join decision_inputs using (decision_id)
                   where decision_id = $1"#,
                decision_id,
            )
            .fetch_optional(&pool)
            .await
        })
        .await?
        .ok_or(DecisionLogError::NotFound(decision_id))?;
    let inputs = row.inputs.as_deref().map(DecisionInputs::decode).transpose();
    Ok(KeptDecision {
        link: link(row.sequence, &row.sha256)?,
        record: record(row.sequence, &row.record)?,
        inputs: inputs.map_err(|_| DecisionLogError::damaged(row.sequence, "has unreadable inputs"))?,
    })
}

/// The ids of decisions, in the order of the log: those made since a moment, and of these the last ones only.
///
/// # Errors
/// When Postgres does not answer.
pub async fn decision_ids(
    store: &Store,
    since: Option<DateTime<Utc>>,
    last: Option<i64>,
) -> Result<Vec<Uuid>> {
    let mut ids = store
        .ask(|pool| async move {
            sqlx::query_scalar!(
                "select decision_id from decisions
                 where $1::timestamptz is null or decided_at >= $1
                 order by sequence desc limit $2",
                since,
                last,
            )
            .fetch_all(&pool)
            .await
        })
        .await?;
    ids.reverse();
    Ok(ids)
}

/// A place of the chain as a row holds it.
pub(crate) fn link(sequence: i64, sha256: &[u8]) -> Result<Link> {
    let sha256 = sha256.try_into().map_err(|_| DecisionLogError::damaged(sequence, "has no hash"))?;
    Ok(Link { sequence, sha256 })
}

/// A record as a row holds it.
pub(crate) fn record(sequence: i64, bytes: &[u8]) -> Result<DecisionRecord> {
    DecisionRecord::decode(bytes).map_err(|_| DecisionLogError::damaged(sequence, "has an unreadable record"))
}

/// A checkpoint as a row or a message holds it.
#[derive(Debug)]
pub(crate) struct CheckpointRow {
    pub(crate) sequence: i64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) signed_at: DateTime<Utc>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The checkpoints from a place of the chain on, in the order of the chain. Whoever writes to the database may have made them
/// up.
pub(crate) fn checkpoints_from<'c>(
    connection: impl PgExecutor<'c> + 'c,
    sequence: i64,
) -> BoxStream<'c, sqlx::Result<CheckpointRow>> {
    sqlx::query_as!(
        CheckpointRow,
        "select sequence, sha256, signed_at, public_key, signature
         from decision_checkpoints where sequence >= $1 order by sequence",
        sequence,
    )
    .fetch(connection)
}

impl CheckpointRow {
    /// As it stands in the row, whether it can be read or not.
    pub(crate) fn to_wire(&self) -> v1::Checkpoint {
        v1::Checkpoint {
            sequence: self.sequence,
            sha256: self.sha256.clone(),
            signed_at: Some(wire::timestamp(self.signed_at)),
            public_key: self.public_key.clone(),
            signature: self.signature.clone(),
        }
    }

    /// The checkpoint.
    ///
    /// # Errors
    /// When a part has another length than it must, or the key is none.
    pub(crate) fn read(&self) -> Result<Checkpoint> {
        let damaged = |reason| DecisionLogError::damaged(self.sequence, reason);
        let sha256 = self.sha256.as_slice().try_into();
        let sha256 = sha256.map_err(|_| damaged("has a checkpoint without a hash"))?;
        let public_key = PublicKey::from_bytes(&self.public_key);
        let signature = self.signature.as_slice().try_into();
        Ok(Checkpoint {
            link: Link { sequence: self.sequence, sha256 },
            signed_at: self.signed_at,
            public_key: public_key.map_err(|_| damaged("has a checkpoint without a key"))?,
            signature: signature.map_err(|_| damaged("has a checkpoint without a signature"))?,
        })
    }
}
