//! How the feature store is set up; every default works on one machine.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use finrank_model::policy::Policy;
use finrank_serving::ServerConfig;
use finrank_store::DatabaseConfig;
use serde::{Deserialize, Serialize};

use crate::{FeatureStoreError, Result};

/// Where the feature store listens unless told otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);

/// The feature-store server's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureStoreConfig {
    /// Where Postgres is.
    pub database: DatabaseConfig,
    /// Where and how to listen.
    pub server: ServerConfig,
    /// Where model bundles lie, each in a directory named by its version.
    pub models_dir: PathBuf,
    /// How long a client that writes a stream may be silent, and one that asked for an export may take nothing of it, before
    /// the stream is ended; how long an export waits for others, of which four are made at a time.
    #[serde(with = "humantime_serde")]
    pub stream_idle_limit: Duration,
    /// How embeddings are computed.
    pub refresh: RefreshConfig,
    /// How embeddings are kept fresh between refreshes.
    pub live: LiveConfig,
    /// How product embeddings are streamed.
    pub watch: WatchConfig,
    /// Which features are served.
    pub features: FeaturesConfig,
    /// What is kept in memory.
    pub cache: CacheConfig,
    /// How clients that speak Feast are served.
    pub feast: FeastConfig,
    /// What a model must show before it is served.
    pub promotion: PromotionConfig,
}

impl Default for FeatureStoreConfig {
    fn default() -> Self {
        Self {
            database: DatabaseConfig::default(),
            server: ServerConfig { listen: DEFAULT_LISTEN, ..ServerConfig::default() },
            models_dir: PathBuf::from(".finrank/models"),
            stream_idle_limit: Duration::from_secs(60),
            refresh: RefreshConfig::default(),
            live: LiveConfig::default(),
            watch: WatchConfig::default(),
            features: FeaturesConfig::default(),
            cache: CacheConfig::default(),
            feast: FeastConfig::default(),
            promotion: PromotionConfig::default(),
        }
    }
}

/// Which features are served.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeaturesConfig {
    /// The file that declares them; without one, [`crate::BUILT_IN_DEFINITIONS`].
    pub definitions: Option<PathBuf>,
    /// How much of what is served is kept to be verified.
    pub sample: SampleConfig,
}

/// How much of what is served online is kept, so that it can be held to history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleConfig {
    /// One row in so many, by chance; 0 keeps none.
    pub one_in: u32,
    /// How long a row is kept.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// Rows that are kept at most, the newest. With 50 features a row is about a kilobyte.
    pub max_rows: u64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { one_in: 1_000, keep: Duration::from_secs(30 * 24 * 3600), max_rows: 1_000_000 }
    }
}

/// What is kept in memory: feature rows and customers' embeddings that were read lately.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// How much memory it takes at most, about; 0 keeps nothing.
    pub max_bytes: u64,
    /// How long what is kept may be used without Postgres having said that nothing has changed.
    #[serde(with = "humantime_serde")]
    pub max_silence: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_bytes: 256 * 1024 * 1024, max_silence: Duration::from_secs(1) }
    }
}

/// How clients that speak Feast are served.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeastConfig {
    /// What features are for if a request does not say; Feast's contracts have no field for it. Without one such
    /// requests are refused.
    pub purpose: Option<String>,
}

/// What a model must show before it is served.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromotionConfig {
    /// The file of the policy; without one, [`finrank_model::policy::DEFAULT_POLICY`].
    pub policy: Option<PathBuf>,
}

impl PromotionConfig {
    /// Reads the policy.
    ///
    /// # Errors
    /// When the file cannot be read or states none.
    pub fn load(&self) -> Result<Policy> {
        let Some(path) = &self.policy else {
            return Ok(Policy::default());
        };
        let unusable = |reason: String| FeatureStoreError::Policy { path: path.clone(), reason };
        let text = fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        Policy::parse(&text).map_err(|error| unusable(error.to_string()))
    }
}

/// How embeddings are computed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefreshConfig {
    /// Rows of one partition, which is what one transaction writes and what a killed run loses at most.
    pub partition_rows: NonZeroU32,
    /// Workers that this server puts to a run, each on a connection of its own, if the request names no number; at most
    /// four fewer than `database.background_connections`, by which they read. Each holds `partition_rows` rows in memory,
    /// whatever there is to refresh.
    pub workers: NonZeroU32,
    /// How many whole generations are kept. Two, so that whoever still serves the one before can go on
    /// reading it while it switches.
    pub keep_generations: NonZeroU32,
}

impl Default for RefreshConfig {
    fn default() -> Self {
        Self {
            partition_rows: const { NonZeroU32::new(10_000).expect("10,000 is not zero") },
            workers: const { NonZeroU32::new(2).expect("2 is not zero") },
            keep_generations: const { NonZeroU32::new(2).expect("2 is not zero") },
        }
    }
}

/// How embeddings are kept fresh between refreshes: of whoever is written they are computed a moment later, by one
/// server at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveConfig {
    /// Whether this server computes them; it serves them in any case.
    pub enabled: bool,
    /// How often it looks for what others have written. What it has written itself it computes at once.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Statements of one step, which is what one transaction writes and what is held in memory.
    pub step_rows: NonZeroU32,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_millis(200),
            step_rows: const { NonZeroU32::new(1000).expect("1,000 is not zero") },
        }
    }
}

/// How product embeddings are streamed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchConfig {
    /// How long a stream is silent at most. Also how often products are looked at for changes.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long a client may take to accept one chunk before its stream is ended, since a snapshot holds a
    /// transaction open.
    #[serde(with = "humantime_serde")]
    pub slow_client_limit: Duration,
    /// How long ago the state may be at which a client goes on by its resume token. Statements are kept for ever, so
    /// that any token could be served; but the longer ago, the less changes cost than a snapshot, which is what bounds
    /// the work that a client can ask for.
    #[serde(with = "humantime_serde")]
    pub resume_limit: Duration,
    /// Snapshots that are read at the same time, each on a connection of its own; further ones wait.
    pub concurrent_snapshots: NonZeroUsize,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            slow_client_limit: Duration::from_secs(30),
            resume_limit: Duration::from_secs(7 * 24 * 60 * 60),
            concurrent_snapshots: const { NonZeroUsize::new(4).expect("4 is not zero") },
        }
    }
}
