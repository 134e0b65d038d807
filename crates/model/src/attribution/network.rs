//! User tower and scorer as one chain of layers, from the first layer's sums to the logit.
//!
//! The tower's last layer and the scorer's first stand side by side with no ReLU between, and so are one:
//! `W₁ᵤ·(W·h + b) = (W₁ᵤ·W)·h + W₁ᵤ·b`. What the product adds there does not depend on the customer.

use ndarray::{Array1, Array2, ArrayView1, s};

use super::walk::{self, PathGradient};
use crate::{Dense, Embedding, MlpScorer, ModelError, Tower};

/// The layers after the first ReLU.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) layers: Vec<Layer>,
    /// Which of the layers the product adds to.
    junction: usize,
    /// W₁ₚ, `[product dimension, h]`.
    product_weight: Array2<f64>,
}

/// `values · weight + bias`.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// `[inputs, outputs]`.
    pub(super) weight: Array2<f64>,
    /// `[outputs, inputs]`, so that going back reads memory in order, too.
    pub(super) transposed: Array2<f64>,
    bias: Array1<f64>,
}

impl Network {
    pub(super) fn new(tower: &Tower, scorer: &MlpScorer) -> Result<Self, ModelError> {
        let dimension = tower.dimension();
        if scorer.inputs() != 2 * dimension {
            return Err(ModelError::shape("the scorer's input", &[2 * dimension], &[scorer.inputs()]));
        }
        let [before @ .., last] = tower.hidden() else {
            return Err(ModelError::Empty { what: "a tower's list of hidden layers".to_owned() });
        };
        let first = Layer::of(&scorer.layers()[0]);
        let user_weight = first.weight.slice(s![..dimension, ..]);
        let last = Layer::of(last);
        let bias = last.bias.dot(&user_weight) + &first.bias;
        let joined = Layer::new(last.weight.dot(&user_weight), bias);
        let layers = before.iter().map(Layer::of).chain([joined]);
        Ok(Self {
            junction: before.len(),
            product_weight: first.weight.slice(s![dimension.., ..]).to_owned(),
            layers: layers.chain(scorer.layers()[1..].iter().map(Layer::of)).collect(),
        })
    }

    /// The gradient of the logit with respect to the first layer's sums, in the mean over the straight path from `sums`
    /// to `sums + slopes`.
    pub(super) fn walk(
        &self,
        sums: &Array1<f64>,
        slopes: &Array1<f64>,
        product: &Embedding,
    ) -> Result<PathGradient, ModelError> {
        let expected = self.product_weight.nrows();
        if product.dimension() != expected {
            return Err(ModelError::shape("the product's embedding", &[expected], &[product.dimension()]));
        }
        let product = ArrayView1::from(product.as_slice()).mapv(f64::from).dot(&self.product_weight);
        let start = self.sums(sums.clone(), &product);
        let end = self.sums(sums + slopes, &product);
        walk::path_gradient(&self.layers, start, slopes.clone(), logit(&end))
    }

    /// The sums of every layer from those of the first; the last is the logit alone.
    fn sums(&self, first: Array1<f64>, product: &Array1<f64>) -> Vec<Array1<f64>> {
        let mut all = vec![first];
        for (index, layer) in self.layers.iter().enumerate() {
            let mut sums = layer.sums_of(&all[index].mapv(|sum| sum.max(0.0)));
            if index == self.junction {
                sums += product;
            }
            all.push(sums);
        }
        all
    }
}

impl Layer {
    fn of(dense: &Dense) -> Self {
        Self::new(widened(&dense.weight), dense.bias.mapv(f64::from))
    }

    pub(super) fn new(weight: Array2<f64>, bias: Array1<f64>) -> Self {
        let transposed = weight.t().as_standard_layout().into_owned();
        Self { weight, transposed, bias }
    }

    /// Of what the layer before lets through.
    pub(super) fn sums_of(&self, values: &Array1<f64>) -> Array1<f64> {
        values.dot(&self.weight) + &self.bias
    }
}

pub(super) fn logit(sums: &[Array1<f64>]) -> f64 {
    sums.last().map_or(0.0, |last| last[0])
}

pub(super) fn widened(weight: &Array2<f32>) -> Array2<f64> {
    weight.mapv(f64::from)
}
