//! What there is to learn from, row by row: each row is a customer as training may see them. Of a snapshot a row is a
//! customer, of whom one holding after the other is masked; of a split by time it is an acquisition, with the customer as
//! known just before, and its answer is what was acquired.

use finrank_model::UserRecord;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::examples::Holdings;
use crate::{
    LearningError, Result,
    dataset::{Dataset, ProductIndex},
    split::Split,
    timeline::{Occasion, Timeline},
};

/// Rows, and what each is for.
pub(super) struct Lessons<'a> {
    /// What the user tower may read of each row.
    pub(super) records: Vec<UserRecord>,
    /// The rows that weights are learned from, in order.
    pub(super) training: Vec<usize>,
    /// The rows that only decide when to stop, in order.
    pub(super) validation: Vec<usize>,
    answers: Answers<'a>,
}

enum Answers<'a> {
    /// One of what is seen, masked anew in each epoch.
    Masked(&'a Split),
    /// What was acquired after each history.
    Dated { histories: Vec<Vec<ProductIndex>>, acquired: Vec<ProductIndex> },
}

impl<'a> Lessons<'a> {
    /// The rows of a data set. Of a snapshot, customers of whom something is seen are divided by `rng`.
    ///
    /// # Errors
    /// When nothing is seen of anyone.
    pub(super) fn new(
        dataset: &Dataset,
        split: &'a Split,
        validation_share: f64,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self> {
        match &dataset.timeline {
            Some(timeline) => Ok(Self::dated(timeline)),
            None => Self::masked(split.seen_records(dataset), split, validation_share, rng),
        }
    }

    fn masked(
        records: Vec<UserRecord>,
        split: &'a Split,
        validation_share: f64,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self> {
        let mut holders: Vec<usize> =
            (0..split.seen.len()).filter(|&user| !split.seen[user].is_empty()).collect();
        if holders.is_empty() {
            return Err(LearningError::TooLittle("no holding is left beside those hidden".to_owned()));
        }
        holders.shuffle(rng);
        let validation = (holders.len() as f64 * validation_share) as usize;
        let mut training = holders.split_off(validation);
        training.sort_unstable();
        holders.sort_unstable();
        Ok(Self { records, training, validation: holders, answers: Answers::Masked(split) })
    }

    fn dated(timeline: &Timeline) -> Self {
        let occasions = || timeline.training.iter().chain(&timeline.validation);
        let learned = timeline.training.len();
        Self {
            records: occasions().map(|occasion| occasion.record.clone()).collect(),
            training: (0..learned).collect(),
            validation: (learned..learned + timeline.validation.len()).collect(),
            answers: Answers::Dated {
                histories: occasions().map(|occasion| occasion.history.clone()).collect(),
                acquired: occasions().map(|Occasion { acquired, .. }| *acquired).collect(),
            },
        }
    }

    /// The records that weights are learned from.
    pub(super) fn training_records(&self) -> Vec<UserRecord> {
        self.training.iter().map(|&row| self.records[row].clone()).collect()
    }

    /// What makes examples of rows.
    pub(super) fn holdings(&self) -> Holdings<'_> {
        match &self.answers {
            Answers::Masked(split) => Holdings::masking(split),
            Answers::Dated { histories, acquired } => Holdings::dated(histories, acquired),
        }
    }

    /// Whether holdings are hidden that may be imagined: histories by time lack nothing.
    pub(super) fn lack_holdings(&self) -> bool {
        matches!(self.answers, Answers::Masked(_))
    }

    /// Every product as often as it may be an answer to learn from.
    pub(super) fn answers(&self) -> Box<dyn Iterator<Item = ProductIndex> + '_> {
        match &self.answers {
            Answers::Masked(split) => Box::new(split.seen.iter().flatten().copied()),
            Answers::Dated { acquired, .. } => Box::new(self.training.iter().map(|&row| acquired[row])),
        }
    }
}
