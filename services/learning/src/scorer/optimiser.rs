//! AdamW (Loshchilov and Hutter 2019) over arrays, with a step size that falls by a cosine, and the running
//! average of the weights, which is what becomes the model.

use super::network::Network;

const FIRST_MOMENT: f32 = 0.9;
const SECOND_MOMENT: f32 = 0.99;
/// Keeps a weight that has no gradient from dividing by zero.
const EPSILON: f32 = 1e-8;
/// The share that the running average keeps at a step.
const AVERAGE_DECAY: f32 = 0.98;
/// The share of the first step size that the last one has.
const LAST_STEP_SHARE: f64 = 0.05;

/// How far weights move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// The first step size.
    pub(super) learning_rate: f64,
    /// The decay of matrices; biases do not decay.
    pub(super) weight_decay: f64,
    /// How many steps there are at most.
    pub(super) steps: usize,
}

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
        let rate = self.rate();
        self.step += 1;
        let correction = |moment: f32| 1.0 - moment.powi(self.step.min(10_000) as i32);
        let (first_correction, second_correction) = (correction(FIRST_MOMENT), correction(SECOND_MOMENT));
        let keep = self.keep();
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

    fn rate(&self) -> f32 {
        let progress = self.step as f64 / self.schedule.steps.max(1) as f64;
        let cosine = (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()) / 2.0;
        (self.schedule.learning_rate * (LAST_STEP_SHARE + (1.0 - LAST_STEP_SHARE) * cosine)) as f32
    }

    /// The first steps count more, or the average would hold on to weights that were drawn, not learned.
    fn keep(&self) -> f32 {
        let step = self.step as f32;
        AVERAGE_DECAY.min((1.0 + step) / (10.0 + step))
    }
}
