//! Where the vectors come from.

use std::num::NonZeroUsize;

use anyhow::{Context, bail};
use clap::Args;
use finrank_model::Embedding;
use finrank_ranking::{Generation, fetch_snapshot, index::RandomVectors};

use crate::{commands::block_on, settings::Settings};

#[derive(Args)]
pub(super) struct Source {
    /// The feature store whose product embeddings are taken; by default the one that the settings name.
    #[arg(long, value_name = "URL")]
    feature_store: Option<String>,
    /// Take so many random vectors instead, the same each time; needs no server.
    #[arg(long, value_name = "COUNT", conflicts_with = "feature_store")]
    random: Option<NonZeroUsize>,
}

impl Source {
    /// The embeddings of all products, in the order in which ranking has them.
    pub(super) fn take(&self, settings: &Settings) -> anyhow::Result<(Generation, Vec<Embedding>)> {
        if let Some(count) = self.random {
            return Ok((RandomVectors::generation(), RandomVectors::default().take(count.get())));
        }
        let url = self.feature_store.clone().unwrap_or_else(|| settings.feature_store_url());
        let snapshot = block_on(async {
            fetch_snapshot(&url).await.with_context(|| {
                format!("no embeddings come from {url}: is `finrank serve feature-store` running?")
            })
        })?;
        let (generation, _, embeddings) = snapshot.into_rows();
        if embeddings.is_empty() {
            bail!("{url} has no product embeddings: import products and refresh");
        }
        Ok((generation, embeddings))
    }
}
