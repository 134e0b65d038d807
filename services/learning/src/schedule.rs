//! How weights move, whoever computes their gradients: a step size that falls by a cosine (Loshchilov and Hutter 2017), and
//! a running average of the weights, which is what becomes the model.

/// The share of the first step size that the last one has.
const LAST_STEP_SHARE: f64 = 0.05;

/// How weights move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// The first step size.
    pub(crate) learning_rate: f64,
    /// The decay of matrices, beside Adam's step; biases do not decay.
    pub(crate) weight_decay: f64,
    /// The share that the running average keeps at a step.
    pub(crate) average_decay: f64,
    /// How many steps there are at most.
    pub(crate) steps: usize,
}

impl Schedule {
    /// The size of the step that comes after so many.
    pub(crate) fn step_size(&self, steps: usize) -> f64 {
        let progress = steps as f64 / self.steps.max(1) as f64;
        let cosine = (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()) / 2.0;
        self.learning_rate * (LAST_STEP_SHARE + (1.0 - LAST_STEP_SHARE) * cosine)
    }

    /// The share that the running average keeps at a step, counted from 1. The first steps count more, or the average
    /// would hold on to weights that were drawn, not learned.
    pub(crate) fn kept(&self, step: usize) -> f64 {
        let step = step as f64;
        self.average_decay.min((1.0 + step) / (10.0 + step))
    }
}
