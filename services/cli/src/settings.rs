//! The one tree of settings, read once in `main` and passed down.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use finrank_decisions::DecisionLogConfig;
use finrank_feature_store::FeatureStoreConfig;
use finrank_learning::LearningConfig;
use finrank_model::TransformConfig;
use finrank_ranking::{RankingConfig, RetrievalConfig, index::IndexConfig};
use finrank_serving::{ServerConfig, config, metrics::MetricsConfig, telemetry::LogConfig};
use finrank_store::{
    DatabaseConfig, Store,
    cluster::{self, Cluster, ClusterConfig},
};
use serde::{Deserialize, Serialize};

use crate::commands::postgres::{self, DATABASE};

/// Names the database, before any setting.
const DATABASE_URL: &str = "DATABASE_URL";

/// Every setting of every command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The file that the settings came from.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
    /// Where finrank keeps what it writes.
    pub(crate) state_dir: PathBuf,
    pub(crate) log: LogConfig,
    pub(crate) metrics: MetricsConfig,
    pub(crate) postgres: PostgresSettings,
    pub(crate) feature_store: FeatureStoreConfig,
    pub(crate) ranking: RankingConfig,
    pub(crate) transform: TransformConfig,
    pub(crate) learning: LearningConfig,
}

/// The private Postgres cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PostgresSettings {
    /// The cluster's files; by default `pg` in the state directory.
    pub(crate) data_dir: Option<PathBuf>,
    /// The directory with `postgres` and `initdb`; by default PATH, then /usr/lib/postgresql/*/bin.
    pub(crate) bin_dir: Option<PathBuf>,
    /// The port; by default a free one.
    pub(crate) port: Option<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Self::within(PathBuf::from(".finrank"))
    }
}

impl Settings {
    /// The defaults, with everything that is written under one directory.
    fn within(state_dir: PathBuf) -> Self {
        let models_dir = state_dir.join("models");
        let index = IndexConfig { directory: Some(state_dir.join("indexes")), ..IndexConfig::default() };
        let pseudonym_key = Some(state_dir.join("pseudonym.key"));
        Self {
            file: None,
            log: LogConfig::default(),
            metrics: MetricsConfig::default(),
            postgres: PostgresSettings::default(),
            feature_store: FeatureStoreConfig {
                models_dir: models_dir.clone(),
                server: ServerConfig {
                    pseudonym_key: pseudonym_key.clone(),
                    ..FeatureStoreConfig::default().server
                },
                ..FeatureStoreConfig::default()
            },
            ranking: RankingConfig {
                models_dir,
                decision_log: DecisionLogConfig {
                    signing_key: Some(state_dir.join("decision-log.key")),
                    ..DecisionLogConfig::default()
                },
                server: ServerConfig { pseudonym_key, ..RankingConfig::default().server },
                retrieval: RetrievalConfig { index, ..RetrievalConfig::default() },
                ..RankingConfig::default()
            },
            transform: TransformConfig::default(),
            learning: LearningConfig::default(),
            state_dir,
        }
    }

    /// Reads defaults, file, environment and DATABASE_URL.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        // The state directory and the feature store's address move the defaults of others: they are read first.
        let first = config::load::<Self>(file)?;
        let mut defaults = Self::within(first.state_dir);
        defaults.ranking.feature_store = local_url(first.feature_store.server.listen);
        let mut settings = config::load_over(&defaults, file)?;
        settings.file = file.map(Path::to_owned);
        if let Some(url) = env::var(DATABASE_URL).ok().filter(|url| !url.is_empty()) {
            settings.feature_store.database.url = url;
        }
        Ok(settings)
    }

    /// A copy to be printed: whatever stands before the database's host is left out.
    pub(crate) fn without_password(&self) -> Self {
        let mut settings = self.clone();
        let url = &mut settings.feature_store.database.url;
        if let Some((_, host)) = url.rsplit_once('@') {
            *url = format!("postgres://…@{host}");
        }
        settings
    }

    /// The private cluster.
    pub(crate) fn cluster(&self) -> ClusterConfig {
        ClusterConfig {
            data_dir: self.postgres.data_dir.clone().unwrap_or_else(|| self.state_dir.join("pg")),
            bin_dir: self.postgres.bin_dir.clone(),
            port: self.postgres.port,
        }
    }

    /// The private cluster, which must run.
    pub(crate) fn running_cluster(&self) -> anyhow::Result<Cluster> {
        let data_dir = self.cluster().data_dir;
        cluster::running(&data_dir)?.with_context(|| {
            format!(
                "no Postgres runs in {}; start it (`finrank postgres start`) or set DATABASE_URL",
                data_dir.display()
            )
        })
    }

    /// The configured database, or else the private cluster's.
    pub(crate) fn database_url(&self) -> anyhow::Result<String> {
        match self.feature_store.database.url.as_str() {
            "" => Ok(self.running_cluster()?.url(DATABASE)),
            url => Ok(url.to_owned()),
        }
    }

    /// The same settings with a database that runs: the private cluster is started unless one is configured.
    pub(crate) fn with_postgres_running(&self) -> anyhow::Result<Self> {
        let mut settings = self.clone();
        if settings.feature_store.database.url.is_empty() {
            settings.feature_store.database.url = postgres::start(self)?.url(DATABASE);
        }
        Ok(settings)
    }

    /// How to connect to a database.
    pub(crate) fn database_at(&self, url: String) -> DatabaseConfig {
        DatabaseConfig { url, ..self.feature_store.database.clone() }
    }

    /// Connects to the database and brings its schema up to date.
    pub(crate) async fn store(&self) -> anyhow::Result<Store> {
        let store = Store::connect(&self.database_at(self.database_url()?)).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Where this machine's feature-store server is.
    pub(crate) fn feature_store_url(&self) -> String {
        local_url(self.feature_store.server.listen)
    }

    /// Where this machine's ranking server is.
    pub(crate) fn ranking_url(&self) -> String {
        local_url(self.ranking.server.listen)
    }
}

/// Where a server that listens there is reached from this machine: by loopback, if it listens on every address.
pub(crate) fn local_url(listen: SocketAddr) -> String {
    match listen.ip() {
        ip if ip.is_unspecified() => format!("http://127.0.0.1:{}", listen.port()),
        _ => format!("http://{listen}"),
    }
}
