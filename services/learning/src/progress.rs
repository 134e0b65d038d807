//! How a training tells what it is doing; who listens decides what is drawn.

/// What a training does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reads customers, holdings and products.
    Reading,
    /// Fits transforms and turns records into features.
    Preparing,
    /// Learns weights, in at most so many epochs; early stopping may end it sooner.
    Learning {
        /// The seed of this training.
        seed: u64,
        /// At most.
        max_epochs: usize,
    },
    /// Measures the model on what was hidden.
    Evaluating,
    /// Writes and registers the bundle.
    Registering,
}

/// One pass over the training customers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochProgress {
    /// From 1.
    pub epoch: usize,
    /// At most.
    pub max_epochs: usize,
    /// The mean training loss of the epoch's steps.
    pub loss: f64,
    /// The loss on the validation part, from when it is comparable between epochs.
    pub validation_loss: Option<f64>,
}

/// How far an evaluation over several seeds is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedsProgress {
    /// Seeds to measure.
    pub seeds: usize,
    /// Of them, those that are measured.
    pub finished: usize,
    /// Epochs that the others have run, together.
    pub running_epochs: usize,
    /// Epochs of a seed, at most.
    pub max_epochs: usize,
}

/// Listens to a training. `()` listens to nothing.
pub trait TrainObserver: Send {
    /// A stage begins.
    fn stage(&mut self, _stage: Stage) {}

    /// An epoch ended.
    fn epoch(&mut self, _epoch: &EpochProgress) {}

    /// An evaluation over several seeds, some of them at once, went on; it tells no stages or epochs of each.
    fn seeds(&mut self, _progress: &SeedsProgress) {}
}

impl TrainObserver for () {}
