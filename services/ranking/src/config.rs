//! How the ranking service is set up; every default works on one machine.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use finrank_decisions::DecisionLogConfig;
use finrank_model::{
    InvalidFile,
    reasons::{BUILT_IN_REASONS, ReasonTable},
};
use finrank_policy::{BUILT_IN_POLICY, Policy};
use finrank_selection::{BUILT_IN_SELECTION, SelectionRules};
use finrank_serving::ServerConfig;
use serde::{Deserialize, Serialize};

use crate::{
    FileError,
    index::{Depth, IndexConfig, IndexSettings},
};

/// Where ranking listens unless told otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50052);

/// The ranking server's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankingConfig {
    /// The feature store's URL; `http://` only, since TLS ends in front of these servers.
    pub feature_store: String,
    /// Where and how to listen.
    pub server: ServerConfig,
    /// Where model bundles lie, each in a directory named by its version.
    pub models_dir: PathBuf,
    /// How candidates are found.
    pub retrieval: RetrievalConfig,
    /// How the catalogue is followed.
    pub subscription: SubscriptionConfig,
    /// What an answer may be ranked by when the customer's embedding cannot be had.
    pub degradation: DegradationConfig,
    /// Who may be offered what.
    pub policy: PolicyConfig,
    /// Which candidates are offered, in which places.
    pub selection: SelectionConfig,
    /// How decisions are kept.
    pub decision_log: DecisionLogConfig,
    /// How scores are explained.
    pub explanations: ExplanationsConfig,
    /// How what is tried beside the served model is followed.
    pub traffic: TrafficConfig,
}

/// How what is tried beside the served model is followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrafficConfig {
    /// How often the feature store is asked what is set.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// The share of decisions that the shadow ranks once more, 0 to 1.
    pub shadow_share: f64,
    /// Decisions that wait for the shadow at most, each of some kilobytes; what comes on top is not ranked by it.
    pub shadow_queue: NonZeroUsize,
}

impl Default for TrafficConfig {
    fn default() -> Self {
        // 1,000 decisions are some seconds' work for a shadow of a large catalogue.
        let shadow_queue = const { NonZeroUsize::new(1000).expect("more than 0") };
        Self { interval: Duration::from_secs(5), shadow_share: 1.0, shadow_queue }
    }
}

/// How scores are explained.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExplanationsConfig {
    /// The reason table's file; without one, [`finrank_model::reasons::BUILT_IN_REASONS`]. A model that reads something
    /// that the table has no code for is not served.
    pub reasons: Option<PathBuf>,
    /// What reasons are told for where a request does not say: a purpose that the feature store declares.
    pub purpose: String,
}

impl Default for ExplanationsConfig {
    fn default() -> Self {
        Self { reasons: None, purpose: "marketing".to_owned() }
    }
}

impl ExplanationsConfig {
    /// Reads the reason table.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong with it.
    pub fn load(&self) -> Result<ReasonTable, FileError> {
        read(self.reasons.as_deref(), ("the built-in reason table", BUILT_IN_REASONS), ReasonTable::parse)
    }
}

/// Who may be offered what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// The policy's file; without one, [`finrank_policy::BUILT_IN_POLICY`].
    pub file: Option<PathBuf>,
}

impl PolicyConfig {
    /// Reads the policy.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong with it.
    pub fn load(&self) -> Result<Policy, FileError> {
        read(self.file.as_deref(), ("the built-in policy", BUILT_IN_POLICY), Policy::parse)
    }
}

/// Which candidates are offered, in which places.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionConfig {
    /// The selection file; without one, [`finrank_selection::BUILT_IN_SELECTION`], which has no rules.
    pub file: Option<PathBuf>,
}

impl SelectionConfig {
    /// Reads the rules.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong with it.
    pub fn load(&self) -> Result<SelectionRules, FileError> {
        read(self.file.as_deref(), ("the built-in selection", BUILT_IN_SELECTION), SelectionRules::parse)
    }
}

/// What a file says, or what is built in, by its name and text.
fn read<T>(
    file: Option<&Path>,
    (built_in, text): (&str, &str),
    parse: impl Fn(&str) -> Result<T, InvalidFile>,
) -> Result<T, FileError> {
    let Some(path) = file else {
        return parse(text).map_err(|source| FileError::Invalid { name: built_in.to_owned(), source });
    };
    let text =
        fs::read_to_string(path).map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|source| FileError::Invalid { name: path.display().to_string(), source })
}

impl Default for RankingConfig {
    fn default() -> Self {
        Self {
            feature_store: "http://127.0.0.1:50051".to_owned(),
            server: ServerConfig { listen: DEFAULT_LISTEN, ..ServerConfig::default() },
            models_dir: PathBuf::from(".finrank/models"),
            retrieval: RetrievalConfig::default(),
            subscription: SubscriptionConfig::default(),
            degradation: DegradationConfig::default(),
            policy: PolicyConfig::default(),
            selection: SelectionConfig::default(),
            decision_log: DecisionLogConfig::default(),
            explanations: ExplanationsConfig::default(),
            traffic: TrafficConfig::default(),
        }
    }
}

/// How candidates are found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrievalConfig {
    /// How many candidates are scored for one request; more when more products are asked for.
    pub candidates: NonZeroUsize,
    /// How the index is built and searched.
    pub index: IndexConfig,
}

impl RetrievalConfig {
    /// What indexes are built by: measured for as many candidates as are scored.
    pub fn index_settings(&self) -> IndexSettings {
        IndexSettings { config: self.index.clone(), depth: Depth(self.candidates) }
    }
}

impl Default for RetrievalConfig {
    fn default() -> Self {
        Self {
            // Scored in about 0.1 ms.
            candidates: Depth::default().0,
            index: IndexConfig::default(),
        }
    }
}

/// What an answer may be ranked by when the customer's embedding cannot be had: see docs/ranking.md. What may be offered never
/// degrades. What is not allowed here is refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DegradationConfig {
    /// How long ago the feature store may have told the last known embedding that is used in the place of one that it cannot
    /// give; "0s" for never, and then none is kept.
    #[serde(with = "humantime_serde")]
    pub stale_embedding_up_to: Duration,
    /// How many customers' last known embeddings are kept in memory, each of some 600 bytes at 64 dimensions.
    pub kept_embeddings: u64,
    /// Whether what most people hold may be offered first.
    pub popular: bool,
    /// Whether nothing may be offered, with the reason, instead of an error.
    pub empty: bool,
    /// How long an embedding may take at most; half of what is left of a request's deadline, if that is less.
    #[serde(with = "humantime_serde")]
    pub embedding_wait: Duration,
}

impl Default for DegradationConfig {
    fn default() -> Self {
        Self {
            // As long as what is kept of a customer may outlive their erasure, at worst.
            stale_embedding_up_to: Duration::from_secs(3600),
            // 30 MB.
            kept_embeddings: 50_000,
            popular: true,
            empty: false,
            // Some thousand times what a lookup takes.
            embedding_wait: Duration::from_secs(2),
        }
    }
}

/// How the catalogue is followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubscriptionConfig {
    /// How long the feature store may be silent before the connection counts as dead. It sends a heartbeat
    /// every 10 s, so the default is that three of them were missed.
    #[serde(with = "humantime_serde")]
    pub silence: Duration,
    /// The longest wait before another attempt, up to doubled by jitter; the first waits are shorter. Also
    /// how often a snapshot whose bundle is missing is asked for again.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
    /// How long changes of products are gathered before the catalogue is built anew with them, aside and as a whole.
    #[serde(with = "humantime_serde")]
    pub gather: Duration,
}

impl Default for SubscriptionConfig {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            longest_wait: Duration::from_secs(10),
            gather: Duration::from_millis(100),
        }
    }
}
