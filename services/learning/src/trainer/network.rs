//! The weights of towers and scorer as candle tensors, and their forward pass. The formulas are those of
//! `finrank_model::Tower` and `MlpScorer`, which evaluate what is exported here.

use candle_core::{D, Device, Tensor};
use finrank_model::{Dense, MlpScorer, Tower};
use ndarray::{Array1, Array2};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::features::{Features, TowerInput};
use crate::{LearningConfig, Result};

/// Pairs that the scorer sees at once. Their activations, 128 wide, stay in the cache, and stay below the
/// 65,536 elements from which candle spreads an operation over threads that spin while they wait: on a machine
/// with other work that took up to four times as long.
const PAIRS_AT_ONCE: usize = 500;

/// `x · weight + bias`.
#[derive(Clone)]
struct Layer {
    weight: Tensor,
    bias: Tensor,
}

/// `relu(dense · input + Σ sparse[id])`, then `output`.
#[derive(Clone)]
pub(super) struct TowerWeights {
    input: Layer,
    /// `[vocabulary, hidden]`.
    sparse: Tensor,
    output: Layer,
}

/// Every weight of a model.
#[derive(Clone)]
pub(super) struct Network {
    user: TowerWeights,
    product: TowerWeights,
    scorer: Vec<Layer>,
    /// Of the towers' softmax: logits are inner products times its exponential.
    log_temperature: Tensor,
}

impl Network {
    /// Weights drawn with `rng`: uniform as of He et al. (2015), but small where a feature's weight must be
    /// earned.
    pub(super) fn draw(features: &Features, config: &LearningConfig, rng: &mut ChaCha8Rng) -> Result<Self> {
        let (hidden, dimension) = (config.hidden, config.dimension);
        let user = TowerWeights {
            input: Layer::draw(features.user_transform.width(), hidden, 0.02, rng)?,
            sparse: draw([features.user_transform.vocabulary_len(), hidden], 0.1, rng)?,
            output: Layer::draw(hidden, dimension, he(hidden), rng)?,
        };
        let product = TowerWeights {
            input: Layer::draw(features.product_transform.width(), hidden, 0.1, rng)?,
            sparse: draw([features.product_transform.vocabulary_len(), hidden], 0.5, rng)?,
            output: Layer::draw(hidden, dimension, he(hidden), rng)?,
        };
        let mut scorer = draw_scorer(2 * dimension, &config.scorer.hidden(), rng)?;
        // The scores begin at the rate at which a product is the right one, not at one half.
        if let Some(last) = scorer.last_mut() {
            last.bias = Tensor::full(-(features.products() as f32).ln(), 1, &Device::Cpu)?;
        }
        Ok(Self {
            user,
            product,
            scorer,
            log_temperature: Tensor::full(-(dimension as f32).sqrt().ln(), 1, &Device::Cpu)?,
        })
    }

    /// The same network over other tensors, each made from its own by `map`.
    pub(super) fn map(&self, mut map: impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let map = &mut map;
        Ok(Self {
            user: self.user.map(map)?,
            product: self.product.map(map)?,
            scorer: map_layers(&self.scorer, map)?,
            log_temperature: map(&self.log_temperature)?,
        })
    }

    /// `[n, dimension]` of customers; `drop` may thin out the hidden units `[n, hidden]`.
    pub(super) fn encode_users(
        &self,
        input: &TowerInput,
        drop: impl FnOnce(Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let hidden = drop(self.user.hidden(input)?)?;
        self.user.output.forward(&hidden)
    }

    /// `[n, dimension]` of products.
    pub(super) fn encode_products(&self, input: &TowerInput) -> Result<Tensor> {
        self.product.output.forward(&self.product.hidden(input)?)
    }

    /// The towers' logits `[users, products]`.
    pub(super) fn match_all(&self, users: &Tensor, products: &Tensor) -> Result<Tensor> {
        let products = products.t()?;
        Ok(users.matmul(&products)?.broadcast_mul(&self.log_temperature.exp()?)?)
    }

    /// The towers' logits `[n, 1]` of row i with row i.
    pub(super) fn match_rows(&self, users: &Tensor, products: &Tensor) -> Result<Tensor> {
        let products = (users * products)?.sum_keepdim(D::Minus1)?;
        Ok(products.broadcast_mul(&self.log_temperature.exp()?)?)
    }

    /// The scorer's logits `[users, products]`. The first layer is split (W₁ᵤ·h_u + W₁ₚ·h_p), so that it costs
    /// a product per customer and per product, not per pair.
    pub(super) fn score_all(&self, users: &Tensor, products: &Tensor) -> Result<Tensor> {
        let (of_users, of_products) = self.first_terms(users, products)?;
        let (n, m) = (users.dim(0)?, products.dim(0)?);
        let at_once = (PAIRS_AT_ONCE / m).max(1);
        let blocks = (0..n).step_by(at_once).map(|first| {
            let count = at_once.min(n - first);
            let sums = all_pairs(&of_users.narrow(0, first, count)?, &of_products)?;
            Ok(self.scorer_tail(&sums)?.reshape((count, m))?)
        });
        Ok(Tensor::cat(&blocks.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// The scorer's logits `[n, 1]` of row i with row i.
    pub(super) fn score_rows(&self, users: &Tensor, products: &Tensor) -> Result<Tensor> {
        let (of_users, of_products) = self.first_terms(users, products)?;
        self.scorer_tail(&(of_users + of_products)?)
    }

    fn first_terms(&self, users: &Tensor, products: &Tensor) -> Result<(Tensor, Tensor)> {
        let Layer { weight, bias } = &self.scorer[0];
        let dimension = users.dim(1)?;
        let of_users = users.matmul(&weight.narrow(0, 0, dimension)?)?;
        let of_products = products.matmul(&weight.narrow(0, dimension, dimension)?)?;
        Ok((of_users, of_products.broadcast_add(bias)?))
    }

    fn scorer_tail(&self, first_sums: &Tensor) -> Result<Tensor> {
        match &self.scorer[1..] {
            // The linear scorer's first sums are its logits.
            [] => Ok(first_sums.clone()),
            later => run_layers(later, &first_sums.relu()?),
        }
    }

    /// The user tower, product tower and scorer that serve.
    pub(super) fn export(&self) -> Result<(Tower, Tower, MlpScorer)> {
        Ok((self.user.export()?, self.product.export()?, MlpScorer::new(export_layers(&self.scorer)?)?))
    }
}

impl TowerWeights {
    fn hidden(&self, input: &TowerInput) -> Result<Tensor> {
        let mut sums = self.input.forward(&input.dense)?;
        if !input.ids.is_empty() {
            let ids = Tensor::from_slice(&input.ids, input.ids.len(), &Device::Cpu)?;
            let rows = Tensor::from_slice(&input.rows, input.rows.len(), &Device::Cpu)?;
            sums = sums.index_add(&rows, &self.sparse.index_select(&ids, 0)?, 0)?;
        }
        Ok(sums.relu()?)
    }

    fn map(&self, map: &mut impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self { input: self.input.map(map)?, sparse: map(&self.sparse)?, output: self.output.map(map)? })
    }

    fn export(&self) -> Result<Tower> {
        let output = self.output.export()?;
        Ok(Tower::new(self.input.export()?, matrix(&self.sparse)?, vec![output])?)
    }
}

impl Layer {
    fn draw(inputs: usize, outputs: usize, deviation: f64, rng: &mut ChaCha8Rng) -> Result<Self> {
        Ok(Self {
            weight: draw([inputs, outputs], deviation, rng)?,
            bias: Tensor::zeros(outputs, candle_core::DType::F32, &Device::Cpu)?,
        })
    }

    fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        if rows.dim(1)? == 0 {
            return Ok(self.bias.broadcast_as((rows.dim(0)?, self.bias.dim(0)?))?.contiguous()?);
        }
        Ok(rows.matmul(&self.weight)?.broadcast_add(&self.bias)?)
    }

    fn map(&self, map: &mut impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self { weight: map(&self.weight)?, bias: map(&self.bias)? })
    }

    fn export(&self) -> Result<Dense> {
        let bias = Array1::from_vec(self.bias.to_vec1()?);
        Ok(Dense::new(matrix(&self.weight)?, bias)?)
    }
}

/// The layers of a scorer over `inputs` values, with these hidden layers.
fn draw_scorer(inputs: usize, hidden: &[usize], rng: &mut ChaCha8Rng) -> Result<Vec<Layer>> {
    let widths: Vec<usize> = [&[inputs][..], hidden, &[1]].concat();
    widths.windows(2).map(|step| Layer::draw(step[0], step[1], he(step[0]), rng)).collect()
}

/// Layers with ReLU between.
fn run_layers(layers: &[Layer], rows: &Tensor) -> Result<Tensor> {
    let mut rows = rows.clone();
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            rows = rows.relu()?;
        }
        rows = layer.forward(&rows)?;
    }
    Ok(rows)
}

fn map_layers(layers: &[Layer], map: &mut impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Vec<Layer>> {
    layers.iter().map(|layer| layer.map(map)).collect()
}

fn export_layers(layers: &[Layer]) -> Result<Vec<Dense>> {
    layers.iter().map(Layer::export).collect()
}

/// The sum of each row of `[n, h]` and each of `[m, h]`, `[n * m, h]`. Rows are copied by index, since candle
/// broadcasts, and sums the gradient of a broadcast, element by element.
fn all_pairs(ones: &Tensor, others: &Tensor) -> Result<Tensor> {
    let (n, m) = (ones.dim(0)? as u32, others.dim(0)? as u32);
    let of_ones = Tensor::from_iter((0..n * m).map(|pair| pair / m), &Device::Cpu)?;
    let of_others = Tensor::from_iter((0..n * m).map(|pair| pair % m), &Device::Cpu)?;
    Ok((ones.index_select(&of_ones, 0)? + others.index_select(&of_others, 0)?)?)
}

/// The standard deviation that keeps the variance of ReLU layers (He et al. 2015).
fn he(inputs: usize) -> f64 {
    (2.0 / inputs.max(1) as f64).sqrt()
}

/// Uniform values of mean 0 and the given deviation.
fn draw(shape: [usize; 2], deviation: f64, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    let bound = (deviation * 3f64.sqrt()) as f32;
    let values: Vec<f32> =
        (0..shape[0] * shape[1]).map(|_| (rng.random::<f32>() * 2.0 - 1.0) * bound).collect();
    Ok(Tensor::from_vec(values, (shape[0], shape[1]), &Device::Cpu)?)
}

fn matrix(tensor: &Tensor) -> Result<Array2<f32>> {
    let (rows, columns) = tensor.dims2()?;
    let values = tensor.flatten_all()?.to_vec1()?;
    Ok(Array2::from_shape_fn((rows, columns), |(row, column)| values[row * columns + column]))
}

#[cfg(test)]
mod tests {
    use finrank_model::Embedding;
    use rand::SeedableRng;

    use super::*;

    /// Towers of no width to speak of, and a scorer over embeddings of 3.
    fn network(scorer_hidden: &[usize], rng: &mut ChaCha8Rng) -> Network {
        let mut tower = || TowerWeights {
            input: Layer::draw(1, 2, 1.0, rng).unwrap(),
            sparse: draw([1, 2], 1.0, rng).unwrap(),
            output: Layer::draw(2, 3, 1.0, rng).unwrap(),
        };
        let (user, product) = (tower(), tower());
        let scorer = draw_scorer(6, scorer_hidden, rng).unwrap();
        Network {
            user,
            product,
            scorer,
            log_temperature: Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap(),
        }
    }

    #[test]
    fn training_computes_the_logits_that_the_exported_scorer_serves() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for hidden in [&[] as &[usize], &[5], &[5, 4]] {
            let network = network(hidden, &mut rng);
            let (users, products) =
                (draw([4, 3], 1.0, &mut rng).unwrap(), draw([2, 3], 1.0, &mut rng).unwrap());

            let found: Vec<Vec<f32>> = network.score_all(&users, &products).unwrap().to_vec2().unwrap();

            let (_, _, scorer) = network.export().unwrap();
            let embeddings = |rows: &Tensor| -> Vec<Embedding> {
                let rows: Vec<Vec<f32>> = rows.to_vec2().unwrap();
                rows.into_iter().map(|row| Embedding::new(row, 3).unwrap()).collect()
            };
            for (user, found) in embeddings(&users).iter().zip(&found) {
                for (product, found) in embeddings(&products).iter().zip(found) {
                    let expected = scorer.score(user, product).logit();
                    assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
                }
            }
        }
    }
}
