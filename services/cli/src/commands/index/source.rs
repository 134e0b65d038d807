//! Where the vectors come from.

use std::num::NonZeroUsize;

use anyhow::{Context, bail};
use clap::Args;
use finrank_model::{DIMENSION, Embedding, EmbeddingSpace, ModelVersion};
use finrank_ranking::{Generation, fetch_snapshot};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{commands::block_on, settings::Settings};

/// Random vectors lie around so many centres, as those of products do around their kinds.
const CENTRES: usize = 200;
/// How far from it, where centres lie within 1 in each component.
const SPREAD: f32 = 0.5;

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
            return random(count.get());
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

fn random(count: usize) -> anyhow::Result<(Generation, Vec<Embedding>)> {
    let mut draws = ChaCha8Rng::seed_from_u64(0);
    let mut around = |centre: &[f32], spread: f32| -> Vec<f32> {
        centre.iter().map(|value| value + draws.random_range(-spread..spread)).collect()
    };
    let centres: Vec<Vec<f32>> = (0..CENTRES).map(|_| around(&[0.0; DIMENSION], 1.0)).collect();
    let embeddings: Result<_, _> =
        (0..count).map(|row| Embedding::new(around(&centres[row % CENTRES], SPREAD), DIMENSION)).collect();
    let generation = Generation {
        run_id: 0,
        model_version: ModelVersion::parse("random")?,
        embedding_space: EmbeddingSpace::parse("random")?,
        dimension: DIMENSION,
    };
    Ok((generation, embeddings?))
}
