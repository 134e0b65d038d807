//! Adam with decoupled weight decay (Loshchilov and Hutter 2019), in candle's arithmetic, operation by operation. Its
//! moments can be taken out and put back, which candle's own does not allow and which going on after a kill needs.

use candle_core::{Tensor, Var, backprop::GradStore};

use crate::Result;

/// Of the mean gradient.
const BETA1: f64 = 0.9;
/// Of the mean squared gradient; below the usual 0.999, since trainings are short.
const BETA2: f64 = 0.99;
const EPSILON: f64 = 1e-8;

/// The running means of one weight's gradient and of its square.
pub(super) struct Moments {
    pub(super) first: Tensor,
    pub(super) second: Tensor,
}

impl Moments {
    pub(super) fn zeros(var: &Var) -> Result<Self> {
        Ok(Self { first: var.as_tensor().zeros_like()?, second: var.as_tensor().zeros_like()? })
    }

    /// Moves one weight against its gradient, if it has one; `step` counts from 1.
    pub(super) fn step(
        &mut self,
        var: &Var,
        gradients: &GradStore,
        step: usize,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Result<()> {
        let Some(gradient) = gradients.get(var) else {
            return Ok(());
        };
        self.first = ((&self.first * BETA1)? + (gradient * (1.0 - BETA1))?)?;
        self.second = ((&self.second * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?;
        let unbiased = |beta: f64| 1.0 / (1.0 - beta.powi(step as i32));
        let first = (&self.first * unbiased(BETA1))?;
        let second = (&self.second * unbiased(BETA2))?;
        let decayed = (var.as_tensor() * (1.0 - learning_rate * weight_decay))?;
        let direction = (first / (second.sqrt()? + EPSILON)?)?;
        var.set(&(decayed - (direction * learning_rate)?)?.detach())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_nn::{AdamW, Optimizer, ParamsAdamW};

    use super::*;

    #[test]
    fn moves_weights_bit_for_bit_as_candle_does() {
        let start = Tensor::new(&[[0.5f32, -1.25, 3.0], [0.1, 7.0, -0.3]], &Device::Cpu).unwrap();
        let (ours, theirs) = (Var::from_tensor(&start).unwrap(), Var::from_tensor(&start).unwrap());
        let mut moments = Moments::zeros(&ours).unwrap();
        let settings = ParamsAdamW { lr: 0.01, beta1: BETA1, beta2: BETA2, eps: EPSILON, weight_decay: 0.05 };
        let mut candle = AdamW::new(vec![theirs.clone()], settings).unwrap();
        let loss =
            |var: &Var| var.as_tensor().sqr().unwrap().exp().unwrap().log().unwrap().sum_all().unwrap();

        for step in 1..20 {
            moments.step(&ours, &loss(&ours).backward().unwrap(), step, 0.01, 0.05).unwrap();
            candle.step(&loss(&theirs).backward().unwrap()).unwrap();

            let values = |var: &Var| var.as_tensor().to_vec2::<f32>().unwrap();
            assert_eq!(values(&ours), values(&theirs), "step {step}");
        }
    }
}
