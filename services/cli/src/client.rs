//! Reaching our servers from the command line, and saying in one line what they answered when they refuse.

use anyhow::{Context, anyhow, bail};
use clap::Args;
use finrank_contracts::ranking::v1::ranking_service_client::RankingServiceClient;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use crate::settings::Settings;

/// Connects to one of our servers.
///
/// # Errors
/// When `url` is malformed or nothing answers there; the message says how to start the server.
pub(crate) async fn connect(url: &str, server: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned()).with_context(|| format!("{url:?} is not a URL"))?;
    if endpoint.uri().scheme().is_none() {
        bail!("{url:?} does not say how to connect: http://{url} or https://{url}");
    }
    endpoint
        .connect()
        .await
        .with_context(|| format!("nothing answers at {url}: is `finrank serve {server}` running?"))
}

/// The ranking server that is asked.
#[derive(Args)]
pub(crate) struct RankingServer {
    /// The ranking server; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    ranking: Option<String>,
}

impl RankingServer {
    /// Connects to it.
    ///
    /// # Errors
    /// As [`connect`].
    pub(crate) async fn connect(&self, settings: &Settings) -> anyhow::Result<RankingServiceClient<Channel>> {
        let url = self.ranking.clone().unwrap_or_else(|| settings.ranking_url());
        Ok(RankingServiceClient::new(connect(&url, "ranking").await?))
    }
}

/// A refusal as an error that a person can act on: code, stable reason and message, then each field at fault that
/// the message does not name.
pub(crate) fn refusal(status: &Status) -> anyhow::Error {
    let fields: Vec<String> = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default()
        .into_iter()
        .filter(|violation| !status.message().contains(&violation.description))
        .map(|violation| format!("\n  {}: {}", violation.field, violation.description))
        .collect();
    let reason = status.get_details_error_info().map(|info| format!(" {}", info.reason)).unwrap_or_default();
    anyhow!("{:?}{reason}: {}{}", status.code(), status.message(), fields.concat())
}
