//! Inclusion: that a decision stands in the log, shown to somebody who has nothing but the log's public key. The proof is the
//! chain from the decision to the first checkpoint that covers it, the records after it by their digests alone.

use finrank_contracts::ranking::v1::{self, DecisionRecord, InclusionProof};
use finrank_model::Sha256Digest;
use finrank_serving::wire;
use finrank_store::Store;
use futures::TryStreamExt;
use prost::Message;
use uuid::Uuid;

use crate::{
    DecisionLogError, Result,
    chain::Link,
    checkpoint::{Checkpoint, Distrust, PublicKey},
    read::{self, CheckpointRow},
};

/// Makes the proof of one decision, by the first checkpoint after it that one of the keys signed.
///
/// # Errors
/// [`DecisionLogError::NotFound`], and [`DecisionLogError::NotSignedYet`] before a checkpoint covers it.
pub async fn prove(store: &Store, trusted: &[PublicKey], decision_id: Uuid) -> Result<InclusionProof> {
    let row = sqlx::query!(
        r#"select decided.sequence, decided.record, before.sha256 as "previous?"
           from decisions as decided left join decisions as before on before.sequence = decided.sequence - 1
           where decided.decision_id = $1"#,
        decision_id,
    )
    .fetch_optional(store.pool())
    .await?
    .ok_or(DecisionLogError::NotFound(decision_id))?;
    let checkpoint = first_trusted(store, trusted, row.sequence).await?;
    let checkpoint = checkpoint.ok_or(DecisionLogError::NotSignedYet(decision_id))?;
    let following = sqlx::query_scalar!(
        r#"select sha256(record) as "sha256!" from decisions
           where sequence > $1 and sequence <= $2 order by sequence"#,
        row.sequence,
        checkpoint.link.sequence,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(InclusionProof {
        sequence: row.sequence,
        previous_sha256: row.previous.unwrap_or_else(|| Link::BEGINNING.sha256.as_bytes().to_vec()),
        record: row.record,
        following,
        checkpoint: Some(checkpoint_to_wire(&checkpoint)),
    })
}

/// The first checkpoint that covers a decision and counts; whatever else stands before it was made up.
async fn first_trusted(store: &Store, trusted: &[PublicKey], sequence: i64) -> Result<Option<Checkpoint>> {
    let mut rows = read::checkpoints_from(store.pool(), sequence);
    while let Some(row) = rows.try_next().await? {
        if let Ok(checkpoint) = row.read()
            && checkpoint.check(trusted).is_ok()
        {
            return Ok(Some(checkpoint));
        }
    }
    Ok(None)
}

/// Checks a proof, and gives the record that it proves.
///
/// # Errors
/// [`DecisionLogError::NoProof`] says at which step it fails.
pub fn check(proof: &InclusionProof, trusted: &[PublicKey]) -> Result<DecisionRecord> {
    let none = |reason: &str| DecisionLogError::NoProof(reason.to_owned());
    let part = |bytes: &[u8], what: &str| {
        Sha256Digest::try_from(bytes).map_err(|_| none(&format!("{what} is no SHA-256")))
    };
    let checkpoint = proof.checkpoint.as_ref().ok_or_else(|| none("it has no checkpoint"))?;
    let checkpoint = checkpoint_from_wire(checkpoint)
        .map_err(|error| none(&format!("its checkpoint cannot be read: {error}")))?;
    let following_count = i64::try_from(proof.following.len()).unwrap_or(i64::MAX);
    if proof.sequence < 1 || proof.sequence.checked_add(following_count).is_none() {
        return Err(none("its number is none of a log"));
    }
    let before = Link {
        sequence: proof.sequence.saturating_sub(1),
        sha256: part(&proof.previous_sha256, "the hash before it")?,
    };
    let following: Vec<Sha256Digest> = proof
        .following
        .iter()
        .map(|bytes| part(bytes, "the digest of a record after it"))
        .collect::<Result<_>>()?;
    let end = following.into_iter().fold(before.then(&proof.record), Link::then_digest);
    if end != checkpoint.link {
        return Err(none("the chain from the record does not end at the checkpoint"));
    }
    checkpoint.check(trusted).map_err(|distrust| match distrust {
        Distrust::KeyUnknown => {
            none(&format!("the checkpoint's key, {}, is not one that is trusted", checkpoint.public_key))
        }
        Distrust::SignatureInvalid => none("the checkpoint is not signed by its key"),
    })?;
    DecisionRecord::decode(proof.record.as_slice()).map_err(|_| none("the record cannot be read"))
}

fn checkpoint_to_wire(checkpoint: &Checkpoint) -> v1::Checkpoint {
    v1::Checkpoint {
        sequence: checkpoint.link.sequence,
        sha256: checkpoint.link.sha256.as_bytes().to_vec(),
        signed_at: Some(wire::timestamp(checkpoint.signed_at)),
        public_key: checkpoint.public_key.as_bytes().to_vec(),
        signature: checkpoint.signature.to_vec(),
    }
}

pub(crate) fn checkpoint_from_wire(message: &v1::Checkpoint) -> Result<Checkpoint> {
    let signed_at = wire::moment("checkpoint.signed_at", message.signed_at)?;
    CheckpointRow {
        sequence: message.sequence,
        sha256: message.sha256.clone(),
        signed_at,
        public_key: message.public_key.clone(),
        signature: message.signature.clone(),
    }
    .read()
}
