//! Trains the scorer alone on small CSV files.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{fmt::Write as _, path::PathBuf};

use finrank_learning::{
    CalibrationMethod, Division, NetworkOutput, Preparation, ScorerKind, ScorerLearning, ScorerReport,
    TrainScorerConfig, read_scorer, train_scorer,
};
use ndarray::Array2;
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
    config.members = 2;
    change(&mut config);
    train_scorer(&config, &mut ()).unwrap()
}

#[test]
fn learns_a_label_that_numbers_and_categories_decide() {
    let report = trained(|_| {});

    let held_out = &report.folds[0].held_out;
    assert_eq!((report.folds[0].training_rows, held_out.rows), (480, 120));
    assert_eq!((report.positive.as_str(), report.negative.as_str()), ("yes", "no"));
    assert_eq!((report.rows, report.columns), (600, 4));
    assert!(held_out.auc.unwrap() > 0.97, "{held_out:?}");
    assert!(held_out.average_precision.unwrap() > 0.97, "{held_out:?}");
    assert!(held_out.accuracy > held_out.majority + 0.15, "{held_out:?}");
    assert!(held_out.log_loss < 0.35, "{held_out:?}");
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let with_seed = |seed| trained(|config| config.seed = seed).folds[0].held_out;

    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
}

#[test]
fn a_plain_split_holds_out_the_share_asked_for() {
    let report = trained(|config| config.division = Division::HoldOut { share: 0.25, stratified: false });

    assert_eq!((report.folds[0].training_rows, report.folds[0].held_out.rows), (450, 150));
}

#[test]
fn each_fold_is_held_out_once_and_the_mean_is_theirs() {
    let report = trained(|config| {
        config.division = Division::Folds(3);
        config.learning = ScorerLearning::of(ScorerKind::Linear);
    });

    let rows: Vec<usize> = report.folds.iter().map(|fold| fold.held_out.rows).collect();
    assert_eq!(rows, [200, 200, 200]);
    let positives: Vec<usize> = report.folds.iter().map(|fold| fold.held_out.positives).collect();
    assert!(positives.iter().max().unwrap() - positives.iter().min().unwrap() <= 1, "{positives:?}");
    let aucs: f64 = report.folds.iter().map(|fold| fold.held_out.auc.unwrap()).sum();
    assert!((report.mean.auc.unwrap() - aucs / 3.0).abs() < 1e-12);
    assert!(report.mean.auc.unwrap() > 0.9, "a line over age and cities tells much: {report:?}");
}

#[test]
fn rows_that_are_held_out_inform_neither_training_nor_calibration() {
    let (_directory, path) = customers();
    let original = std::fs::read_to_string(&path).unwrap();
    let with_folds = |flip: bool| {
        let lines = original.lines().enumerate().map(|(number, line)| match number {
            0 => format!("fold,{line}"),
            // The labels of the fold that is held out first, turned round.
            _ if number % 3 == 0 && flip => {
                let (cells, label) = line.rsplit_once(',').unwrap();
                format!("a,{cells},{}", if label == "yes" { "no" } else { "yes" })
            }
            _ => format!("{},{line}", ["a", "b", "c"][number % 3]),
        });
        written(&lines.collect::<Vec<_>>().join("\n"))
    };
    let report = |flip| {
        let (_directory, path) = with_folds(flip);
        let mut config = TrainScorerConfig::new(path, "bought");
        config.division = Division::FoldColumn("fold".to_owned());
        config.members = 2;
        train_scorer(&config, &mut ()).unwrap()
    };

    let [one, other] = [report(false), report(true)];

    assert_eq!(one.folds[0].fold, "a");
    assert_eq!(one.folds[0].calibration, other.folds[0].calibration);
    assert_eq!(one.folds[0].best_epochs, other.folds[0].best_epochs);
    let aucs = [&one, &other].map(|report| report.folds[0].held_out.auc.unwrap());
    assert!((aucs[0] + aucs[1] - 1.0).abs() < 1e-9, "the same scores, the opposite answers: {aucs:?}");
    assert_ne!(one.folds[1].calibration, other.folds[1].calibration, "what trains does inform");
}

#[test]
fn calibration_brings_scores_nearer_to_what_happens() {
    // Of whoever is asked with x, a share of x² buys; a few small steps leave a line shy.
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut csv = "x,y\n".to_owned();
    for _ in 0..3_000 {
        let x = rng.random::<f64>();
        writeln!(csv, "{x},{}", u8::from(rng.random_bool(x * x))).unwrap();
    }
    let (_directory, path) = written(&csv);
    let report = |calibration| {
        let mut config = TrainScorerConfig::new(&path, "y");
        (config.calibration, config.members) = (calibration, 3);
        config.learning = ScorerLearning { max_epochs: 3, ..ScorerLearning::of(ScorerKind::Linear) };
        train_scorer(&config, &mut ()).unwrap().mean
    };

    let [none, platt, isotonic] =
        [CalibrationMethod::None, CalibrationMethod::Platt, CalibrationMethod::Isotonic].map(report);

    assert_eq!((none.calibration_error, none.brier), (none.calibration_error_before, none.brier_before));
    for calibrated in [platt, isotonic] {
        assert_eq!(calibrated.calibration_error_before, none.calibration_error);
        assert!(calibrated.calibration_error < none.calibration_error / 2.0, "{calibrated:?} after {none:?}");
        assert!(calibrated.brier < none.brier, "{calibrated:?} after {none:?}");
    }
    assert_eq!(platt.auc, none.auc, "no order changes");
}

#[test]
fn a_saved_network_is_read_back_and_scores_the_rows() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut csv = "a,b,c,y\n".to_owned();
    let mut rows = Vec::new();
    for _ in 0..400 {
        let cells: [f32; 3] = std::array::from_fn(|_| rng.random::<f32>() * 4.0 - 2.0);
        let label = cells[0] * cells[1] > 0.0;
        writeln!(csv, "{},{},{},{}", cells[0], cells[1], cells[2], u8::from(label)).unwrap();
        rows.push((cells, label));
    }
    let (directory, path) = written(&csv);
    let mut config = TrainScorerConfig::new(path, "y");
    config.preparation = Preparation::AsIs;
    config.members = 2;
    config.learning.max_epochs = 80;
    (config.learning.dropout, config.learning.input_dropout) = (0.0, 0.0);
    config.save = Some(directory.path().join("network.safetensors"));
    let report = train_scorer(&config, &mut ()).unwrap();

    let scorer = read_scorer(config.save.as_ref().unwrap(), NetworkOutput::Probability).unwrap();

    assert_eq!((report.folds[0].features, scorer.inputs()), (3, 3));
    assert!(!scorer.calibration().is_none());
    let cells: Vec<f32> = rows.iter().flat_map(|(cells, _)| *cells).collect();
    let scores = scorer.score_rows(Array2::from_shape_vec((rows.len(), 3), cells).unwrap().view());
    let right = scores.iter().zip(&rows).filter(|(score, (_, label))| (score.get() > 0.5) == *label).count();
    assert!(right > 360, "{right} of 400");
}

#[test]
fn a_cell_that_is_no_number_is_named_where_cells_are_taken_as_they_are() {
    let (_directory, path) = customers();
    let mut config = TrainScorerConfig::new(path, "bought");
    config.preparation = Preparation::AsIs;

    let error = train_scorer(&config, &mut ()).unwrap_err().to_string();

    assert!(error.ends_with("column \"city\" is no number, and cells are taken as they are"), "{error}");
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

    let held_out = &report.folds[0].held_out;
    assert!((0.3..0.7).contains(&held_out.auc.unwrap()), "{held_out:?}");
    assert!(held_out.log_loss < 0.75, "it does not pretend to know");
}

#[test]
fn a_table_too_small_to_divide_and_settings_that_make_no_sense_are_named() {
    let (_directory, path) = written("x,y\n1,yes\n2,no\n");
    let error = |change: &dyn Fn(&mut TrainScorerConfig)| {
        let mut config = TrainScorerConfig::new(&path, "y");
        change(&mut config);
        train_scorer(&config, &mut ()).unwrap_err().to_string()
    };

    let too_small = error(&|_| {});
    let share = error(&|config| config.division = Division::HoldOut { share: 1.0, stratified: true });
    let one_fold = error(&|config| config.division = Division::Folds(1));
    let folds = error(&|config| config.division = Division::Folds(5));
    let dropout = error(&|config| config.learning.dropout = 1.0);
    let members = error(&|config| config.members = 0);

    assert!(too_small.contains("2 rows cannot be divided"), "{too_small}");
    assert_eq!(share, "test_share is 1: it must be above 0 and below 1");
    assert_eq!(one_fold, "folds is 1: it must be at least 2");
    assert!(folds.contains("5 folds need as many rows of each label"), "{folds}");
    assert_eq!(dropout, "dropout is 1: it must be from 0 to below 1");
    assert_eq!(members, "members is 0: it must be at least 1");
}
