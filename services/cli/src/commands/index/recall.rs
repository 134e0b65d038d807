//! `finrank index recall`: what each kind finds with each effort, beside the exact answer.

use std::num::NonZeroUsize;

use clap::Args;
use finrank_ranking::index::{ApproximateKind, Depth, Survey};
use serde::Serialize;

use super::source::Source;
use crate::{
    output::{Format, table},
    progress,
    settings::Settings,
};

const KINDS: [ApproximateKind; 3] = [ApproximateKind::Hnsw, ApproximateKind::Ivf, ApproximateKind::IvfSq8];
/// The shares of products that may be found.
const SHARES: [f64; 5] = [0.9, 0.5, 0.1, 0.01, 0.001];

/// Build an index of each kind, and measure what share of the exact answer it finds, by effort and by the share of
/// products that may be found.
///
/// Half of the queries are products' own vectors, half are like no product; half of the filters keep products at random,
/// half keep one side of the space. A figure is the worst of the four. Nothing is kept.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank index recall\n  finrank index recall --k 200 --json\n  finrank index recall --random 100000 --k 100"
)]
pub(super) struct Recall {
    #[command(flatten)]
    source: Source,
    /// How many products are asked for; by default ranking.retrieval.candidates of the settings.
    #[arg(long, value_name = "COUNT")]
    k: Option<NonZeroUsize>,
    #[command(flatten)]
    format: Format,
}

/// One kind with one effort, as printed.
#[derive(Serialize)]
struct Row {
    kind: ApproximateKind,
    effort: u32,
    /// As the shares go.
    recall: [f64; SHARES.len()],
}

impl Recall {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let depth = Depth(self.k.unwrap_or(settings.ranking.retrieval.candidates));
        let (generation, embeddings) = self.source.take(settings)?;
        let bar = progress::bar(KINDS.len() as u64, "kinds", self.format);
        let mut rows = Vec::new();
        for kind in KINDS {
            let survey = Survey { kind, depth, shares: SHARES.to_vec() };
            let table = survey.measure(generation.dimension, &embeddings)?;
            for place in 0..table.bands[0].settings.len() {
                rows.push(Row {
                    kind,
                    effort: table.bands[0].settings[place].effort.0,
                    recall: std::array::from_fn(|band| table.bands[band].settings[place].recall),
                });
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.format.print(&rows, |rows| to_text(rows, embeddings.len(), depth))
    }
}

fn to_text(rows: &[Row], products: usize, depth: Depth) -> String {
    let rows = rows.iter().map(|row| {
        let [a, b, c, d, e] = row.recall.map(|recall| format!("{recall:.3}"));
        [row.kind.name().to_owned(), row.effort.to_string(), a, b, c, d, e]
    });
    let [a, b, c, d, e] = SHARES.map(|share| format!("{} %", 100.0 * share));
    let heads = ["kind", "effort", &a, &b, &c, &d, &e];
    format!(
        "recall of {} products among {products}, by the share that may be found\n{}",
        depth.0,
        table(heads, 1, rows)
    )
}
