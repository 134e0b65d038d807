//! Learns a scorer's weights by binary cross-entropy, stopping by rows that take no part in it.

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use finrank_model::{MlpScorer, TableTransform};
use ndarray::{Array2, Axis};
use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::table::LabelledTable;
use crate::{
    EpochProgress, LearningError, Result, Stage, TrainObserver, TrainScorerConfig,
    metrics::log_loss,
    trainer::{
        EarlyStopping, Layer, Schedule, Weights, draw_scorer, export_layers, map_layers, run_layers, softplus,
    },
};

const BATCH_ROWS: usize = 256;
const LEARNING_RATE: f64 = 1e-3;
/// A table of a few thousand rows is soon known by heart.
const WEIGHT_DECAY: f64 = 0.1;
const INPUT_DROPOUT: f32 = 0.1;
const AVERAGE_DECAY: f64 = 0.98;
const PATIENCE: usize = 8;

/// Features and what is true.
pub(super) struct LabelledRows {
    /// `[n, width]`.
    pub(super) features: Array2<f32>,
    /// As many as rows.
    pub(super) labels: Vec<bool>,
}

/// A scorer, learned.
pub(super) struct Learned {
    pub(super) scorer: MlpScorer,
    pub(super) epochs: usize,
    /// From 1.
    pub(super) best_epoch: usize,
    pub(super) seconds: f64,
}

impl LabelledRows {
    pub(super) fn of(table: &LabelledTable, transform: &TableTransform, rows: &[usize]) -> Self {
        let attributes: Vec<_> = rows.iter().map(|&row| &table.rows[row]).collect();
        Self {
            features: transform.rows(&attributes),
            labels: rows.iter().map(|&row| table.labels[row]).collect(),
        }
    }
}

/// Learns from `training` until `validation` is predicted no better.
pub(super) fn learn(
    training: &LabelledRows,
    validation: &LabelledRows,
    config: &TrainScorerConfig,
    rng: &mut impl Rng,
    observer: &mut dyn TrainObserver,
) -> Result<Learned> {
    observer.stage(Stage::Learning { seed: config.seed, max_epochs: config.max_epochs });
    let started = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
    let mut vars = Vec::new();
    let drawn = draw_scorer(training.features.ncols(), &mut rng)?;
    let live = map_layers(&drawn, &mut |weight| {
        let var = Var::from_tensor(weight)?;
        let live = var.as_tensor().clone();
        vars.push(var);
        Ok(live)
    })?;
    let schedule = Schedule {
        learning_rate: LEARNING_RATE,
        weight_decay: WEIGHT_DECAY,
        average_decay: AVERAGE_DECAY,
        steps: config.max_epochs * training.labels.len().div_ceil(BATCH_ROWS),
    };
    let mut weights = Weights::new(vars, schedule)?;
    let mut stopping = EarlyStopping::new(PATIENCE);
    let mut order: Vec<usize> = (0..training.labels.len()).collect();
    let mut epochs = 0;
    let mut scorer = averaged(&live, &weights)?;
    while epochs < config.max_epochs {
        epochs += 1;
        order.shuffle(&mut rng);
        let mut total = 0.0;
        for batch in order.chunks(BATCH_ROWS) {
            let loss = batch_loss(&live, training, batch, &mut rng)?;
            weights.accumulate(&loss)?;
            weights.step()?;
            total += f64::from(loss.to_scalar::<f32>()?) * batch.len() as f64;
        }
        let loss = total / order.len() as f64;
        if !loss.is_finite() {
            return Err(LearningError::Diverged { epoch: epochs });
        }
        scorer = averaged(&live, &weights)?;
        let validation_loss = (!validation.labels.is_empty()).then(|| measure(&scorer, validation));
        observer.epoch(&EpochProgress {
            epoch: epochs,
            max_epochs: config.max_epochs,
            loss,
            validation_loss,
        });
        if let Some(loss) = validation_loss
            && !stopping.goes_on(epochs, loss, || scorer.clone())
        {
            break;
        }
    }
    let (best_epoch, scorer) = match stopping.into_best() {
        Some(best) => (best.epoch, best.weights),
        None => (epochs, scorer),
    };
    Ok(Learned { scorer, epochs, best_epoch, seconds: started.elapsed().as_secs_f64() })
}

/// The mean binary cross-entropy: `softplus(x)` for a no, `softplus(x) − x` for a yes.
fn batch_loss(
    layers: &[Layer],
    rows: &LabelledRows,
    batch: &[usize],
    rng: &mut ChaCha8Rng,
) -> Result<Tensor> {
    let mut features = rows.features.select(Axis(0), batch);
    features.mapv_inplace(|value| {
        if rng.random::<f32>() < INPUT_DROPOUT { 0.0 } else { value / (1.0 - INPUT_DROPOUT) }
    });
    let shape = features.dim();
    let (values, _) = features.into_raw_vec_and_offset();
    let logits = run_layers(layers, &Tensor::from_vec(values, shape, &Device::Cpu)?)?;
    let labels = batch.iter().map(|&row| f32::from(u8::from(rows.labels[row])));
    let labels = Tensor::from_vec(labels.collect(), (batch.len(), 1), &Device::Cpu)?;
    Ok((softplus(&logits)? - (logits * labels)?)?.mean_all()?)
}

fn averaged(layers: &[Layer], weights: &Weights) -> Result<MlpScorer> {
    let mut averages = weights.averages();
    let layers = map_layers(layers, &mut |weight| Ok(averages.next().unwrap_or_else(|| weight.clone())))?;
    Ok(MlpScorer::new(export_layers(&layers)?)?)
}

fn measure(scorer: &MlpScorer, rows: &LabelledRows) -> f64 {
    let scores: Vec<f32> = scorer.score_rows(rows.features.view()).iter().map(|score| score.get()).collect();
    log_loss(&scores, &rows.labels)
}
