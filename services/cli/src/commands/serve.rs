//! `finrank serve`: runs the servers until SIGTERM or SIGINT.

use std::net::SocketAddr;

use anyhow::Context;
use clap::{Args, Subcommand};
use finrank_decisions::Mode;
use finrank_serving::{metrics, shutdown};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::block_on;
use crate::settings::{Settings, local_url};

/// Run a gRPC server, or both, until SIGTERM or SIGINT.
///
/// Where a server listens is printed on stdout as soon as it does; logs go to stderr. On SIGHUP a feature store reads its
/// file of feature views anew.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank serve all\n  finrank serve feature-store --listen 0.0.0.0:50051\n  finrank serve ranking --feature-store http://store:50051\n  finrank serve --print-settings all"
)]
pub(crate) struct Serve {
    /// Print every setting in force as TOML, and do not serve.
    #[arg(long)]
    print_settings: bool,
    #[command(subcommand)]
    server: Server,
}

#[derive(Subcommand)]
enum Server {
    /// The feature store: takes in customers, products and events, and serves embeddings.
    #[command(after_help = "Example:\n  finrank serve feature-store --listen 127.0.0.1:0")]
    FeatureStore {
        #[command(flatten)]
        listen: Listen,
    },
    /// Ranking: retrieves, filters and scores; needs a feature store, and a database for its decisions.
    #[command(after_help = "Example:\n  finrank serve ranking --feature-store http://127.0.0.1:50051")]
    Ranking {
        #[command(flatten)]
        listen: Listen,
        /// The feature store's URL.
        #[arg(long, value_name = "URL")]
        feature_store: Option<String>,
    },
    /// Both in one process, for a laptop; ranking follows the feature store beside it.
    #[command(after_help = "Example:\n  finrank serve all")]
    All,
}

#[derive(Args)]
struct Listen {
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl Serve {
    pub(crate) fn run(self, mut settings: Settings) -> anyhow::Result<()> {
        match &self.server {
            Server::FeatureStore { listen } => {
                settings.feature_store.server.listen =
                    listen.listen.unwrap_or(settings.feature_store.server.listen);
            }
            Server::Ranking { listen, feature_store } => {
                settings.ranking.server.listen = listen.listen.unwrap_or(settings.ranking.server.listen);
                if let Some(url) = feature_store {
                    settings.ranking.feature_store.clone_from(url);
                }
            }
            Server::All => {}
        }
        if self.print_settings {
            print!("{}", toml::to_string(&settings.without_password())?);
            return Ok(());
        }
        block_on(async {
            let stop = shutdown::on_signal()?;
            metrics::export(&settings.metrics)?;
            match self.server {
                Server::FeatureStore { .. } => {
                    let (bound, address) = oneshot::channel();
                    tokio::try_join!(
                        feature_store(settings, stop, bound),
                        announced("feature-store", address)
                    )
                    .map(drop)
                }
                Server::Ranking { .. } => ranking(settings, stop).await,
                Server::All => both(settings, stop).await,
            }
        })
    }
}

/// Ranking starts once the feature store listens, since port 0 is known only then.
async fn both(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let (bound, address) = oneshot::channel();
    let mut beside = settings.clone();
    let following = async {
        if let Some(address) = announced("feature-store", address).await? {
            beside.ranking.feature_store = local_url(address);
            ranking(beside, stop.clone()).await?;
        }
        Ok(())
    };
    tokio::try_join!(feature_store(settings, stop.clone(), bound), following).map(drop)
}

async fn feature_store(
    settings: Settings,
    stop: CancellationToken,
    bound: oneshot::Sender<SocketAddr>,
) -> anyhow::Result<()> {
    let store = settings.store().await?;
    Ok(finrank_feature_store::serve(settings.feature_store, store, stop, bound).await?)
}

async fn ranking(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let (bound, address) = oneshot::channel();
    let store = match settings.ranking.decision_log.mode {
        Mode::Off => None,
        Mode::Queued | Mode::Strict => {
            let needed = "decisions are kept in the database; ranking.decision_log.mode = \"off\" keeps none";
            Some(settings.store().await.context(needed)?)
        }
    };
    let serving = async { Ok(finrank_ranking::serve(settings.ranking, store, stop, bound).await?) };
    tokio::try_join!(serving, announced("ranking", address)).map(drop)
}

/// Says on stdout where a server listens, for people and for whoever started it on port 0. A server that never
/// listened has an error of its own to say.
async fn announced(
    server: &str,
    address: oneshot::Receiver<SocketAddr>,
) -> anyhow::Result<Option<SocketAddr>> {
    let Ok(address) = address.await else {
        return Ok(None);
    };
    println!("{server} listens on http://{address}");
    Ok(Some(address))
}
