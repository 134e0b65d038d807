//! The chain: each decision's hash covers the one before it, its place, and its record.
//!
//! `hash(n) = SHA-256(parts("finrank.decision.v1", hash(n − 1), n, SHA-256(record)))`, where `parts` is
//! [`finrank_model::Parts`], n has 8 bytes, little-endian, and hash(0) is 32 zeros. It takes the
//! record by its digest, so that a proof of one decision need not show the others.

use finrank_model::{Parts, Sha256Digest};

/// What the hash is of, so that it is never mistaken for another one's.
const DOMAIN: &str = "finrank.decision.v1";

/// A place in the chain, and the hash up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// From 1; 0 before the first decision.
    pub sequence: i64,
    /// The hash up to it.
    pub sha256: Sha256Digest,
}

impl Link {
    /// Before the first decision.
    pub const BEGINNING: Self = Self { sequence: 0, sha256: Sha256Digest::from_bytes([0; 32]) };

    /// The next link, over a record.
    #[must_use]
    pub fn then(self, record: &[u8]) -> Self {
        self.then_digest(Sha256Digest::of(record))
    }

    /// The next link, over a record that is known by its digest.
    #[must_use]
    pub fn then_digest(self, record: Sha256Digest) -> Self {
        let sequence = self.sequence + 1;
        let mut parts = Parts::of(DOMAIN);
        parts.part(self.sha256.as_bytes());
        parts.part(&sequence.to_le_bytes());
        parts.part(record.as_bytes());
        Self { sequence, sha256: parts.digest() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_record_its_place_and_all_before_it() {
        let chain = |records: &[&str]| {
            records.iter().fold(Link::BEGINNING, |link, record| link.then(record.as_bytes())).sha256
        };

        assert_eq!(chain(&["a", "b"]), chain(&["a", "b"]));
        for other in [&["a", "c"][..], &["c", "b"], &["b", "a"], &["b"], &["a", "b", "b"], &["ab"]] {
            assert_ne!(chain(other), chain(&["a", "b"]), "{other:?}");
        }
    }

    #[test]
    fn the_first_hash_is_the_one_that_other_programs_compute() {
        let link = Link::BEGINNING.then(b"record");

        // python3: parts = lambda *p: b"".join(struct.pack("<Q", len(x)) + x for x in p)
        //          sha256(parts(b"finrank.decision.v1", bytes(32), struct.pack("<q", 1), sha256(b"record").digest()))
        assert_eq!(
            link.sha256.to_string(),
            "1bb303202ea304e9f1367feba6684f551c53693525597abaa3bec43c2f652053"
        );
    }
}
