//! One decision, as it is kept.

use finrank_contracts::ranking::v1::{DecisionInputs, DecisionRecord};
use finrank_model::Sha256Digest;
use finrank_store::Store;
use prost::Message;
use uuid::Uuid;

use crate::{
    DecisionLogError, Result,
    chain::Link,
    checkpoint::{Checkpoint, PublicKey, digest},
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
    let damaged =
        |reason: &str| DecisionLogError::Damaged { sequence: row.sequence, reason: reason.to_owned() };
    let inputs = row.inputs.as_deref().map(DecisionInputs::decode).transpose();
    Ok(KeptDecision {
        link: Link {
            sequence: row.sequence,
            sha256: digest(&row.sha256).ok_or_else(|| damaged("has no hash"))?,
        },
        record: DecisionRecord::decode(row.record.as_slice())
            .map_err(|_| damaged("has an unreadable record"))?,
        inputs: inputs.map_err(|_| damaged("has unreadable inputs"))?,
    })
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
    let damaged = |reason: &str| DecisionLogError::Damaged { sequence, reason: reason.to_owned() };
    let sha256: Sha256Digest = digest(sha256).ok_or_else(|| damaged("has a checkpoint without a hash"))?;
    Ok(Checkpoint {
        link: Link { sequence, sha256 },
        signed_at,
        public_key: PublicKey::from_bytes(public_key)
            .map_err(|_| damaged("has a checkpoint without a key"))?,
        signature: signature.try_into().map_err(|_| damaged("has a checkpoint without a signature"))?,
    })
}
