//! Which rows are held out: a share of them, each fold in turn, or what a column says.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_mt::Mt;

use super::{config::Division, table::LabelledTable};
use crate::{LearningError, Result};

/// One division of the rows, neither part empty.
pub(super) struct Fold {
    pub(super) training: Vec<usize>,
    pub(super) held_out: Vec<usize>,
}

/// The divisions of a table, at least one; every training part has rows of both labels.
pub(super) fn divide(table: &LabelledTable, division: &Division, seed: u64) -> Result<Vec<Fold>> {
    let labels = &table.labels;
    let folds = match division {
        Division::HoldOut { share, stratified } => {
            let all = (0..labels.len()).collect();
            let (training, held_out) = split_off(labels, all, *share, *stratified, seed);
            vec![Fold { training, held_out }]
        }
        Division::Folds(folds) => {
            let fewest = labels.iter().filter(|&&label| label).count();
            let fewest = fewest.min(labels.len() - fewest);
            if fewest < *folds {
                return Err(LearningError::TooLittle(format!(
                    "{folds} folds need as many rows of each label, and there are only {fewest} of one"
                )));
            }
            by_part(&stratified_parts(labels, *folds, seed), *folds)
        }
        Division::FoldColumn(_) => by_part(&table.folds, table.fold_names.len()),
    };
    for fold in &folds {
        let known = |row: &usize| labels[*row];
        if fold.held_out.is_empty() || fold.training.iter().all(known) || !fold.training.iter().any(known) {
            return Err(LearningError::TooLittle(format!(
                "{} rows cannot be divided into a training part with both labels and a part held out",
                labels.len()
            )));
        }
    }
    Ok(folds)
}

fn by_part(part_of: &[usize], parts: usize) -> Vec<Fold> {
    let fold = |part| {
        let (held_out, training) = (0..part_of.len()).partition(|&row| part_of[row] == part);
        Fold { training, held_out }
    };
    (0..parts).map(fold).collect()
}

/// The part of each row, from 0, such that every label is spread evenly: the `test_folds` of scikit-learn's
/// `StratifiedKFold(parts, shuffle=True, random_state=seed)`, row for row. Only the seed's low 32 bits count.
pub(super) fn stratified_parts(labels: &[bool], parts: usize, seed: u64) -> Vec<usize> {
    let mut twister = Mt::new(seed as u32);
    // Labels in the order in which they first stand in the table.
    let first = labels.first().copied().unwrap_or_default();
    let of_first = labels.iter().filter(|&&label| label == first).count();
    let mut part_of = vec![0; labels.len()];
    for (label, sorted) in [(first, 0..of_first), (!first, of_first..labels.len())] {
        // Sorted by label, rows are dealt out to the parts in turn: so many of this label fall to each.
        let mut dealt: Vec<usize> = sorted.map(|position| position % parts).collect();
        dealt.sort_unstable();
        shuffle(&mut dealt, &mut twister);
        let rows = (0..labels.len()).filter(|&row| labels[row] == label);
        for (row, part) in rows.zip(dealt) {
            part_of[row] = part;
        }
    }
    part_of
}

/// `numpy.random.RandomState.shuffle`: from the last place down, each exchanged with one up to itself, drawn by
/// masking and rejection.
fn shuffle(values: &mut [usize], twister: &mut Mt) {
    for last in (1..values.len()).rev() {
        let mask = (last + 1).next_power_of_two() - 1;
        let drawn = loop {
            let drawn = twister.next_u32() as usize & mask;
            if drawn <= last {
                break drawn;
            }
        };
        values.swap(last, drawn);
    }
}

/// Takes a share of `rows` away, of each label alike when `stratified`: what stays, and what was taken.
pub(super) fn split_off(
    labels: &[bool],
    mut rows: Vec<usize>,
    share: f64,
    stratified: bool,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
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

    #[test]
    fn a_stratified_split_keeps_the_labels_proportion_and_every_row_once() {
        let labels: Vec<bool> = (0..100).map(|row| row % 10 == 0).collect();

        let (stays, taken) = split_off(&labels, (0..100).collect(), 0.2, true, 9);

        assert_eq!(taken.iter().filter(|&&row| labels[row]).count(), 2);
        assert_eq!(taken.len(), 20);
        let mut all = [stays, taken].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_plain_split_takes_the_share_whatever_the_labels() {
        let labels = vec![false; 50];

        let (stays, taken) = split_off(&labels, (0..50).collect(), 0.2, false, 9);

        assert_eq!((stays.len(), taken.len()), (40, 10));
    }

    #[test]
    fn the_folds_are_those_of_scikit_learn() {
        // StratifiedKFold(n, shuffle=True, random_state=seed) of scikit-learn 1.9, its `_make_test_folds`.
        let labels: Vec<bool> = (0..23).map(|row| row % 4 == 1).collect();

        assert_eq!(
            stratified_parts(&labels, 5, 42),
            [0, 0, 0, 1, 4, 2, 3, 4, 2, 4, 3, 0, 2, 2, 4, 1, 1, 1, 2, 3, 0, 3, 1]
        );
        let mirrored: Vec<bool> = (0..23).map(|row| row % 4 == 0).collect();
        assert_eq!(
            stratified_parts(&mirrored, 3, 7),
            [1, 0, 0, 0, 2, 0, 1, 2, 0, 0, 0, 1, 1, 2, 2, 2, 0, 1, 1, 1, 2, 1, 2]
        );
    }
}
