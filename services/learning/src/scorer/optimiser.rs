//! AdamW (Loshchilov and Hutter 2019) over arrays, and the running average of the weights.

use super::network::Network;
use crate::schedule::Schedule;

const FIRST_MOMENT: f32 = 0.9;
const SECOND_MOMENT: f32 = 0.99;
/// Keeps a weight that has no gradient from dividing by zero.
const EPSILON: f32 = 1e-8;
/// Weights under way, with what the optimiser remembers of their gradients.
pub(super) struct Optimiser {
    pub(super) weights: Network,
    first: Network,
    second: Network,
    average: Network,
    schedule: Schedule,
    step: usize,
}

impl Optimiser {
    pub(super) fn new(weights: Network, schedule: Schedule) -> Self {
        Self {
            first: weights.zeros_like(),
            second: weights.zeros_like(),
            average: weights.clone(),
            weights,
            schedule,
            step: 0,
        }
    }

    /// Moves against the gradient of a loss that is summed over `rows` rows.
    pub(super) fn step(&mut self, gradient: &Network, rows: usize) {
        let rate = self.schedule.step_size(self.step) as f32;
        self.step += 1;
        let correction = |moment: f32| 1.0 - moment.powi(self.step.min(10_000) as i32);
        let (first_correction, second_correction) = (correction(FIRST_MOMENT), correction(SECOND_MOMENT));
        let keep = self.schedule.kept(self.step) as f32;
        let share = 1.0 / rows as f32;
        let moments = self.first.parts_mut().zip(self.second.parts_mut());
        let weights = self.weights.parts_mut().zip(self.average.parts_mut());
        for (((first, second), (weights, average)), (gradient, is_matrix)) in
            moments.zip(weights).zip(gradient.parts())
        {
            let decay = if is_matrix { 1.0 - rate * self.schedule.weight_decay as f32 } else { 1.0 };
            for ((((weight, average), first), second), gradient) in
                weights.iter_mut().zip(average).zip(first).zip(second).zip(gradient)
            {
                let gradient = gradient * share;
                *first = FIRST_MOMENT * *first + (1.0 - FIRST_MOMENT) * gradient;
                *second = SECOND_MOMENT * *second + (1.0 - SECOND_MOMENT) * gradient * gradient;
                let size = (*second / second_correction).sqrt() + EPSILON;
                *weight = *weight * decay - rate * (*first / first_correction) / size;
                *average = keep * *average + (1.0 - keep) * *weight;
            }
        }
    }

    /// The averaged weights.
    pub(super) fn average(&self) -> &Network {
        &self.average
    }
}
