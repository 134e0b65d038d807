//! Which content: bundles and feature definitions are known by their SHA-256.

use std::{array::TryFromSliceError, fmt};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::InvalidField;

/// A SHA-256; in text and JSON 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The SHA-256 of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// A digest that was kept as bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The SHA-256 of many parts, written as [`Parts`] has it, and never held together.
    pub fn of_parts<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            let part = part.as_ref();
            hasher.update(length(part.len()));
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(raw: &str) -> Result<Self, InvalidField> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(raw, &mut bytes)
            .map_err(|_| InvalidField::new("sha256", format!("is {raw:?}, not 64 hexadecimal digits")))?;
        Ok(Self(bytes))
    }
}

/// Parts written one after the other, each with its length before it (8 bytes, little-endian), so that no two different
/// lists are written alike: what is hashed or signed.
#[derive(Clone, Debug, Default)]
pub struct Parts(Vec<u8>);

impl Parts {
    /// Begins with what it is of, so that it is never mistaken for another one's.
    pub fn of(domain: &str) -> Self {
        let mut parts = Self::default();
        parts.part(domain.as_bytes());
        parts
    }

    /// Writes a part.
    pub fn part(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Writes how many parts a list has.
    pub fn count(&mut self, parts: usize) {
        self.0.extend_from_slice(&length(parts));
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The SHA-256 of what was written.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.0)
    }
}

fn length(bytes: usize) -> [u8; 8] {
    (bytes as u64).to_le_bytes()
}

impl TryFrom<&[u8]> for Sha256Digest {
    type Error = TryFromSliceError;

    /// Takes 32 bytes, as rows and messages hold them.
    fn try_from(bytes: &[u8]) -> Result<Self, TryFromSliceError> {
        Ok(Self(bytes.try_into()?))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = InvalidField;

    fn try_from(raw: String) -> Result<Self, InvalidField> {
        Self::parse(&raw)
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_hashed_alike_whether_they_are_held_together_or_not() {
        let mut parts = Parts::of("domain");
        parts.part(b"");
        parts.part(b"bytes");

        assert_eq!(parts.digest(), Sha256Digest::of_parts([b"domain".as_slice(), b"", b"bytes"]));
        assert_eq!(parts.as_bytes()[..14], *b"\x06\0\0\0\0\0\0\0domain");
    }
}
