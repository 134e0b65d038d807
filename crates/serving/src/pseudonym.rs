//! Customers in logs: named by a keyed hash, so that their lines can be found by whoever has the key, and nobody can
//! tell from a log who they are.
//!
//! The hash is HMAC-SHA-256 (RFC 2104) of the user's id, cut to 128 bits. Without a key, ids as regular as account
//! numbers could be found by trying them all.

use std::{fmt, path::Path, sync::Arc};

use finrank_model::UserId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    Result,
    secret::{self, KEY_BYTES},
};

/// What names the key's file.
const SETTING: &str = "server.pseudonym_key";

/// How many bytes of the hash a log shows: two of a billion customers then share one with a chance of 10⁻²¹.
const SHOWN_BYTES: usize = 16;

/// The key by which logs name customers. Cheap to clone.
#[derive(Clone)]
pub struct Pseudonyms(Arc<[u8; KEY_BYTES]>);

/// How logs name one customer: 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pseudonym([u8; SHOWN_BYTES]);

impl Pseudonyms {
    /// The key in `file`; see [`secret::load`].
    ///
    /// # Errors
    /// As [`secret::load`].
    pub fn load(file: Option<&Path>) -> Result<Self> {
        Ok(Self(Arc::new(secret::load(SETTING, file)?)))
    }

    /// The key that servers have made: with one of one's own nobody would be found in their logs.
    ///
    /// # Errors
    /// As [`secret::read`].
    pub fn of_servers(file: &Path) -> Result<Self> {
        Ok(Self(Arc::new(secret::read(SETTING, file)?)))
    }

    /// How logs name a customer.
    pub fn of(&self, user_id: &UserId) -> Pseudonym {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("HMAC takes keys of any length");
        mac.update(user_id.as_str().as_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let (shown, _) = hash.split_first_chunk().expect("32 bytes are more than 16");
        Pseudonym(*shown)
    }
}

impl fmt::Debug for Pseudonyms {
    /// The key is nobody's to see.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, thread};

    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    #[test]
    fn is_the_hmac_of_the_id_as_openssl_computes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "00".repeat(31) + "01\n").unwrap();

        let pseudonym = Pseudonyms::load(Some(&path)).unwrap().of(&user("caravan-0003"));

        // printf caravan-0003 | openssl dgst -sha256 -mac HMAC -macopt hexkey:00…01
        assert_eq!(pseudonym.to_string(), "4d9769e62d885fc94017398dddd94437");
    }

    #[test]
    fn a_key_that_is_made_is_the_owners_alone_and_the_same_for_servers_that_start_together() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state").join("pseudonym.key");

        let of_both: Vec<Pseudonym> = thread::scope(|scope| {
            let server = || scope.spawn(|| Pseudonyms::load(Some(&path)).unwrap().of(&user("u")));
            [server(), server(), server(), server()].map(|server| server.join().unwrap()).to_vec()
        });

        assert!(of_both.iter().all(|pseudonym| *pseudonym == of_both[0]), "{of_both:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn whoever_looks_for_a_customer_in_logs_makes_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");

        let missing = Pseudonyms::of_servers(&path).unwrap_err().to_string();
        let servers = Pseudonyms::load(Some(&path)).unwrap();

        assert!(missing.contains(path.to_str().unwrap()) && missing.contains("no server"), "{missing}");
        assert_eq!(Pseudonyms::of_servers(&path).unwrap().of(&user("u")), servers.of(&user("u")));
    }

    #[test]
    fn another_key_gives_another_name() {
        let (one, other) = (Pseudonyms::load(None).unwrap(), Pseudonyms::load(None).unwrap());

        assert_ne!(one.of(&user("u")), other.of(&user("u")));
        assert_ne!(one.of(&user("u")), one.of(&user("v")));
    }

    #[test]
    fn a_file_that_holds_no_key_is_named_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "secret").unwrap();

        let refusal = Pseudonyms::load(Some(&path)).unwrap_err().to_string();

        assert!(refusal.contains(path.to_str().unwrap()) && refusal.contains("64 hexadecimal"), "{refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
    }
}
