//! One decision, as it is kept.

use finrank_contracts::ranking::v1::{DecisionInputs, DecisionRecord};
use finrank_store::Store;
use prost::Message;
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

/// A place of the chain as a row holds it.
pub(crate) fn link(sequence: i64, sha256: &[u8]) -> Result<Link> {
    let sha256 = sha256.try_into().map_err(|_| DecisionLogError::damaged(sequence, "has no hash"))?;
    Ok(Link { sequence, sha256 })
}

/// A record as a row holds it.
pub(crate) fn record(sequence: i64, bytes: &[u8]) -> Result<DecisionRecord> {
    DecisionRecord::decode(bytes).map_err(|_| DecisionLogError::damaged(sequence, "has an unreadable record"))
}

/// The first checkpoint that covers a decision.
pub(crate) async fn checkpoint_from(store: &Store, sequence: i64) -> Result<Option<Checkpoint>> {
    let row = sqlx::query!(
        "select sequence, sha256, signed_at, public_key, signature
         from decision_checkpoints where sequence >= $1 order by sequence limit 1",
        sequence,
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(|row| checkpoint(row.sequence, &row.sha256, row.signed_at, &row.public_key, &row.signature))
        .transpose()
}

/// A checkpoint as a row or a message holds it.
///
/// # Errors
/// When a part has another length than it must, or the key is none.
pub(crate) fn checkpoint(
    sequence: i64,
    sha256: &[u8],
    signed_at: chrono::DateTime<chrono::Utc>,
    public_key: &[u8],
    signature: &[u8],
) -> Result<Checkpoint> {
    let damaged = |reason| DecisionLogError::damaged(sequence, reason);
    let sha256 = sha256.try_into().map_err(|_| damaged("has a checkpoint without a hash"))?;
    Ok(Checkpoint {
        link: Link { sequence, sha256 },
        signed_at,
        public_key: PublicKey::from_bytes(public_key)
            .map_err(|_| damaged("has a checkpoint without a key"))?,
        signature: signature.try_into().map_err(|_| damaged("has a checkpoint without a signature"))?,
    })
}
