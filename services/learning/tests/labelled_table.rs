//! Trains the scorer alone on small CSV files.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{fmt::Write as _, path::PathBuf};

use finrank_learning::{ScorerReport, TrainScorerConfig, train_scorer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::{TempDir, tempdir};

/// A file of 600 customers: whoever is older than 45 or lives in Rome buys; some cells are missing.
fn customers() -> (TempDir, PathBuf) {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut csv = "id,age,city,noise,bought\n".to_owned();
    for id in 0..600 {
        let age = rng.random_range(18..75);
        let city = ["Rome", "Oslo", "Bonn", "Lyon"][rng.random_range(0..4)];
        let noise = if rng.random_bool(0.1) { "NA".to_owned() } else { rng.random_range(0..100).to_string() };
        let bought = if age > 45 || city == "Rome" { "yes" } else { "no" };
        writeln!(csv, "{id},{age},{city},{noise},{bought}").unwrap();
    }
    written(&csv)
}

fn written(csv: &str) -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("customers.csv");
    std::fs::write(&path, csv).unwrap();
    (directory, path)
}

fn trained(change: impl FnOnce(&mut TrainScorerConfig)) -> ScorerReport {
    let (_directory, path) = customers();
    let mut config = TrainScorerConfig::new(path, "bought");
    change(&mut config);
    train_scorer(&config, &mut ()).unwrap()
}

#[test]
fn learns_a_label_that_numbers_and_categories_decide() {
    let report = trained(|_| {});

    let held_out = &report.held_out;
    assert_eq!((report.training_rows, held_out.rows), (480, 120));
    assert_eq!((report.positive.as_str(), report.negative.as_str()), ("yes", "no"));
    assert_eq!(report.columns, 4);
    assert!(held_out.auc.unwrap() > 0.97, "{held_out:?}");
    assert!(held_out.average_precision.unwrap() > 0.97, "{held_out:?}");
    assert!(held_out.accuracy > held_out.majority + 0.15, "{held_out:?}");
    assert!(held_out.log_loss < 0.35, "{held_out:?}");
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let with_seed = |seed| trained(|config| config.seed = seed).held_out;

    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
}

#[test]
fn a_plain_split_holds_out_the_share_asked_for() {
    let report = trained(|config| {
        config.stratified = false;
        config.test_share = 0.25;
    });

    assert_eq!((report.training_rows, report.held_out.rows), (450, 150));
}

#[test]
fn a_label_that_nothing_decides_is_no_better_than_a_guess() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut csv = "x,y\n".to_owned();
    for _ in 0..600 {
        writeln!(csv, "{},{}", rng.random::<f32>(), u8::from(rng.random::<bool>())).unwrap();
    }
    let (_directory, path) = written(&csv);

    let report = train_scorer(&TrainScorerConfig::new(path, "y"), &mut ()).unwrap();

    let auc = report.held_out.auc.unwrap();
    assert!((0.3..0.7).contains(&auc), "{auc}");
    assert!(report.held_out.log_loss < 0.75, "it does not pretend to know");
}

#[test]
fn a_table_too_small_to_divide_and_a_share_that_makes_no_sense_are_named() {
    let (_directory, path) = written("x,y\n1,yes\n2,no\n");
    let mut config = TrainScorerConfig::new(path, "y");

    let too_small = train_scorer(&config, &mut ()).unwrap_err().to_string();
    config.test_share = 1.0;
    let share = train_scorer(&config, &mut ()).unwrap_err().to_string();

    assert!(too_small.contains("2 rows cannot be divided"), "{too_small}");
    assert_eq!(share, "test_share is 1: it must be above 0 and below 1");
}
