//! Trains on a real Postgres and looks at what is left there and on disk.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod market;

use std::num::NonZeroUsize;

use finrank_learning::{
    EpochProgress, EvaluateConfig, LearningConfig, RankedBy, SplitMethod, Stage, TrainConfig, TrainObserver,
    evaluate, report_page, train,
};
use finrank_model::{AttributeName, Bundle, Sha256Digest};
use finrank_store::{models, scratch::ScratchDatabase};
use market::{BOUGHT, CUSTOMERS, PER_REGION, Purchase, market, purchases, short_learning, short_training};
use tempfile::tempdir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const LAST_DAY: i64 = BOUGHT as i64 - 1;

#[tokio::test]
async fn finds_a_planted_preference_that_popularity_does_not() {
    let database = market(&purchases()).await;
    let models_dir = tempdir().unwrap();

    let report = train(&database.store, &short_training(models_dir.path(), 0), ()).await.unwrap();

    let mrr = |model| report.evaluation.of(model).unwrap().mrr;
    let [ranker, popularity] = [RankedBy::Ranker, RankedBy::Popularity].map(mrr);
    assert!(ranker > popularity + 0.25, "{ranker} {popularity}");
    // Between two products a third one is certain; beside two neighbours either side fits: (1 + 2 · 3/4) / 3.
    assert!(ranker < 5.0 / 6.0 + 0.05, "{ranker} is better than anyone could");
    assert_eq!(report.evaluation.hidden, CUSTOMERS);
    assert!(report.evaluation.classification.auc.unwrap() > 0.85);
    assert!((report.evaluation.classification.majority - 7.0 / 8.0).abs() < 1e-9);
}

#[tokio::test]
async fn the_registered_model_is_the_bundle_on_disk() {
    let database = market(&purchases()).await;
    let models_dir = tempdir().unwrap();

    let report = train(&database.store, &short_training(models_dir.path(), 0), ()).await.unwrap();

    let registered = models::newest(&database.store).await.unwrap().unwrap();
    let digest = Sha256Digest::parse(&registered.bundle_sha256).unwrap();
    let bundle = Bundle::read_registered(registered.bundle_path.as_ref(), digest).unwrap();
    assert_eq!(bundle.manifest.model_version, report.model_version);
    assert_eq!(bundle.manifest.metrics["mrr"], report.evaluation.of(RankedBy::Ranker).unwrap().mrr);
    assert_eq!(registered.manifest, serde_json::to_value(&bundle.manifest).unwrap());
    assert_eq!(bundle.manifest.training_rows["hidden_holdings"], CUSTOMERS as u64);
    let explainer = bundle.explainer().unwrap();
    let reads: Vec<String> = explainer.inputs().iter().map(ToString::to_string).collect();
    assert_eq!(reads[0], bundle.user.transform.feature_names()[0]);
    assert!(reads.last().unwrap().starts_with("held:"), "{reads:?}");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bundle_and_another_seed_another() {
    let database = market(&purchases()).await;
    let digest = async |seed| {
        let models_dir = tempdir().unwrap();
        let config = TrainConfig {
            // Another seed's bundle may not take the registered version.
            model_version: Some(format!("test-model-{seed}").try_into().unwrap()),
            ..short_training(models_dir.path(), seed)
        };
        let report = train(&database.store, &config, ()).await.unwrap();
        let bundle = Bundle::read(&report.bundle_path).unwrap();
        (report.bundle_sha256, bundle.manifest.files)
    };

    let (first, again, other) = (digest(1).await, digest(1).await, digest(2).await);

    assert_eq!(first, again);
    assert_ne!(first.1, other.1, "the weights differ, not only the version");
}

#[tokio::test]
async fn what_is_hidden_has_no_part_in_the_model() {
    let as_bought = purchases();
    // Whatever was bought last is hidden: exchange it for something else of the same region.
    let exchanged: Vec<Purchase> = as_bought
        .iter()
        .map(|purchase| match purchase.day {
            LAST_DAY => Purchase { product: one_further(&purchase.product), ..purchase.clone() },
            _ => purchase.clone(),
        })
        .collect();
    assert_ne!(as_bought, exchanged);

    let one = last_left_out_model(&market(&as_bought).await).await;
    let other = last_left_out_model(&market(&exchanged).await).await;

    assert_eq!(one.manifest.files, other.manifest.files);
    assert_ne!(
        one.manifest.metrics["mrr"], other.manifest.metrics["mrr"],
        "the answers are others, and the same model is more or less right"
    );
}

fn one_further(product: &str) -> String {
    let (region, number) = product.split_once('-').unwrap();
    let number: usize = number.parse().unwrap();
    format!("{region}-{}", (number + 1) % PER_REGION)
}

async fn last_left_out_model(database: &ScratchDatabase) -> Bundle {
    let models_dir = tempdir().unwrap();
    let config = TrainConfig { split: SplitMethod::LeaveLastOut, ..short_training(models_dir.path(), 0) };
    let report = train(&database.store, &config, ()).await.unwrap();
    Bundle::read(&report.bundle_path).unwrap()
}

#[tokio::test]
async fn evaluating_measures_every_seed_and_registers_nothing() {
    let database = market(&purchases()).await;
    let config = EvaluateConfig { seeds: vec![3, 4], learning: short_learning(), ..Default::default() };

    let report = evaluate(&database.store, &config, ()).await.unwrap();

    let seeds: Vec<u64> = report.seeds.iter().map(|seed| seed.seed).collect();
    assert_eq!(seeds, [3, 4]);
    let mrr_of = |seed: usize| report.seeds[seed].evaluation.of(RankedBy::Ranker).unwrap().mrr;
    let ranker = &report.summary[0];
    assert_eq!(ranker.model, RankedBy::Ranker);
    assert!((ranker.mrr - f64::midpoint(mrr_of(0), mrr_of(1))).abs() < 1e-12);
    let sd = (mrr_of(0) - mrr_of(1)).abs() / 2f64.sqrt();
    assert!((ranker.mrr_sd - sd).abs() < 1e-12);
    assert_eq!(models::newest(&database.store).await.unwrap(), None);
}

#[tokio::test]
async fn seeds_side_by_side_measure_what_they_measure_alone() {
    let database = market(&purchases()).await;
    let learning = LearningConfig { steps: 40, ..short_learning() };
    let config = EvaluateConfig { seeds: vec![3, 4, 5], learning, ..Default::default() };
    let at_once = async |threads: usize| {
        let config = EvaluateConfig { at_once: NonZeroUsize::new(threads).unwrap(), ..config.clone() };
        let mut report = evaluate(&database.store, &config, ()).await.unwrap();
        // How long it took is the one thing that may differ.
        report.seeds.iter_mut().for_each(|seed| seed.learning_seconds = 0.0);
        serde_json::to_value(&report).unwrap()
    };

    let (alone, side_by_side) = (at_once(1).await, at_once(2).await);

    assert_eq!(alone, side_by_side);
    assert_eq!(alone["seeds"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn customers_are_measured_apart_by_what_is_known_of_them() {
    let database = market(&purchases()).await;
    let config = EvaluateConfig {
        seeds: vec![0],
        segments: vec![AttributeName::parse("region").unwrap()],
        learning: LearningConfig { steps: 40, ..short_learning() },
        ..Default::default()
    };

    let report = evaluate(&database.store, &config, ()).await.unwrap();
    let unknown = EvaluateConfig { segments: vec![AttributeName::parse("shoe_size").unwrap()], ..config };
    let error = evaluate(&database.store, &unknown, ()).await.unwrap_err();

    let [by_holdings, by_region] = report.segments.as_slice() else { panic!("{:?}", report.segments) };
    assert_eq!(by_holdings.segments.len(), 1, "everyone bought three");
    let names: Vec<&str> = by_region.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["north", "south"]);
    let mrr = report.seeds[0].evaluation.of(RankedBy::Ranker).unwrap().mrr;
    let of_parts: f64 = by_region
        .segments
        .iter()
        .map(|segment| segment.mrr[&RankedBy::Ranker] * segment.questions as f64 / CUSTOMERS as f64)
        .sum();
    assert!((mrr - of_parts).abs() < 1e-9, "{mrr} {of_parts}");
    assert_eq!(error.to_string(), "segment is shoe_size: no customer has such an attribute");
}

#[tokio::test]
async fn every_figure_has_an_interval_and_every_baseline_a_comparison() {
    let database = market(&purchases()).await;
    let learning = LearningConfig { steps: 40, ..short_learning() };
    let config = EvaluateConfig { seeds: vec![0, 1], learning, ..Default::default() };

    let report = evaluate(&database.store, &config, ()).await.unwrap();

    for quality in &report.seeds[0].evaluation.models {
        for (name, value) in quality.ranking.measures() {
            let interval = quality.intervals[&name];
            assert!(interval.low <= interval.high, "{name}");
            // A sample of customers can cover no more of the catalogue than all of them do.
            assert!(
                name.starts_with("coverage") || interval.high + 1e-9 >= value,
                "{name} {value} {interval:?}"
            );
            assert!(interval.low <= value + 1e-9, "{name} {value} {interval:?}");
        }
    }
    let beside: Vec<RankedBy> = report.comparisons.iter().map(|comparison| comparison.beside).collect();
    assert_eq!(beside, [RankedBy::Towers, RankedBy::Ease, RankedBy::ItemKnn, RankedBy::Popularity]);
    let lead = report.comparisons[3].measures["mrr"];
    assert!((lead.mean - (report.summary[0].mrr - report.summary[4].mrr)).abs() < 1e-12);
    let page = report_page(&report).unwrap();
    assert_eq!(page.matches("<svg").count(), 8);
    assert!(!page.contains("src=") && !page.contains("href="), "a page that needs no network");
}

#[tokio::test]
async fn an_observer_hears_every_stage_and_epoch() {
    struct Told(UnboundedSender<String>);
    impl TrainObserver for Told {
        fn stage(&mut self, stage: Stage) {
            self.0.send(format!("{stage:?}")).unwrap();
        }
        fn epoch(&mut self, epoch: &EpochProgress) {
            assert!(epoch.loss.is_finite());
            self.0.send("epoch".to_owned()).unwrap();
        }
    }
    let database = market(&purchases()).await;
    let models_dir = tempdir().unwrap();
    let (sender, mut receiver) = unbounded_channel();

    let report = train(&database.store, &short_training(models_dir.path(), 0), Told(sender)).await.unwrap();

    let mut told = Vec::new();
    receiver.recv_many(&mut told, 1_000).await;
    assert_eq!(told.iter().filter(|said| *said == "epoch").count(), report.epochs);
    told.dedup();
    assert_eq!(
        told,
        [
            "Reading",
            "Preparing",
            "Learning { seed: 0, max_epochs: 30 }",
            "epoch",
            "Evaluating",
            "Registering"
        ]
    );
}

#[tokio::test]
async fn says_what_is_missing_before_it_trains() {
    let empty = ScratchDatabase::create().await;
    let singles: Vec<Purchase> = purchases().into_iter().filter(|purchase| purchase.day == 0).collect();
    let nothing_to_hide = market(&singles).await;
    let models_dir = tempdir().unwrap();
    let config = short_training(models_dir.path(), 0);

    let no_customers = train(&empty.store, &config, ()).await.unwrap_err();
    let no_pair = train(&nothing_to_hide.store, &config, ()).await.unwrap_err();

    assert_eq!(
        no_customers.to_string(),
        "there is nothing to learn from: there are no customers; import some first (`finrank import`)"
    );
    assert_eq!(no_pair.to_string(), "no holding can be hidden: no customer holds two products");
    assert_eq!(std::fs::read_dir(models_dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_version_that_exists_is_not_overwritten() {
    let database = market(&purchases()).await;
    let models_dir = tempdir().unwrap();
    let config = short_training(models_dir.path(), 0);
    let first = train(&database.store, &config, ()).await.unwrap();

    let error = train(&database.store, &config, ()).await.unwrap_err();

    assert!(error.to_string().contains("exists already"), "{error}");
    let bundle = Bundle::read(&first.bundle_path).unwrap();
    assert_eq!(bundle.digest().to_string(), first.bundle_sha256);
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_named() {
    let database = market(&purchases()).await;
    let models_dir = tempdir().unwrap();
    let mut config = short_training(models_dir.path(), 0);
    config.learning.validation_share = 1.0;

    let error = train(&database.store, &config, ()).await.unwrap_err();

    assert_eq!(error.to_string(), "validation_share is 1: it must be from 0 to below 1");
}
