//! `finrank index inspect`: whether what is kept is whole, and what it says of itself.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use finrank_ranking::{
    catalogue::{DIRECTIONS, EMBEDDINGS},
    index::{IndexManifest, StoredIndex},
};
use serde::Serialize;

use crate::{
    output::{Format, table},
    settings::Settings,
};

/// Verify the indexes that are kept, by length and SHA-256, and print their manifests. Needs no server.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank index inspect\n  finrank index inspect --directory /var/lib/finrank/indexes --json"
)]
pub(super) struct Inspect {
    /// Where they are kept; by default ranking.retrieval.index.directory of the settings.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// One index, as printed.
#[derive(Serialize)]
struct Kept {
    name: &'static str,
    manifest: IndexManifest,
}

impl Inspect {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let configured = settings.ranking.retrieval.index.directory.clone();
        let directory = self
            .directory
            .or(configured)
            .context("ranking.retrieval.index.directory is not set: name a directory with --directory")?;
        let (mut kept, mut faults) = (Vec::new(), Vec::new());
        for name in [EMBEDDINGS, DIRECTIONS] {
            let place = directory.join(name);
            if !place.exists() {
                continue;
            }
            match StoredIndex::verify(&place) {
                Ok(stored) => kept.push(Kept { name, manifest: stored.manifest().clone() }),
                Err(fault) => faults.push(format!("{name}: {fault}")),
            }
        }
        if kept.is_empty() && faults.is_empty() {
            bail!(
                "no index is kept in {}: up to ranking.retrieval.index.flat_up_to products are scanned exactly, without one; \
                 `finrank index build` says which it is, and makes one",
                directory.display()
            );
        }
        self.format.print(&kept, |kept| to_text(kept))?;
        if faults.is_empty() { Ok(()) } else { Err(anyhow!(faults.join("\n"))) }
    }
}

fn to_text(kept: &[Kept]) -> String {
    let rows = kept.iter().map(|Kept { name, manifest }| {
        [
            (*name).to_owned(),
            manifest.kind.name().to_owned(),
            manifest.model_version.to_string(),
            manifest.vectors_sha256.to_string()[..12].to_owned(),
            manifest.generation.to_string(),
            manifest.rows.to_string(),
            manifest.files.iter().map(|file| file.bytes).sum::<u64>().to_string(),
        ]
    });
    let heads = ["index", "kind", "model", "vectors", "generation", "products", "bytes"];
    table(heads, 4, rows).to_string()
}
