//! `finrank evaluate`: how good the recommendations are, over several seeds.

use std::fs;

use clap::Args;
use finrank_learning::{EvaluateConfig, EvaluateReport, RankedBy, SplitMethod, evaluate};
use finrank_model::ModelVersion;

use super::{
    block_on,
    train::{Learning, name, of_a_snapshot},
};
use crate::{
    output::{self, Format},
    progress::TrainingBar,
    settings::Settings,
};

/// Train and measure once per seed, beside popularity and item-kNN; nothing is registered.
///
/// What one seed hides moves many customers together, so that one figure says little.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank evaluate\n  finrank evaluate --seeds 15 --json")]
pub(crate) struct Evaluate {
    /// How many seeds, from 0 on.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    #[command(flatten)]
    learning: Learning,
    #[command(flatten)]
    format: Format,
}

impl Evaluate {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let config = EvaluateConfig {
            seeds: (0..self.seeds).collect(),
            split: self.learning.split()?,
            transform: settings.transform.clone(),
            learning: self.learning.config(settings),
            definitions: self.learning.definitions(settings)?,
        };
        let report = run(settings, &config, self.format)?;
        self.format.print(&report, text)
    }
}

/// The table of an evaluation, measured now, or when `model` was new.
pub(crate) fn once(settings: &Settings, model: &ModelVersion, seeds: u64) -> anyhow::Result<String> {
    let kept = settings.state_dir.join(format!("evaluation-{model}-{seeds}-seeds.txt"));
    if let Ok(table) = fs::read_to_string(&kept) {
        return Ok(format!(
            "{table}\nmeasured by an earlier run; `finrank evaluate --seeds {seeds}` measures again"
        ));
    }
    let config = EvaluateConfig {
        seeds: (0..seeds).collect(),
        split: SplitMethod::LeaveOneOut,
        transform: settings.transform.clone(),
        learning: of_a_snapshot(settings),
        definitions: None,
    };
    let table = text(&run(settings, &config, Format::for_a_person())?);
    fs::write(&kept, &table)?;
    Ok(table)
}

fn run(settings: &Settings, config: &EvaluateConfig, format: Format) -> anyhow::Result<EvaluateReport> {
    block_on(async {
        let store = settings.store().await?;
        Ok(evaluate(&store, config, TrainingBar::new(format)).await?)
    })
}

fn text(report: &EvaluateReport) -> String {
    let summary = report.summary.iter().map(|model| {
        [
            name(model.model).to_owned(),
            format!("{:.4}", model.mrr),
            format!("{:.4}", model.mrr_sd),
            format!("{:.3}", model.hit_at_1),
            format!("{:.3}", model.hit_at_3),
            format!("{:.3}", model.hit_at_5),
            format!("{:.3}", model.ndcg_at_5),
            by_seed(report, model.model),
        ]
    });
    let heads = ["ranked by", "MRR", "sd", "hit@1", "hit@3", "hit@5", "NDCG@5", "MRR by seed"];
    output::table(heads, 1, summary).to_string()
}

fn by_seed(report: &EvaluateReport, model: RankedBy) -> String {
    let mrr = |seed: &finrank_learning::SeedReport| seed.evaluation.of(model).map(|ranking| ranking.mrr);
    let figures: Vec<String> =
        report.seeds.iter().filter_map(mrr).take(5).map(|mrr| format!("{mrr:.3}")).collect();
    let more = if report.seeds.len() > figures.len() { " …" } else { "" };
    format!("{}{more}", figures.join(" "))
}
