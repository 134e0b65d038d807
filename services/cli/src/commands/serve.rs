//! `finrank serve`: runs the servers until SIGTERM or SIGINT.

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use finrank_serving::shutdown;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::block_on;
use crate::settings::Settings;

/// Run a gRPC server, or both, until SIGTERM or SIGINT.
///
/// Where a server listens is printed on stdout as soon as it does; logs go to stderr.
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
    /// Ranking: retrieves, filters and scores; needs a feature store.
    #[command(after_help = "Example:\n  finrank serve ranking --feature-store http://127.0.0.1:50051")]
    Ranking {
        #[command(flatten)]
        listen: Listen,
        /// The feature store's URL.
        #[arg(long, value_name = "URL")]
        feature_store: Option<String>,
    },
    /// Both in one process, for a laptop.
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
            match self.server {
                Server::FeatureStore { .. } => feature_store(settings, stop).await,
                Server::Ranking { .. } => ranking(settings, stop).await,
                Server::All => {
                    let both = (feature_store(settings.clone(), stop.clone()), ranking(settings, stop));
                    tokio::try_join!(both.0, both.1).map(|_| ())
                }
            }
        })
    }
}

async fn feature_store(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let store = settings.store().await?;
    let (bound, address) = oneshot::channel();
    let serving = finrank_feature_store::serve(settings.feature_store, store, stop, bound);
    let (served, ()) = tokio::join!(serving, announce("feature-store", address));
    Ok(served?)
}

async fn ranking(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let (bound, address) = oneshot::channel();
    let serving = finrank_ranking::serve(settings.ranking, stop, bound);
    let (served, ()) = tokio::join!(serving, announce("ranking", address));
    Ok(served?)
}

/// Says on stdout where a server listens, for people and for whoever started it on port 0.
async fn announce(server: &str, address: oneshot::Receiver<SocketAddr>) {
    // A server that never listened has an error to say instead.
    if let Ok(address) = address.await {
        println!("{server} listens on http://{address}");
    }
}
