//! How decisions are kept.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::checkpoint::PublicKey;

/// Settings of the decision log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionLogConfig {
    /// When an answer goes out.
    pub mode: Mode,
    /// Decisions that may wait to be written. When as many wait, further ones are not begun before there is room.
    pub queue: NonZeroUsize,
    /// The scored products that a record names, the best first; all of them are covered by a digest.
    pub candidates: usize,
    /// Decisions after which the chain is signed.
    pub checkpoint_every: u64,
    /// The time after which the chain is signed, if anything was decided.
    #[serde(with = "humantime_serde")]
    pub checkpoint_after: Duration,
    /// The file with the key that signs; made, for its owner alone, if it is not there. Without one, a key that ends with
    /// the process.
    pub signing_key: Option<PathBuf>,
    /// Public keys, in hexadecimal, by which checkpoints may also be signed: those of other servers, and earlier ones.
    pub trusted_keys: Vec<PublicKey>,
}

/// When an answer goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing is kept.
    Off,
    /// Once its decision waits to be written. What waits is lost when the process is killed.
    #[default]
    Queued,
    /// Once its decision is written.
    Strict,
}

impl Default for DecisionLogConfig {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            queue: const { NonZeroUsize::new(1024).expect("1024 is not zero") },
            candidates: 50,
            checkpoint_every: 1_000,
            checkpoint_after: Duration::from_secs(60),
            signing_key: None,
            trusted_keys: Vec::new(),
        }
    }
}
