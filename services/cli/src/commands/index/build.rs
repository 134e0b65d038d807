//! `finrank index build`: what ranking would build at its next start, so that it need not.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use finrank_ranking::{
    catalogue::{DIRECTIONS, EMBEDDINGS, build_indexes},
    index::{ApproximateKind, IndexKind, ProductIndex, RecallTable},
};
use serde::Serialize;

use super::source::Source;
use crate::{
    output::{Format, table},
    settings::Settings,
};

/// Build the approximate indexes of the products that the feature store serves, measure them, and keep them where
/// ranking will read them; those that are there and of the same products and settings stay.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank index build\n  finrank index build --directory /var/lib/finrank/indexes --kind ivf\n  finrank index build --random 100000 --directory indexes"
)]
pub(super) struct Build {
    #[command(flatten)]
    source: Source,
    /// Where to keep them; by default ranking.retrieval.index.directory of the settings.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// The kind; by default ranking.retrieval.index.kind of the settings.
    #[arg(long)]
    kind: Option<Kind>,
    #[command(flatten)]
    format: Format,
}

/// The kinds, as a flag names them.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Auto,
    Flat,
    Hnsw,
    Ivf,
    IvfSq8,
}

/// One index, as printed.
#[derive(Serialize)]
struct Built {
    name: &'static str,
    products: usize,
    kind: Option<ApproximateKind>,
    recall: Option<RecallTable>,
}

impl Build {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let mut index_settings = settings.ranking.retrieval.index_settings();
        let config = &mut index_settings.config;
        config.directory = self.directory.or(config.directory.take());
        if let Some(kind) = self.kind {
            config.kind = kind.into();
        }
        let target = config.recall_target;
        let (generation, embeddings) = self.source.take(settings)?;
        let (index, directions) = build_indexes(&generation, &embeddings, &index_settings)?;
        let report = [Built::of(EMBEDDINGS, &index), Built::of(DIRECTIONS, &directions)];
        self.format.print(&report, |report| to_text(report, target))
    }
}

impl From<Kind> for IndexKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Auto => Self::Auto,
            Kind::Flat => Self::Flat,
            Kind::Hnsw => Self::Hnsw,
            Kind::Ivf => Self::Ivf,
            Kind::IvfSq8 => Self::IvfSq8,
        }
    }
}

impl Built {
    fn of(name: &'static str, index: &ProductIndex) -> Self {
        let (kind, recall) = index.approximate().map(|(kind, recall)| (kind, recall.clone())).unzip();
        Self { name, products: index.rows(), kind, recall }
    }
}

fn to_text(report: &[Built; 2], target: f64) -> String {
    let [embeddings, _] = report;
    if embeddings.kind.is_none() {
        return format!(
            "{} products are scanned exactly: there is no index to keep (kind, flat_up_to and --kind decide)",
            embeddings.products
        );
    }
    let rows = report.iter().flat_map(|built| {
        let bands = built.recall.iter().flat_map(|recall| &recall.bands);
        bands.map(|band| {
            let held = band.settings.iter().find(|setting| setting.recall >= target);
            let best = held.or(band.settings.last());
            [
                built.name.to_owned(),
                built.kind.map(|kind| kind.name().to_owned()).unwrap_or_default(),
                format!("{:.0} %", 100.0 * band.share),
                if held.is_some() { "approximate".to_owned() } else { "exact".to_owned() },
                best.map(|setting| setting.effort.0.to_string()).unwrap_or_default(),
                best.map(|setting| format!("{:.3}", setting.recall)).unwrap_or_default(),
            ]
        })
    });
    let heads = ["index", "kind", "eligible from", "search", "effort", "recall"];
    format!("{} products, recall target {target}\n{}", embeddings.products, table(heads, 4, rows))
}
