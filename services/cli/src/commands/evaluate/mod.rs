//! `finrank evaluate`: how good the recommendations are, over several seeds, or by what customers did with them.

mod from_decisions;

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use finrank_learning::{EvaluateConfig, EvaluateReport, RankedBy, SplitMethod, evaluate, report_page};
use finrank_model::{AttributeName, ModelVersion, ProductId};

use self::from_decisions::Decisions;
use super::{
    block_on,
    train::{Learning, name, of_a_snapshot},
};
use crate::{
    output::{self, Format},
    progress::TrainingBar,
    settings::Settings,
};

/// The measures of which the lead is printed, as they are called in the report.
const LEADS: [(&str, &str); 3] = [("mrr", "MRR"), ("ndcg_at_5", "NDCG@5"), ("hit_at_1", "hit@1")];

/// Train and measure once per seed, beside popularity, item-kNN and EASE; nothing is registered.
///
/// What one seed hides moves many customers together, so that one figure says little, and leads are compared seed by
/// seed. With --from-decisions nothing is trained: what customers did with what they were offered is counted by model, and what
/// the greedy order of the same model would have brought is estimated from the answers that were explored. See
/// docs/evaluation.md for what is measured and how.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank evaluate\n  finrank evaluate --seeds 15 --json\n  finrank evaluate --out evaluation --segment age_band\n  finrank evaluate --product-order columns.txt\n  finrank evaluate --from-decisions --since 2026-11-01"
)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    decisions: Decisions,
    /// How many seeds, from 0 on.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Write evaluation.json and report.html, which needs no network, to this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure apart the customers of each value of this attribute; may be given several times.
    #[arg(long = "segment", value_name = "NAME", value_parser = attribute_name)]
    segments: Vec<AttributeName>,
    /// Count products in the order of this file, one id a line, when one holding is drawn; otherwise by id.
    #[arg(long, value_name = "FILE")]
    product_order: Option<PathBuf>,
    /// Seeds to train at once; the figures do not depend on it. As many as there are processors, by default.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    learning: Learning,
    #[command(flatten)]
    format: Format,
}

impl Evaluate {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        if self.decisions.are_asked_for() {
            return self.decisions.run(settings, self.format);
        }
        let defaults = EvaluateConfig::default();
        let config = EvaluateConfig {
            seeds: (0..self.seeds).collect(),
            split: self.learning.split()?,
            product_order: self.product_order.as_deref().map(product_ids).transpose()?.unwrap_or_default(),
            segments: self.segments,
            at_once: self.jobs.unwrap_or(defaults.at_once),
            transform: settings.transform.clone(),
            learning: self.learning.config(settings),
            definitions: self.learning.definitions(settings)?,
        };
        let report = run(settings, &config, self.format)?;
        if let Some(directory) = &self.out {
            write(&report, directory)?;
        }
        self.format.print(&report, text)
    }
}

fn attribute_name(raw: &str) -> Result<AttributeName, finrank_model::InvalidField> {
    AttributeName::parse(raw)
}

fn product_ids(path: &Path) -> anyhow::Result<Vec<ProductId>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let ids = lines.map(ProductId::parse).collect::<Result<_, _>>();
    ids.with_context(|| format!("{} does not hold one product id a line", path.display()))
}

fn write(report: &EvaluateReport, directory: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write to {}", directory.display());
    fs::create_dir_all(directory).with_context(cannot)?;
    fs::write(directory.join("evaluation.json"), serde_json::to_vec_pretty(report)?).with_context(cannot)?;
    fs::write(directory.join("report.html"), report_page(report)?).with_context(cannot)
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
        ..EvaluateConfig::default()
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
    let leads = report.comparisons.iter().filter(|comparison| comparison.beside.is_baseline());
    let leads = leads.flat_map(|comparison| {
        LEADS.iter().filter_map(|(measure, title)| {
            let lead = comparison.measures.get(*measure)?;
            let interval = lead.interval.map_or_else(
                || "–".to_owned(),
                |interval| format!("{:+.4} to {:+.4}", interval.low, interval.high),
            );
            Some([
                format!("over {} in {title}", name(comparison.beside)),
                format!("{:+.4}", lead.mean),
                format!("{:.4}", lead.sd),
                interval,
                format!("{} of {}", lead.wins, lead.seeds),
            ])
        })
    });
    let lead_heads = ["the ranker's lead, seed by seed", "mean", "sd", "95 % of the mean", "ahead on"];
    let scores = report.seeds.first().map_or_else(String::new, |seed| {
        let scores = &seed.evaluation.classification;
        let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
        format!(
            "scores as probabilities of {} pairs, seed {}: accuracy {:.3} (always no: {:.3}), precision {}, recall {}, \
             AUC {}, AP {}, log loss {:.4}, Brier {:.4}, calibration error {:.4}",
            scores.rows,
            seed.seed,
            scores.accuracy,
            scores.majority,
            share(scores.precision),
            share(scores.recall),
            share(scores.auc),
            share(scores.average_precision),
            scores.log_loss,
            scores.brier,
            scores.calibration_error,
        )
    });
    format!("{}\n\n{}\n\n{scores}", output::table(heads, 1, summary), output::table(lead_heads, 1, leads))
}

fn by_seed(report: &EvaluateReport, model: RankedBy) -> String {
    let mrr = |seed: &finrank_learning::SeedReport| seed.evaluation.of(model).map(|ranking| ranking.mrr);
    let figures: Vec<String> =
        report.seeds.iter().filter_map(mrr).take(5).map(|mrr| format!("{mrr:.3}")).collect();
    let more = if report.seeds.len() > figures.len() { " …" } else { "" };
    format!("{}{more}", figures.join(" "))
}
