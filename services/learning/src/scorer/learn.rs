//! Learns one network's weights by binary cross-entropy, stopping by rows that take no part in it.

use std::time::Instant;

use finrank_model::MlpScorer;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};

use super::{
    config::ScorerLearning,
    network::{Dropout, Network, Workspace},
    optimiser::Optimiser,
    rows::LabelledRows,
};
use crate::{
    EpochProgress, LearningError, Result, TrainObserver, metrics::log_loss, schedule::Schedule,
    trainer::EarlyStopping,
};

/// Rows whose gradient is computed at once, by one thread: their activations stay in its cache. The gradients
/// of a step's shards are added in their order, so that threads decide nothing.
const SHARD_ROWS: usize = 128;
/// Rows of a step: few of a small table, so that there are some thirty steps in an epoch; of a large one two
/// shards, since a step of a thousand rows learned less in ten epochs than scikit-learn's of two hundred.
const BATCH_ROWS: std::ops::RangeInclusive<usize> = 16..=256;
const STEPS_PER_EPOCH: usize = 32;
/// The share that the running average of the weights keeps at a step.
const AVERAGE_DECAY: f64 = 0.98;

/// A network, learned.
#[derive(Clone, Debug)]
pub struct Learned {
    /// The averaged weights of the best epoch.
    pub scorer: MlpScorer,
    /// Epochs that ran.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: usize,
    /// How long it took.
    pub seconds: f64,
}

/// Learns from `rows[training]` until `rows[validation]` is predicted no better; without a validation part for
/// as many epochs as there may be. The same seed gives the same weights on any number of threads.
///
/// # Errors
/// [`LearningError::Diverged`], or [`LearningError::TooLittle`] without a training row.
pub fn learn(
    rows: &LabelledRows,
    training: &[usize],
    validation: &[usize],
    learning: &ScorerLearning,
    seed: u64,
    observer: &mut dyn TrainObserver,
) -> Result<Learned> {
    if training.is_empty() {
        return Err(LearningError::TooLittle("there is no row to train on".to_owned()));
    }
    let started = Instant::now();
    let mut session = Session::new(rows, training, learning, seed);
    let validation_part = rows.select(validation);
    let mut stopping = EarlyStopping::new(learning.patience);
    let mut epoch = 0;
    while epoch < learning.max_epochs {
        epoch += 1;
        let loss = session.epoch();
        if !loss.is_finite() {
            return Err(LearningError::Diverged { epoch });
        }
        let checked = if validation.is_empty() { None } else { Some(session.averaged()?) };
        let validation_loss = checked.as_ref().map(|scorer| measure(scorer, &validation_part));
        observer.epoch(&EpochProgress { epoch, max_epochs: learning.max_epochs, loss, validation_loss });
        if let (Some(scorer), Some(loss)) = (checked, validation_loss)
            && !stopping.goes_on(epoch, loss, || scorer)
        {
            break;
        }
    }
    let (best_epoch, scorer) = match stopping.into_best() {
        Some(best) => (best.epoch, best.weights),
        None => (epoch, session.averaged()?),
    };
    Ok(Learned { scorer, epochs: epoch, best_epoch, seconds: started.elapsed().as_secs_f64() })
}

/// One training under way.
struct Session<'a> {
    rows: &'a LabelledRows,
    /// Positions of the training rows, in the order of the epoch.
    order: Vec<usize>,
    batch_rows: usize,
    dropout: Dropout,
    optimiser: Optimiser,
    shards: Vec<Workspace>,
    rng: ChaCha8Rng,
}

impl<'a> Session<'a> {
    fn new(rows: &'a LabelledRows, training: &[usize], learning: &ScorerLearning, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let positives = training.iter().filter(|&&row| rows.labels[row]).count() as f32;
        let base_rate = (positives + 1.0) / (training.len() as f32 + 2.0);
        let network = Network::draw(rows.features.ncols(), &learning.hidden, base_rate, &mut rng);
        let batch_rows = (training.len() / STEPS_PER_EPOCH).clamp(*BATCH_ROWS.start(), *BATCH_ROWS.end());
        let shards = batch_rows.div_ceil(SHARD_ROWS);
        let schedule = Schedule {
            learning_rate: learning.learning_rate,
            weight_decay: learning.decay_on(training.len()),
            average_decay: AVERAGE_DECAY,
            steps: learning.max_epochs * training.len().div_ceil(batch_rows),
        };
        Self {
            rows,
            order: training.to_vec(),
            batch_rows,
            dropout: Dropout { inputs: learning.input_dropout, hidden: learning.dropout },
            shards: (0..shards).map(|_| Workspace::new(&network, SHARD_ROWS)).collect(),
            optimiser: Optimiser::new(network, schedule),
            rng,
        }
    }

    /// One pass over the training rows; the mean loss.
    fn epoch(&mut self) -> f64 {
        self.order.shuffle(&mut self.rng);
        let mut total = 0.0;
        for batch in self.order.chunks(self.batch_rows) {
            let seed = self.rng.random();
            let (rows, weights, dropout) = (self.rows, &self.optimiser.weights, self.dropout);
            let parts: Vec<&[usize]> = batch.chunks(SHARD_ROWS).collect();
            let shards = &mut self.shards[..parts.len()];
            shards.par_iter_mut().zip(parts).enumerate().for_each(|(shard, (workspace, part))| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(shard as u64);
                workspace.compute(weights, (rows, part), dropout, &mut rng);
            });
            total += shards.iter().map(|shard| shard.loss).sum::<f64>();
            if let Some((first, others)) = shards.split_first_mut() {
                for other in others {
                    first.gradient.add(&other.gradient);
                }
                self.optimiser.step(&first.gradient, batch.len());
            }
        }
        total / self.order.len() as f64
    }

    fn averaged(&self) -> Result<MlpScorer> {
        self.optimiser.average().export()
    }
}

fn measure(scorer: &MlpScorer, rows: &LabelledRows) -> f64 {
    let scores: Vec<f32> = scorer.score_rows(rows.features.view()).iter().map(|score| score.get()).collect();
    log_loss(&scores, &rows.labels)
}
