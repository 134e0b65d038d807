//! The weights while they are learned: Adam with a falling step size, and their running average, which is what becomes
//! the model.

use candle_core::{Tensor, Var, backprop::GradStore};

use super::adam::Moments;
use crate::Result;

/// The share of the first step size that the last one has.
const LAST_STEP_SHARE: f64 = 0.05;

/// How weights move.
pub(crate) struct Schedule {
    /// The first step size.
    pub(crate) learning_rate: f64,
    /// The decay of matrices, beside Adam's step.
    pub(crate) weight_decay: f64,
    /// The share that the running average keeps at a step.
    pub(crate) average_decay: f64,
    /// How many steps there are at most.
    pub(crate) steps: usize,
}

/// Weights that are being learned.
pub(crate) struct Weights {
    vars: Vec<Var>,
    averages: Vec<Tensor>,
    moments: Vec<Moments>,
    schedule: Schedule,
    step: usize,
    /// The sum of the gradients since the last step.
    gradients: Option<GradStore>,
}

impl Weights {
    /// Takes the weights, in the order in which [`Weights::averages`] gives them back.
    pub(crate) fn new(vars: Vec<Var>, schedule: Schedule) -> Result<Self> {
        let averages = vars.iter().map(|var| Ok(var.as_tensor().copy()?.detach()));
        Ok(Self {
            averages: averages.collect::<Result<_>>()?,
            moments: vars.iter().map(Moments::zeros).collect::<Result<_>>()?,
            vars,
            schedule,
            step: 0,
            gradients: None,
        })
    }

    /// Adds the gradient of `loss`, a part of the step's loss.
    pub(crate) fn accumulate(&mut self, loss: &Tensor) -> Result<()> {
        let gradients = loss.backward()?;
        let Some(sums) = &mut self.gradients else {
            self.gradients = Some(gradients);
            return Ok(());
        };
        for var in &self.vars {
            let sum = match (sums.get(var), gradients.get(var)) {
                // Without the activations that they came from.
                (Some(sum), Some(gradient)) => (sum.detach() + gradient.detach())?,
                (None, Some(gradient)) => gradient.detach(),
                (_, None) => continue,
            };
            sums.insert(var, sum);
        }
        Ok(())
    }

    /// Moves against the accumulated gradient.
    pub(crate) fn step(&mut self) -> Result<()> {
        let Some(gradients) = self.gradients.take() else {
            return Ok(());
        };
        let learning_rate = self.learning_rate();
        self.step += 1;
        for (moments, var) in self.moments.iter_mut().zip(&self.vars) {
            // Biases and the temperature do not decay.
            let decay = if var.rank() == 2 { self.schedule.weight_decay } else { 0.0 };
            moments.step(var, &gradients, self.step, learning_rate, decay)?;
        }
        self.average()
    }

    /// The averaged weights.
    pub(crate) fn averages(&self) -> impl Iterator<Item = Tensor> {
        self.averages.iter().cloned()
    }

    /// How many steps were made.
    pub(super) fn steps(&self) -> usize {
        self.step
    }

    /// Everything that the next step depends on, by the weights' places: the weights, their averages, and both moments.
    pub(super) fn state(&self) -> impl Iterator<Item = [&Tensor; 4]> {
        let moments = self.moments.iter().zip(&self.averages).zip(&self.vars);
        moments.map(|((moments, average), var)| [var.as_tensor(), average, &moments.first, &moments.second])
    }

    /// Goes on after `step` steps from what [`Weights::state`] gave then.
    pub(super) fn restore(&mut self, step: usize, state: Vec<[Tensor; 4]>) -> Result<()> {
        let places = self.vars.iter().zip(&mut self.averages).zip(&mut self.moments);
        for (((var, average), moments), [weight, kept, first, second]) in places.zip(state) {
            var.set(&weight)?;
            *average = kept;
            *moments = Moments { first, second };
        }
        self.step = step;
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        let progress = self.step as f64 / self.schedule.steps.max(1) as f64;
        let cosine = (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()) / 2.0;
        self.schedule.learning_rate * (LAST_STEP_SHARE + (1.0 - LAST_STEP_SHARE) * cosine)
    }

    /// The first steps count more, or the average would hold on to weights that were drawn, not learned.
    fn average(&mut self) -> Result<()> {
        let step = self.step as f64;
        let keep = self.schedule.average_decay.min((1.0 + step) / (10.0 + step));
        for (average, var) in self.averages.iter_mut().zip(&self.vars) {
            *average = ((&*average * keep)? + (var.as_tensor().detach() * (1.0 - keep))?)?;
        }
        Ok(())
    }
}
