//! The scorer alone, on any labelled table: the program of the source article, for real.
//!
//! Rows are divided first; the transform is fitted on the training rows alone, a part of which only decides
//! when to stop; what is printed is measured on the rows held out.

mod learn;
mod table;

use finrank_model::{Attributes, TableTransform};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::{
    LearningError, Result, ScorerReport, Stage, TrainObserver, TrainScorerConfig,
    metrics::ClassificationQuality,
};
use learn::{LabelledRows, Learned};
use table::LabelledTable;

/// The share of the training rows that only decides when to stop.
const VALIDATION_SHARE: f64 = 0.15;

/// Trains an MLP scorer on a labelled CSV file and measures it on rows held out.
///
/// Runs on the calling thread.
///
/// # Errors
/// Names the file, the column, the value or the setting that is wrong.
pub fn train_scorer(config: &TrainScorerConfig, observer: &mut dyn TrainObserver) -> Result<ScorerReport> {
    check(config)?;
    observer.stage(Stage::Reading);
    let table = table::read(&config.csv, &config.label)?;
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let (training, held_out) = divide(&table, config, &mut rng)?;
    let (learning, validation) = split_off(&table.labels, training.clone(), VALIDATION_SHARE, true, &mut rng);

    observer.stage(Stage::Preparing);
    let fitted: Vec<&Attributes> = learning.iter().map(|&row| &table.rows[row]).collect();
    let transform = TableTransform::fit(&fitted, &config.transform);
    let part = |rows: &[usize]| LabelledRows::of(&table, &transform, rows);
    let Learned { scorer, epochs, best_epoch, seconds } =
        learn::learn(&part(&learning), &part(&validation), config, &mut rng, observer)?;

    observer.stage(Stage::Evaluating);
    let held_out = part(&held_out);
    let scores: Vec<f32> =
        scorer.score_rows(held_out.features.view()).iter().map(|score| score.get()).collect();
    Ok(ScorerReport {
        label: config.label.clone(),
        positive: table.positive,
        negative: table.negative,
        columns: table.columns,
        features: transform.width(),
        training_rows: training.len(),
        epochs,
        best_epoch,
        learning_seconds: seconds,
        held_out: ClassificationQuality::of(&scores, &held_out.labels),
    })
}

fn check(config: &TrainScorerConfig) -> Result<()> {
    let share = config.test_share;
    if share <= 0.0 || share >= 1.0 || share.is_nan() {
        return Err(LearningError::Setting {
            name: "test_share",
            value: share.to_string(),
            reason: "it must be above 0 and below 1",
        });
    }
    if config.max_epochs == 0 {
        return Err(LearningError::Setting {
            name: "max_epochs",
            value: "0".to_owned(),
            reason: "it must be at least 1",
        });
    }
    Ok(())
}

/// The rows to train on and those held out, neither empty.
fn divide(
    table: &LabelledTable,
    config: &TrainScorerConfig,
    rng: &mut impl Rng,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let all = (0..table.rows.len()).collect();
    let (training, held_out) = split_off(&table.labels, all, config.test_share, config.stratified, rng);
    let known = |row: &usize| table.labels[*row];
    if held_out.is_empty() || training.iter().all(known) || !training.iter().any(known) {
        let rows = table.rows.len();
        return Err(LearningError::TooLittle(format!(
            "{rows} rows cannot be divided into a training part with both labels and a part held out"
        )));
    }
    Ok((training, held_out))
}

/// Takes a share of `rows` away, of each label alike when `stratified`: what stays, and what was taken.
fn split_off(
    labels: &[bool],
    mut rows: Vec<usize>,
    share: f64,
    stratified: bool,
    rng: &mut impl Rng,
) -> (Vec<usize>, Vec<usize>) {
    rows.shuffle(rng);
    let strata: Vec<Vec<usize>> = if stratified {
        let (yes, no) = rows.into_iter().partition(|&row| labels[row]);
        vec![yes, no]
    } else {
        vec![rows]
    };
    let (mut stays, mut taken) = (Vec::new(), Vec::new());
    for mut stratum in strata {
        let count = (stratum.len() as f64 * share).round() as usize;
        taken.extend(stratum.drain(..count));
        stays.extend(stratum);
    }
    stays.sort_unstable();
    taken.sort_unstable();
    (stays, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(9)
    }

    #[test]
    fn a_stratified_split_keeps_the_labels_proportion_and_every_row_once() {
        let labels: Vec<bool> = (0..100).map(|row| row % 10 == 0).collect();

        let (stays, taken) = split_off(&labels, (0..100).collect(), 0.2, true, &mut rng());

        assert_eq!(taken.iter().filter(|&&row| labels[row]).count(), 2);
        assert_eq!(taken.len(), 20);
        let mut all = [stays, taken].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_plain_split_takes_the_share_whatever_the_labels() {
        let labels = vec![false; 50];

        let (stays, taken) = split_off(&labels, (0..50).collect(), 0.2, false, &mut rng());

        assert_eq!((stays.len(), taken.len()), (40, 10));
    }
}
