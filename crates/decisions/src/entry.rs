//! What is written of one decision: the record, which is hashed and names nobody, and the inputs, which are personal.

use chrono::{DateTime, Utc};
use finrank_contracts::ranking::v1::{DecisionInputs, DecisionRecord};
use finrank_model::{Sha256Digest, UserId};
use finrank_serving::wire;
use prost::Message;
use uuid::Uuid;

/// One decision, encoded as it is written.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(crate) decision_id: Uuid,
    pub(crate) decided_at: DateTime<Utc>,
    pub(crate) user_id: UserId,
    pub(crate) record: Vec<u8>,
    pub(crate) inputs: Vec<u8>,
}

impl Entry {
    /// Salts the inputs and the digests of proofs, and lets the record commit to them. The record's id and time, and the
    /// inputs' customer, are set to those given.
    pub fn new(
        decision_id: Uuid,
        decided_at: DateTime<Utc>,
        user_id: UserId,
        record: DecisionRecord,
        inputs: DecisionInputs,
    ) -> Self {
        let salt = rand::random::<[u8; 32]>().to_vec();
        let inputs = DecisionInputs { salt, user_id: user_id.to_string(), ..inputs };
        let record = committed(decision_id, decided_at, record, &inputs);
        let (record, inputs) = (record.encode_to_vec(), inputs.encode_to_vec());
        Self { decision_id, decided_at, user_id, record, inputs }
    }
}

/// A record of a decision as it commits to inputs that are salted, with the digests of its proofs salted too.
pub fn committed(
    decision_id: Uuid,
    decided_at: DateTime<Utc>,
    mut record: DecisionRecord,
    inputs: &DecisionInputs,
) -> DecisionRecord {
    for item in &mut record.items {
        item.proof_sha256 = salted(&inputs.salt, &item.proof_sha256).as_bytes().to_vec();
    }
    DecisionRecord {
        decision_id: decision_id.to_string(),
        decided_at: Some(wire::timestamp(decided_at)),
        inputs_sha256: commitment(&inputs.encode_to_vec()).as_bytes().to_vec(),
        ..record
    }
}

/// What a record holds of a proof's digest, which is of what is personal too: without the salt, which goes with the inputs,
/// nobody can try whose it was.
fn salted(salt: &[u8], proof: &[u8]) -> Sha256Digest {
    Sha256Digest::of_parts([b"finrank.decision.item.v1".as_slice(), salt, proof])
}

/// By what a record commits to its inputs' bytes.
pub(crate) fn commitment(inputs: &[u8]) -> Sha256Digest {
    Sha256Digest::of(inputs)
}
