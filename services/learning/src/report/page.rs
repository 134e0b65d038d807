//! An evaluation as one HTML page that needs no network: tables, and charts as SVG.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::style::RGBColor;

use super::{
    EvaluateReport, SeedReport,
    charts::{Axes, Line, LineStyle, bars, lines},
};
use crate::{
    Result, SplitMethod,
    evaluation::{DriftReport, RankedBy, Segmentation},
    metrics::{CUTOFFS, Intervals, Point},
};

/// So many attributes are listed, those that moved most.
const MOST_DRIFTS: usize = 12;
const STYLE: &str = include_str!("page.css");
const POSITIVE: RGBColor = RGBColor(27, 108, 168);
const NEGATIVE: RGBColor = RGBColor(160, 165, 172);
const DIAGONAL: RGBColor = RGBColor(180, 184, 190);

/// The measures of ranking that the first table shows, and how they are called.
const RANKING: [(&str, &str); 10] = [
    ("mrr", "MRR"),
    ("hit_at_1", "hit@1"),
    ("hit_at_3", "hit@3"),
    ("hit_at_5", "hit@5 = recall@5"),
    ("precision_at_5", "precision@5"),
    ("ndcg_at_5", "NDCG@5"),
    ("ndcg_at_10", "NDCG@10"),
    ("map_at_5", "MAP@5"),
    ("coverage_at_5", "coverage@5"),
    ("diversity_at_5", "diversity@5"),
];
/// The measures of which the lead is shown.
const LEADS: [(&str, &str); 4] =
    [("mrr", "MRR"), ("ndcg_at_5", "NDCG@5"), ("hit_at_1", "hit@1"), ("hit_at_5", "hit@5")];
/// The measures of the scores as probabilities.
const SCORES: [(&str, &str); 9] = [
    ("accuracy", "accuracy"),
    ("majority", "accuracy of always saying no"),
    ("precision", "precision at 0.5"),
    ("recall", "recall at 0.5"),
    ("auc", "area under ROC"),
    ("average_precision", "average precision"),
    ("log_loss", "log loss, nats"),
    ("brier", "Brier score"),
    ("calibration_error", "expected calibration error, 15 bins"),
];

/// The page.
///
/// # Errors
/// When a chart cannot be drawn: a fault of the page, not of the figures.
pub fn report_page(report: &EvaluateReport) -> Result<String> {
    let curves = &report.curves;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "finrank: evaluation" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "How well what was hidden is found" }
                p.lead { (what_was_done(report)) }
                h2 { "Quality, mean over seeds" }
                (ranking_table(report))
                h2 { "The ranker's lead, seed by seed" }
                (leads_table(report))
                p.note {
                    "What one seed hides moves all customers with the same holdings together, so that seeds differ by more \
                     than a bootstrap over customers tells. The interval is that of the mean over seeds, by Student's t."
                }
                div.charts {
                    (figure("MRR by seed", &models(report), mrr_by_seed(report)?))
                    (figure("hit@k", &models(report), at_k(report, "hit")?))
                    (figure("NDCG@k", &models(report), at_k(report, "ndcg")?))
                    (figure("Loss by epoch", &[("training", NEGATIVE), ("validation", POSITIVE)], losses(report)?))
                }
                h2 { "The ranker's scores as probabilities" }
                @if let Some(seed) = report.seeds.first() { (scores_table(seed)) }
                div.charts {
                    (figure("ROC", &[("ranker", POSITIVE)], share_curve("false alarms", "found", &curves.roc, true)?))
                    (figure("Precision and recall", &[("ranker", POSITIVE)],
                        share_curve("recall", "precision", &curves.precision_recall, false)?))
                    (figure("Reliability", &[("ranker", POSITIVE), ("as often as said", DIAGONAL)], reliability(report)?))
                    (figure("Scores", &[("hidden holdings", POSITIVE), ("all other products", NEGATIVE)], scores(report)?))
                }
                h2 { "Parts of the customers" }
                p.note { "Over all seeds; MRR, and in brackets the share of answers that came first." }
                @for segmentation in &report.segments { (segments_table(segmentation)) }
                @if let Some(drift) = &report.drift { (drift_table(drift)) }
            }
        }
    };
    Ok(page.into_string())
}

fn what_was_done(report: &EvaluateReport) -> String {
    let dataset = &report.dataset;
    let asked = report.seeds.first().map_or(0, |seed| seed.evaluation.asked);
    let hidden = match report.split {
        SplitMethod::LeaveOneOut => "Any one holding, drawn with the seed,",
        SplitMethod::LeaveLastOut => "The holding acquired last",
        SplitMethod::Time(_) => "What was acquired after a moment",
    };
    format!(
        "{hidden} of each of {asked} customers was hidden and had to be found among all that the customer was not seen \
         to hold; {} seeds, each with a training of its own. {} customers, {} products, {} holdings.",
        report.seeds.len(),
        dataset.customers,
        dataset.products,
        dataset.holdings,
    )
}

fn ranking_table(report: &EvaluateReport) -> Markup {
    let first: Option<&SeedReport> = report.seeds.first();
    let intervals: BTreeMap<RankedBy, &Intervals> = first
        .into_iter()
        .flat_map(|seed| &seed.evaluation.models)
        .map(|quality| (quality.model, &quality.intervals))
        .collect();
    html! {
        div.wide { table {
            thead { tr { th { "ranked by" } @for (_, title) in RANKING { th.number { (title) } } th.number { "sd of MRR" } } }
            tbody { @for model in &report.summary {
                tr.ranker[model.model == RankedBy::Ranker] {
                    th { (title(model.model)) }
                    @for (name, _) in RANKING {
                        @let interval = intervals.get(&model.model).and_then(|intervals| intervals.get(name));
                        td.number {
                            (share(model.measures.get(name).copied()))
                            @if let Some(interval) = interval {
                                small { (format!("{:.3}–{:.3}", interval.low, interval.high)) }
                            }
                        }
                    }
                    td.number { (format!("{:.4}", model.mrr_sd)) }
                }
            } }
        } }
        p.note {
            "Below each mean: where 95 % of samples of customers lie on the first seed (bootstrap). Diversity is the mean \
             of 1 − cosine of two products' holders over the pairs of a list, for every model the same."
        }
    }
}

fn leads_table(report: &EvaluateReport) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th { "over" } th { "in" } th.number { "mean" } th.number { "sd between seeds" }
                th.number { "95 % of the mean" } th.number { "ahead on" } th.number { "behind on" }
            } }
            tbody { @for comparison in &report.comparisons { @for (name, measure) in LEADS {
                @if let Some(lead) = comparison.measures.get(name) {
                    tr {
                        th { (title(comparison.beside)) } td { (measure) }
                        td.number { (format!("{:+.4}", lead.mean)) } td.number { (format!("{:.4}", lead.sd)) }
                        td.number {
                            @match lead.interval {
                                Some(interval) => (format!("{:+.4} to {:+.4}", interval.low, interval.high)),
                                None => "–",
                            }
                        }
                        td.number { (lead.wins) } td.number { (lead.losses) }
                    }
                }
            } } }
        } }
    }
}

fn scores_table(seed: &SeedReport) -> Markup {
    let quality = &seed.evaluation.classification;
    let measures: BTreeMap<String, f64> = quality.measures().into_iter().collect();
    html! {
        p.note {
            (format!("Seed {}: {} pairs of a customer and a product, {} of them hidden holdings.",
                seed.seed, quality.rows, quality.positives))
        }
        table {
            thead { tr { th { "measure" } th.number { "value" } th.number { "95 % of samples of customers" } } }
            tbody { @for (name, title) in SCORES { tr {
                th { (title) }
                td.number { (share(measures.get(name).copied())) }
                td.number {
                    @match seed.evaluation.classification_intervals.get(name) {
                        Some(interval) => (format!("{:.4} to {:.4}", interval.low, interval.high)),
                        None => "–",
                    }
                }
            } } }
        }
    }
}

fn segments_table(segmentation: &Segmentation) -> Markup {
    let models: Vec<RankedBy> =
        segmentation.segments.first().map_or_else(Vec::new, |segment| segment.mrr.keys().copied().collect());
    html! {
        div.wide { table {
            thead { tr {
                th { (segmentation.by) } th.number { "questions" }
                @for model in &models { th.number { (title(*model)) } }
            } }
            tbody { @for segment in &segmentation.segments { tr {
                th { (segment.name) } td.number { (segment.questions) }
                @for model in &models { td.number {
                    (share(segment.mrr.get(model).copied())) " (" (share(segment.hit_at_1.get(model).copied())) ")"
                } }
            } } }
        } }
    }
}

fn drift_table(drift: &DriftReport) -> Markup {
    html! {
        h2 { "Customers now, beside those of the newest model" }
        p.note {
            (format!("{} was registered at {} and knew {} customers; now there are {}. The population stability index of \
                each attribute: below 0.1 is usually taken for no change, above 0.25 for a large one.",
                drift.model_version, drift.registered_at.format("%Y-%m-%d %H:%M UTC"), drift.customers_then,
                drift.customers_now))
        }
        table {
            thead { tr { th { "attribute" } th.number { "PSI" } } }
            tbody { @for attribute in drift.attributes.iter().take(MOST_DRIFTS) { tr {
                th { (attribute.name) } td.number { (format!("{:.4}", attribute.stability_index)) }
            } } }
        }
        @if let Some(others) = drift.attributes.len().checked_sub(MOST_DRIFTS).filter(|&others| others > 0) {
            p.note { (others) " other attributes have moved less." }
        }
    }
}

fn figure(name: &str, legend: &[(&str, RGBColor)], svg: String) -> Markup {
    html! {
        figure {
            figcaption {
                strong { (name) }
                @for (name, RGBColor(red, green, blue)) in legend {
                    span.key { i style=(format!("background:rgb({red},{green},{blue})")) {} (name) }
                }
            }
            (PreEscaped(svg))
        }
    }
}

fn models(report: &EvaluateReport) -> Vec<(&'static str, RGBColor)> {
    report.summary.iter().map(|model| (title(model.model), color(model.model))).collect()
}

fn mrr_by_seed(report: &EvaluateReport) -> Result<String> {
    let of = |model: RankedBy| -> Vec<(f64, f64)> {
        let found =
            report.seeds.iter().filter_map(|seed| Some((seed.seed as f64, seed.evaluation.of(model)?.mrr)));
        found.collect()
    };
    let drawn: Vec<Line> =
        report.summary.iter().rev().map(|model| dotted(model.model, of(model.model))).collect();
    let first = report.seeds.iter().map(|seed| seed.seed).min().unwrap_or_default() as f64;
    let last = report.seeds.iter().map(|seed| seed.seed).max().unwrap_or_default() as f64;
    let y_range = around(drawn.iter().flat_map(|line| line.points.iter().map(|point| point.1)));
    lines(&Axes { x: "seed", y: "MRR", x_range: first - 0.2..last + 0.2, y_range }, &drawn)
}

fn at_k(report: &EvaluateReport, measure: &str) -> Result<String> {
    let drawn: Vec<Line> = report
        .summary
        .iter()
        .rev()
        .map(|model| {
            let at = |k: usize| Some((k as f64, *model.measures.get(&format!("{measure}_at_{k}"))?));
            dotted(model.model, CUTOFFS.into_iter().filter_map(at).collect())
        })
        .collect();
    let y_range = around(drawn.iter().flat_map(|line| line.points.iter().map(|point| point.1)));
    lines(&Axes { x: "k", y: &format!("{measure}@k"), x_range: 0.5..10.5, y_range }, &drawn)
}

fn losses(report: &EvaluateReport) -> Result<String> {
    let mut drawn = Vec::new();
    for seed in &report.seeds {
        let training = seed.losses.iter().map(|loss| (loss.epoch as f64, loss.training));
        let validation = seed.losses.iter().filter_map(|loss| Some((loss.epoch as f64, loss.validation?)));
        drawn.push(Line { color: NEGATIVE, points: training.collect(), style: LineStyle::Faint });
        drawn.push(Line { color: POSITIVE, points: validation.collect(), style: LineStyle::Faint });
    }
    let epochs = report.seeds.iter().map(|seed| seed.epochs).max().unwrap_or(1) as f64;
    let y_range = around(drawn.iter().flat_map(|line| line.points.iter().map(|point| point.1)));
    lines(&Axes { x: "epoch", y: "loss", x_range: 0.0..epochs + 1.0, y_range }, &drawn)
}

fn share_curve(x: &str, y: &str, points: &[Point], with_diagonal: bool) -> Result<String> {
    let points = points.iter().map(|point| (point.x, point.y)).collect();
    let mut drawn = vec![Line { color: POSITIVE, points, style: LineStyle::Solid }];
    if with_diagonal {
        drawn.insert(0, diagonal(1.0));
    }
    lines(&Axes { x, y, x_range: 0.0..1.0, y_range: 0.0..1.02 }, &drawn)
}

fn reliability(report: &EvaluateReport) -> Result<String> {
    let bins = &report.curves.reliability;
    let points = bins.iter().map(|bin| (bin.mean_score, bin.positives)).collect();
    let drawn = [diagonal(1.0), Line { color: POSITIVE, points, style: LineStyle::Dotted }];
    lines(&Axes { x: "mean score", y: "share of positives", x_range: 0.0..1.0, y_range: 0.0..1.02 }, &drawn)
}

fn scores(report: &EvaluateReport) -> Result<String> {
    let curves = &report.curves;
    let shares = [(NEGATIVE, curves.scores_of_negatives.as_slice()), (POSITIVE, &curves.scores_of_positives)];
    let highest = shares.iter().flat_map(|(_, shares)| shares.iter()).copied().fold(0.01, f64::max);
    let axes = Axes { x: "score", y: "share of the class", x_range: 0.0..1.0, y_range: 0.0..highest * 1.05 };
    bars(&axes, &shares)
}

fn dotted(model: RankedBy, points: Vec<(f64, f64)>) -> Line {
    Line { color: color(model), points, style: LineStyle::Dotted }
}

fn diagonal(end: f64) -> Line {
    Line { color: DIAGONAL, points: vec![(0.0, 0.0), (end, end)], style: LineStyle::Faint }
}

/// A range that holds all values with some space around them.
fn around(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..1.0;
    }
    let space = ((high - low) * 0.08).max(1e-3);
    low - space..high + space
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

fn title(model: RankedBy) -> &'static str {
    match model {
        RankedBy::Ranker => "finrank (towers + scorer)",
        RankedBy::Towers => "finrank (towers alone)",
        RankedBy::Ease => "EASE",
        RankedBy::ItemKnn => "item-kNN",
        RankedBy::Popularity => "popularity",
    }
}

fn color(model: RankedBy) -> RGBColor {
    match model {
        RankedBy::Ranker => RGBColor(27, 108, 168),
        RankedBy::Towers => RGBColor(127, 178, 217),
        RankedBy::Ease => RGBColor(200, 90, 30),
        RankedBy::ItemKnn => RGBColor(95, 148, 62),
        RankedBy::Popularity => RGBColor(140, 140, 140),
    }
}
