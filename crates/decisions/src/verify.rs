//! Verification: the whole log, computed again from its records, and held to its hashes, its columns, its inputs and its
//! checkpoints.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, Utc};
use finrank_contracts::ranking::v1::{DecisionInputs, DecisionRecord};
use finrank_serving::wire;
use finrank_store::Store;
use futures::TryStreamExt;
use prost::Message;
use uuid::Uuid;

use crate::{
    Result,
    chain::Link,
    checkpoint::{Checkpoint, Distrust, PublicKey},
    entry::commitment,
    read::{self, CheckpointRow},
};

/// Decisions after which progress is told.
const PROGRESS: u64 = 10_000;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The last decision that is as it was written, and the hash up to it.
    pub verified: Link,
    /// The last of them that a checkpoint covers; 0 for none.
    pub covered: i64,
    /// Checkpoints that hold.
    pub checkpoints: u64,
    /// Decisions whose inputs were erased.
    pub inputs_erased: u64,
    /// The first thing that is not as it was written.
    pub fault: Option<Fault>,
}

/// Something that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The decision at which it was found.
    pub sequence: i64,
    /// What it is.
    pub kind: FaultKind,
}

/// What is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The decision is not there, though later ones or a checkpoint of it are.
    Missing,
    /// The log ends before it, and an earlier verification is said to have found it, or more.
    CutOff,
    /// The record or the hash was changed, or stands at another place than it was written at.
    RecordChanged,
    /// The row's id or time is not the record's.
    ColumnsChanged,
    /// The inputs are not those that the record commits to.
    InputsChanged,
    /// A checkpoint, or an earlier verification, says another hash: the chain up to here was written anew.
    ChainRewritten,
    /// A checkpoint is not signed by its key.
    SignatureInvalid,
    /// A checkpoint is signed by a key that is not trusted.
    KeyUnknown,
}

impl FaultKind {
    /// A stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::CutOff => "CUT_OFF",
            Self::RecordChanged => "RECORD_CHANGED",
            Self::ColumnsChanged => "COLUMNS_CHANGED",
            Self::InputsChanged => "INPUTS_CHANGED",
            Self::ChainRewritten => "CHAIN_REWRITTEN",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::KeyUnknown => "KEY_UNKNOWN",
        }
    }

    /// For people, after "decision 7 ".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Missing => "is not there, though what comes after it is",
            Self::CutOff => {
                "is not there, though an earlier verification is said to have found more than there is"
            }
            Self::RecordChanged => "is not as it was written, or not at its place",
            Self::ColumnsChanged => "has another id or time in its row than in its record",
            Self::InputsChanged => "has other inputs than those that it was made from",
            Self::ChainRewritten => "ends a chain that is not the one that was signed or found before",
            Self::SignatureInvalid => "has a checkpoint that is not signed by its key",
            Self::KeyUnknown => "has a checkpoint that is signed by a key that is not trusted",
        }
    }
}

struct Row {
    sequence: i64,
    decision_id: Uuid,
    decided_at: DateTime<Utc>,
    record: Vec<u8>,
    sha256: Vec<u8>,
    user_id: Option<String>,
    inputs: Option<Vec<u8>>,
}

/// Computes the log again, from its first decision, up to the first fault. `expected` is a link that an earlier
/// verification found, which must still be there: what was written anew together with its signatures, or cut off, is found
/// by nothing else. `progress` is told now and then how many decisions were good.
///
/// # Errors
/// When Postgres does not answer. What is wrong with the log is no error.
pub async fn verify(
    store: &Store,
    trusted: &[PublicKey],
    expected: Option<Link>,
    mut progress: impl FnMut(i64),
) -> Result<Verification> {
    // One view of both tables: a checkpoint that is signed meanwhile covers nothing that is not seen.
    let mut view = store.pool().begin_with("begin isolation level repeatable read, read only").await?;
    let checkpoints = read::checkpoints_from(&mut *view, i64::MIN);
    let mut checkpoints: BTreeMap<i64, CheckpointRow> =
        checkpoints.map_ok(|row| (row.sequence, row)).try_collect().await?;
    let mut found =
        Verification { verified: Link::BEGINNING, covered: 0, checkpoints: 0, inputs_erased: 0, fault: None };
    let mut rows = sqlx::query_as!(
        Row,
        r#"select sequence, decision_id, decided_at, record, sha256, user_id as "user_id?", inputs as "inputs?"
           from decisions left join decision_inputs using (decision_id)
           order by sequence"#
    )
    .fetch(&mut *view);
    while let Some(row) = rows.try_next().await? {
        let checkpoint = checkpoints.remove(&row.sequence);
        if let Err(fault) = found.take(&row, checkpoint.as_ref(), trusted) {
            found.fault = Some(fault);
            return Ok(found);
        }
        if expected.is_some_and(|link| link.sequence == row.sequence && link != found.verified) {
            found.fault = Some(Fault { sequence: row.sequence, kind: FaultKind::ChainRewritten });
            return Ok(found);
        }
        if found.verified.sequence.unsigned_abs().is_multiple_of(PROGRESS) {
            progress(found.verified.sequence);
        }
    }
    drop(rows);
    let last = found.verified.sequence;
    let missing = |kind| Fault { sequence: last + 1, kind };
    found.fault = match checkpoints.into_values().next().map(|row| (row.sequence, counts(&row, trusted))) {
        // Of no decision that is there: of one that was, if the log's key signed it.
        Some((sequence, Err(kind))) => Some(Fault { sequence, kind }),
        Some((_, Ok(_))) => Some(missing(FaultKind::Missing)),
        None => expected.filter(|link| link.sequence > last).map(|_| missing(FaultKind::CutOff)),
    };
    Ok(found)
}

/// A checkpoint that counts. A row that cannot be one was signed by nobody.
fn counts(row: &CheckpointRow, trusted: &[PublicKey]) -> Result<Checkpoint, FaultKind> {
    let checkpoint = row.read().map_err(|_| FaultKind::SignatureInvalid)?;
    checkpoint.check(trusted).map_err(|distrust| match distrust {
        Distrust::KeyUnknown => FaultKind::KeyUnknown,
        Distrust::SignatureInvalid => FaultKind::SignatureInvalid,
    })?;
    Ok(checkpoint)
}

impl Verification {
    fn take(
        &mut self,
        row: &Row,
        checkpoint: Option<&CheckpointRow>,
        trusted: &[PublicKey],
    ) -> Result<(), Fault> {
        let next = self.verified.then(&row.record);
        if row.sequence != next.sequence {
            return Err(Fault { sequence: next.sequence, kind: FaultKind::Missing });
        }
        let fault = |kind| Fault { sequence: row.sequence, kind };
        let record =
            DecisionRecord::decode(row.record.as_slice()).map_err(|_| fault(FaultKind::RecordChanged))?;
        if row.sha256 != next.sha256.as_bytes() {
            return Err(fault(FaultKind::RecordChanged));
        }
        let decided_at = wire::moment("decided_at", record.decided_at).map(|moment| moment.trunc_subsecs(6));
        if record.decision_id != row.decision_id.to_string() || decided_at != Ok(row.decided_at) {
            return Err(fault(FaultKind::ColumnsChanged));
        }
        match &row.inputs {
            Some(inputs) if commitment(inputs).as_bytes().as_slice() != record.inputs_sha256 => {
                return Err(fault(FaultKind::InputsChanged));
            }
            Some(inputs) => {
                let of = DecisionInputs::decode(inputs.as_slice()).map(|inputs| inputs.user_id).ok();
                if of != row.user_id {
                    return Err(fault(FaultKind::InputsChanged));
                }
            }
            None => self.inputs_erased += 1,
        }
        if let Some(checkpoint) = checkpoint {
            if checkpoint.sha256 != next.sha256.as_bytes() {
                return Err(fault(FaultKind::ChainRewritten));
            }
            counts(checkpoint, trusted).map_err(fault)?;
            self.checkpoints += 1;
            self.covered = row.sequence;
        }
        self.verified = next;
        Ok(())
    }
}
