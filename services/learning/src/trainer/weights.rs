//! The weights while they are learned: Adam with a falling step size, and their running average, which is what becomes
//! the model.

use candle_core::{Tensor, Var, backprop::GradStore};

use super::adam::Moments;
use crate::{Result, schedule::Schedule};

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
    ///
    /// A gradient still holds the graph that it came from, activations and all: sums and running means would hold those of
    /// every part and every step. So it is let go of here, before anything is made of it.
    pub(crate) fn accumulate(&mut self, loss: &Tensor) -> Result<()> {
        let mut gradients = loss.backward()?;
        let earlier = self.gradients.take();
        for var in &self.vars {
            let earlier = earlier.as_ref().and_then(|sums| sums.get(var));
            let sum = match (earlier, gradients.get(var)) {
                (Some(sum), Some(gradient)) => (sum + gradient.detach())?,
                (Some(sum), None) => sum.clone(),
                (None, Some(gradient)) => gradient.detach(),
                (None, None) => continue,
            };
            gradients.insert(var, sum);
        }
        self.gradients = Some(gradients);
        Ok(())
    }

    /// Moves against the accumulated gradient.
    pub(crate) fn step(&mut self) -> Result<()> {
        let Some(gradients) = self.gradients.take() else {
            return Ok(());
        };
        let learning_rate = self.schedule.step_size(self.step);
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

    fn average(&mut self) -> Result<()> {
        let keep = self.schedule.kept(self.step);
        for (average, var) in self.averages.iter_mut().zip(&self.vars) {
            *average = ((&*average * keep)? + (var.as_tensor().detach() * (1.0 - keep))?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn what_is_kept_of_gradients_holds_no_activations() {
        let var = |values: [f32; 2]| Var::new(&values, &Device::Cpu).unwrap();
        let [first, second] = [var([0.5, -1.0]), var([2.0, 3.0])];
        // The gradient of each is made of the other.
        let loss = || (first.as_tensor() * second.as_tensor()).unwrap().exp().unwrap().sum_all().unwrap();
        let raw = loss().backward().unwrap();
        assert!(
            raw.get(&first).unwrap().track_op(),
            "a gradient holds its graph until somebody lets go of it"
        );
        let schedule = Schedule { learning_rate: 0.01, weight_decay: 0.1, average_decay: 0.9, steps: 4 };
        let mut weights = Weights::new(vec![first.clone(), second.clone()], schedule).unwrap();

        for _ in 0..3 {
            weights.accumulate(&loss()).unwrap();
            weights.accumulate(&loss()).unwrap();
            let sums = weights.gradients.as_ref().unwrap();
            assert!([&first, &second].iter().all(|var| !sums.get(var).unwrap().track_op()));
            weights.step().unwrap();
        }

        for [_, average, first, second] in weights.state() {
            assert!([average, first, second].iter().all(|kept| !kept.track_op()));
        }
    }
}
