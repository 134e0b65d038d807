//! Learns towers and scorer together from what the split lets training see.
//!
//! What there is to learn from comes in rows (`lessons`): customers, or acquisitions in the order of time. Each epoch
//! makes one example of each (`examples`), contrasts its answer with other products (`contrast`), and moves all weights
//! at once (`network`, `loss`, `weights`, `adam`): the towers by a softmax over inner products, towers and scorer by a
//! softmax over the scorer's logits, and by the cross-entropy that makes the scores probabilities. A part of the rows only
//! decides when to stop (`stopping`), and then how the scores are calibrated (`calibration`). After each epoch everything
//! that the next one depends on may be kept (`checkpoint`).

mod adam;
mod calibration;
mod checkpoint;
mod contrast;
mod examples;
mod features;
mod lessons;
mod loss;
mod network;
mod session;
mod stopping;
mod weights;

use std::time::Instant;

use finrank_model::{FeatureMeans, MlpScorer, ProductEncoder, TransformConfig, UserEncoder};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub(crate) use checkpoint::{Asked, Checkpoints, Identity};
pub(crate) use stopping::EarlyStopping;

use crate::{
    EpochProgress, LearningConfig, LearningError, Result, Stage, TrainObserver, dataset::Dataset,
    evaluation::ServedModel, split::Split,
};
use features::Features;
use lessons::Lessons;
use session::Session;
use weights::Weights;

/// The random numbers of training are another stream than those of the split.
const TRAINING_STREAM: u64 = 1;

/// A model, learned.
pub(crate) struct Trained {
    pub(crate) user: UserEncoder,
    pub(crate) product: ProductEncoder,
    pub(crate) scorer: MlpScorer,
    /// The mean of the customers trained on, from whom explanations start.
    pub(crate) means: FeatureMeans,
    /// Epochs that ran.
    pub(crate) epochs: usize,
    /// The epoch whose weights were kept, from 1.
    pub(crate) best_epoch: usize,
    /// Customers trained on; of a split by time, their acquisitions.
    pub(crate) training_customers: usize,
    /// Those that only decided when to stop.
    pub(crate) validation_customers: usize,
    /// Pairs of such customers and products that the calibration was fitted on.
    pub(crate) calibration_pairs: usize,
    pub(crate) seconds: f64,
}

impl Trained {
    /// The parts that serve.
    pub(crate) fn served(&self) -> ServedModel<'_> {
        ServedModel { user: &self.user, product: &self.product, scorer: &self.scorer }
    }
}

/// How long to train.
struct Plan {
    batch_size: usize,
    epochs: usize,
    steps: usize,
    /// The last epoch before hidden holdings are imagined.
    plain_epochs: usize,
}

/// Trains on what `split` lets be seen.
pub(crate) fn fit(
    dataset: &Dataset,
    split: &Split,
    transform: &TransformConfig,
    config: &LearningConfig,
    seed: u64,
    observer: &mut dyn TrainObserver,
) -> Result<Trained> {
    fit_from(dataset, split, transform, config, seed, None, observer)
}

/// The same, going on from a checkpoint if there is one, and keeping one after each epoch.
pub(crate) fn fit_from(
    dataset: &Dataset,
    split: &Split,
    transform: &TransformConfig,
    config: &LearningConfig,
    seed: u64,
    mut checkpoints: Option<&mut Checkpoints>,
    observer: &mut dyn TrainObserver,
) -> Result<Trained> {
    check(config)?;
    observer.stage(Stage::Preparing);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(TRAINING_STREAM);
    let lessons = Lessons::new(dataset, split, config.validation_share, &mut rng)?;
    let features = Features::fit(dataset, &lessons.records, &lessons.training_records(), transform);

    let imputes = config.impute_hidden && lessons.lack_holdings();
    let plan = Plan::new(lessons.training.len(), imputes, config);
    observer.stage(Stage::Learning { seed, max_epochs: plan.epochs });
    let started = Instant::now();
    let mut session = Session::new(&features, &lessons, config, &plan, rng)?;
    let mut stopping = EarlyStopping::new(config.patience);
    let mut epoch = 0;
    if let Some(mut state) = checkpoints.as_mut().and_then(|checkpoints| checkpoints.take_found()) {
        epoch = state.epoch;
        stopping = EarlyStopping::after(config.patience, state.best.take());
        session.restore(state)?;
    }
    while epoch < plan.epochs {
        epoch += 1;
        if imputes && epoch > plan.plain_epochs {
            session.imagine_hidden(&lessons.training)?;
            session.imagine_hidden_for_validation(&lessons.validation)?;
        }
        let loss = session.learn(&lessons.training, plan.batch_size)?;
        if !loss.is_finite() {
            return Err(LearningError::Diverged { epoch });
        }
        // Before hidden holdings are imagined the validation part asks other questions.
        let comparable = epoch > plan.plain_epochs && !lessons.validation.is_empty();
        let validation_loss = comparable.then(|| session.validation_loss(&lessons.validation)).transpose()?;
        observer.epoch(&EpochProgress { epoch, max_epochs: plan.epochs, loss, validation_loss });
        if let Some(loss) = validation_loss
            && !stopping.goes_on(epoch, loss, || session.averages())
        {
            break;
        }
        if let Some(checkpoints) = &checkpoints {
            checkpoints.keep(&session.state(epoch, stopping.best()))?;
        }
    }
    let (best_epoch, network) = match stopping.into_best() {
        Some(best) => (best.epoch, session.network_over(best.weights)?),
        None => (epoch, session.averaged()?),
    };
    let questions = session.questions(&lessons.validation);
    drop(session);
    let (user_tower, product_tower, scorer) = network.export()?;
    let seconds = started.elapsed().as_secs_f64();
    let user = UserEncoder::new(features.user_transform, user_tower)?;
    let product = ProductEncoder::new(features.product_transform, product_tower)?;
    let means =
        FeatureMeans::of(&user.transform.rows(&lessons.training_records()), user.tower.vocabulary_len());
    let pairs = calibration::pairs(dataset, &lessons.records, &questions, (&user, &product, &scorer))?;
    let calibration = config.calibration.fit(&pairs.logits, &pairs.labels)?;
    Ok(Trained {
        user,
        product,
        means,
        scorer: scorer.with_calibration(calibration),
        calibration_pairs: pairs.labels.len(),
        epochs: epoch,
        best_epoch,
        training_customers: lessons.training.len(),
        validation_customers: lessons.validation.len(),
        seconds,
    })
}

impl Plan {
    /// Few customers make small steps, so that there are some eight in an epoch.
    fn new(customers: usize, imputes: bool, config: &LearningConfig) -> Self {
        let batch_size = config.batch_size.min((customers / 8).max(32));
        let steps_per_epoch = customers.div_ceil(batch_size);
        let epochs = (config.steps / steps_per_epoch).max(config.min_epochs).min(config.max_epochs);
        Self {
            batch_size,
            epochs,
            steps: epochs * steps_per_epoch,
            plain_epochs: if imputes { (epochs as f64 * config.impute_after) as usize } else { 0 },
        }
    }
}

fn check(config: &LearningConfig) -> Result<()> {
    let sizes = [
        ("dimension", config.dimension),
        ("hidden", config.hidden),
        ("max_epochs", config.max_epochs),
        ("min_epochs", config.min_epochs),
        ("batch_size", config.batch_size),
        ("sampled_products", config.sampled_products),
        ("scored_products", config.scored_products),
    ];
    if let Some((name, value)) = sizes.into_iter().find(|&(_, size)| size == 0) {
        return Err(LearningError::Setting {
            name,
            value: value.to_string(),
            reason: "it must be at least 1",
        });
    }
    let shares = [
        ("dropout", f64::from(config.dropout)),
        ("attribute_dropout", f64::from(config.attribute_dropout)),
        ("identity_dropout", f64::from(config.identity_dropout)),
        ("validation_share", config.validation_share),
        ("average_decay", config.average_decay),
        ("impute_after", config.impute_after),
    ];
    if let Some((name, value)) = shares.into_iter().find(|(_, share)| !(0.0..1.0).contains(share)) {
        let reason = "it must be from 0 to below 1";
        return Err(LearningError::Setting { name, value: value.to_string(), reason });
    }
    let weights = [
        ("learning_rate", config.learning_rate),
        ("weight_decay", config.weight_decay),
        ("tower_loss", config.tower_loss),
        ("cross_entropy", config.cross_entropy),
    ];
    match weights.into_iter().find(|(_, weight)| !(weight.is_finite() && *weight >= 0.0)) {
        None => Ok(()),
        Some((name, value)) => {
            let reason = "it must be finite and not negative";
            Err(LearningError::Setting { name, value: value.to_string(), reason })
        }
    }
}
