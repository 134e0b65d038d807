//! Checkpoints: signatures over the chain, so that whoever can write to the database still cannot write the log anew.
//!
//! What is signed (Ed25519, RFC 8032) is `parts("finrank.checkpoint.v1", sequence, sha256, signed at)`, the numbers as 8 bytes
//! each, little-endian, the time in microseconds since 1970.

use chrono::{DateTime, SubsecRound, Utc};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use finrank_model::{InvalidField, Parts};
use serde::{Deserialize, Serialize};

use crate::{Result, chain::Link};

const DOMAIN: &str = "finrank.checkpoint.v1";

/// The key that signs.
pub struct CheckpointKey(SigningKey);

impl CheckpointKey {
    /// From 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The public half, by which everyone can check.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs the chain up to a link.
    pub fn sign(&self, link: Link, signed_at: DateTime<Utc>) -> Checkpoint {
        // As Postgres keeps it.
        let signed_at = signed_at.trunc_subsecs(6);
        let signature = self.0.sign(message(link, signed_at).as_bytes()).to_bytes();
        Checkpoint { link, signed_at, public_key: self.public(), signature }
    }
}

impl std::fmt::Debug for CheckpointKey {
    /// The secret half is nobody's to see.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckpointKey({})", self.public())
    }
}

/// The key by which a checkpoint is checked; in text 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// When they are no key.
    pub fn parse(raw: &str) -> Result<Self, InvalidField> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(raw.trim(), &mut bytes)
            .map_err(|_| InvalidField::new("public_key", format!("is {raw:?}, not 64 hexadecimal digits")))?;
        Self::from_bytes(&bytes)
    }

    /// Takes 32 bytes.
    ///
    /// # Errors
    /// When they are no key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidField> {
        let none = || InvalidField::new("public_key", "is no Ed25519 key");
        let bytes = bytes.try_into().map_err(|_| none())?;
        VerifyingKey::from_bytes(bytes).map(Self).map_err(|_| none())
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl TryFrom<String> for PublicKey {
    type Error = InvalidField;

    fn try_from(raw: String) -> Result<Self, InvalidField> {
        Self::parse(&raw)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

/// The chain up to a link, signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last decision that it covers, and the hash up to it.
    pub link: Link,
    /// When.
    pub signed_at: DateTime<Utc>,
    /// By which key.
    pub public_key: PublicKey,
    /// The signature.
    pub signature: [u8; 64],
}

/// Why a checkpoint does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Its key is not one that is trusted.
    KeyUnknown,
    /// Its key did not sign it.
    SignatureInvalid,
}

impl Checkpoint {
    /// Whether it counts.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(&self, trusted: &[PublicKey]) -> Result<(), Distrust> {
        if !trusted.contains(&self.public_key) {
            return Err(Distrust::KeyUnknown);
        }
        if self.is_signed() { Ok(()) } else { Err(Distrust::SignatureInvalid) }
    }

    /// Whether its key signed it.
    pub fn is_signed(&self) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        self.public_key.0.verify_strict(message(self.link, self.signed_at).as_bytes(), &signature).is_ok()
    }
}

fn message(link: Link, signed_at: DateTime<Utc>) -> Parts {
    let mut parts = Parts::of(DOMAIN);
    parts.part(&link.sequence.to_le_bytes());
    parts.part(link.sha256.as_bytes());
    parts.part(&signed_at.timestamp_micros().to_le_bytes());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_what_was_signed_and_nothing_else() {
        let key = CheckpointKey::new(&[7; 32]);
        let link = Link::BEGINNING.then(b"record");
        let signed = key.sign(link, Utc::now());
        let later = signed.signed_at + chrono::TimeDelta::microseconds(1);

        let others = [
            Checkpoint { link: Link { sequence: 2, ..link }, ..signed },
            Checkpoint { link: Link { sequence: 1, ..Link::BEGINNING }, ..signed },
            Checkpoint { signed_at: later, ..signed },
            Checkpoint { public_key: CheckpointKey::new(&[8; 32]).public(), ..signed },
        ];

        assert!(signed.is_signed());
        assert!(others.iter().all(|other| !other.is_signed()));
        assert_eq!(PublicKey::parse(&signed.public_key.to_string()).unwrap(), signed.public_key);
        assert!(PublicKey::parse("abc").unwrap_err().to_string().contains("64 hexadecimal"));
    }
}
