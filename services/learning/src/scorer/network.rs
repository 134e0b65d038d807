//! A network while it is learned: layers with ReLU between, and the gradient of the cross-entropy of its logit,
//! written out by hand over arrays that are allocated once. candle's graph would allocate at every operation, and
//! goes through broadcasts, and sums their gradients, element by element.

use finrank_model::{Dense, MlpScorer};
use ndarray::{Array1, Array2, Axis, Zip, linalg::general_mat_mul, s};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::rows::LabelledRows;
use crate::Result;

/// Weights, or their gradients, layer by layer.
#[derive(Clone, Debug)]
pub(super) struct Network {
    layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
struct Layer {
    /// `[inputs, outputs]`.
    weight: Array2<f32>,
    /// `[outputs]`.
    bias: Array1<f32>,
}

/// The shares of values that a step leaves out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    pub(super) inputs: f32,
    pub(super) hidden: f32,
}

/// The arrays of one gradient over up to so many rows.
pub(super) struct Workspace {
    /// `[rows, width]` before the first layer and after each ReLU.
    activations: Vec<Array2<f32>>,
    /// `[rows, width]` of each layer's output: its sums, then the loss's derivatives by them.
    sums: Vec<Array2<f32>>,
    /// Of the summed loss, not of the mean.
    pub(super) gradient: Network,
    /// Summed over the rows.
    pub(super) loss: f64,
}

impl Network {
    /// Weights uniform as of He et al. (2015), and a last bias that begins at the logit of `base_rate`. A single
    /// layer, which has nothing to tell apart, begins at 0.
    pub(super) fn draw(inputs: usize, hidden: &[usize], base_rate: f32, rng: &mut ChaCha8Rng) -> Self {
        let widths: Vec<usize> =
            std::iter::once(inputs).chain(hidden.iter().copied()).chain(std::iter::once(1)).collect();
        let mut layers: Vec<Layer> =
            widths.windows(2).map(|step| Layer::draw(step[0], step[1], rng)).collect();
        if let [only] = layers.as_mut_slice() {
            only.weight.fill(0.0);
        }
        if let Some(last) = layers.last_mut() {
            last.bias.fill((base_rate / (1.0 - base_rate)).ln());
        }
        Self { layers }
    }

    /// As many zeros.
    pub(super) fn zeros_like(&self) -> Self {
        let zeros = |layer: &Layer| Layer {
            weight: Array2::zeros(layer.weight.dim()),
            bias: Array1::zeros(layer.bias.dim()),
        };
        Self { layers: self.layers.iter().map(zeros).collect() }
    }

    /// The values of each matrix and each bias in turn, and whether it is a matrix.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&[f32], bool)> {
        self.layers.iter().flat_map(|layer| {
            let weight = layer.weight.as_slice().expect("row-major from the beginning");
            let bias = layer.bias.as_slice().expect("contiguous from the beginning");
            [(weight, true), (bias, false)]
        })
    }

    /// See [`Network::parts`].
    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.layers.iter_mut().flat_map(|layer| {
            let weight = layer.weight.as_slice_mut().expect("row-major from the beginning");
            let bias = layer.bias.as_slice_mut().expect("contiguous from the beginning");
            [weight, bias]
        })
    }

    /// Adds another's values.
    pub(super) fn add(&mut self, other: &Self) {
        for (ours, (theirs, _)) in self.parts_mut().zip(other.parts()) {
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours += theirs);
        }
    }

    /// The scorer that serves.
    pub(super) fn export(&self) -> Result<MlpScorer> {
        let layers = self.layers.iter().map(|layer| Dense::new(layer.weight.clone(), layer.bias.clone()));
        Ok(MlpScorer::new(layers.collect::<Result<_, _>>()?)?)
    }

    fn inputs(&self) -> usize {
        self.layers[0].weight.nrows()
    }
}

impl Layer {
    fn draw(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng) -> Self {
        let bound = (6.0 / inputs.max(1) as f32).sqrt();
        Self {
            weight: Array2::from_shape_simple_fn((inputs, outputs), || {
                (rng.random::<f32>() * 2.0 - 1.0) * bound
            }),
            bias: Array1::zeros(outputs),
        }
    }
}

impl Workspace {
    /// For up to `rows` rows of a network's input.
    pub(super) fn new(network: &Network, rows: usize) -> Self {
        let widths = || network.layers.iter().map(|layer| layer.weight.ncols());
        let before = std::iter::once(network.inputs()).chain(widths()).take(network.layers.len());
        Self {
            activations: before.map(|width| Array2::zeros((rows, width))).collect(),
            sums: widths().map(|width| Array2::zeros((rows, width))).collect(),
            gradient: network.zeros_like(),
            loss: 0.0,
        }
    }

    /// The loss and its gradient on some of the rows, at most as many as there is room.
    pub(super) fn compute(
        &mut self,
        network: &Network,
        (all, rows): (&LabelledRows, &[usize]),
        dropout: Dropout,
        rng: &mut ChaCha8Rng,
    ) {
        for (mut row, &position) in self.activations[0].rows_mut().into_iter().zip(rows) {
            row.assign(&all.features.row(position));
        }
        drop_out(&mut self.activations[0], rows.len(), dropout.inputs, rng);
        self.forward(network, rows.len(), dropout.hidden, rng);
        self.loss = self.derive_loss(&all.labels, rows);
        self.backward(network, rows.len(), 1.0 / (1.0 - dropout.hidden));
    }

    fn forward(&mut self, network: &Network, rows: usize, dropout: f32, rng: &mut ChaCha8Rng) {
        let last = network.layers.len() - 1;
        for (index, layer) in network.layers.iter().enumerate() {
            let mut sums = self.sums[index].slice_mut(s![..rows, ..]);
            sums.assign(&layer.bias);
            general_mat_mul(
                1.0,
                &self.activations[index].slice(s![..rows, ..]),
                &layer.weight,
                1.0,
                &mut sums,
            );
            if index < last {
                let mut next = self.activations[index + 1].slice_mut(s![..rows, ..]);
                Zip::from(&mut next).and(&sums).for_each(|next, &sum| *next = sum.max(0.0));
                drop_out(&mut self.activations[index + 1], rows, dropout, rng);
            }
        }
    }

    /// `softplus(z) − label · z`, whose derivative `σ(z) − label` takes the place of the last sums.
    fn derive_loss(&mut self, labels: &[bool], rows: &[usize]) -> f64 {
        let Some(logits) = self.sums.last_mut() else {
            return 0.0;
        };
        let mut loss = 0.0;
        for (logit, &row) in logits.iter_mut().zip(rows) {
            let (z, label) = (*logit, f32::from(u8::from(labels[row])));
            loss += f64::from(z.max(0.0) + (-z.abs()).exp().ln_1p() - label * z);
            *logit = 1.0 / (1.0 + (-z).exp()) - label;
        }
        loss
    }

    fn backward(&mut self, network: &Network, rows: usize, kept: f32) {
        for (index, layer) in network.layers.iter().enumerate().rev() {
            let (before, after) = self.sums.split_at_mut(index);
            let derivatives = after[0].slice(s![..rows, ..]);
            let activations = self.activations[index].slice(s![..rows, ..]);
            let gradient = &mut self.gradient.layers[index];
            general_mat_mul(1.0, &activations.t(), &derivatives, 0.0, &mut gradient.weight);
            gradient.bias.assign(&derivatives.sum_axis(Axis(0)));
            let Some(earlier) = before.last_mut() else {
                break;
            };
            let mut earlier = earlier.slice_mut(s![..rows, ..]);
            general_mat_mul(1.0, &derivatives, &layer.weight.t(), 0.0, &mut earlier);
            // What ReLU or dropout made 0 has no part; what dropout kept it scaled up.
            Zip::from(&mut earlier).and(&activations).for_each(|derivative, &activation| {
                *derivative *= if activation == 0.0 { 0.0 } else { kept };
            });
        }
    }
}

/// Sets a share of the first `rows` rows to 0 and scales the rest up, so that the mean stays.
fn drop_out(values: &mut Array2<f32>, rows: usize, share: f32, rng: &mut ChaCha8Rng) {
    if share == 0.0 {
        return;
    }
    let scale = 1.0 / (1.0 - share);
    values
        .slice_mut(s![..rows, ..])
        .mapv_inplace(|value| if rng.random::<f32>() < share { 0.0 } else { value * scale });
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const NO_DROPOUT: Dropout = Dropout { inputs: 0.0, hidden: 0.0 };

    fn rows(rng: &mut ChaCha8Rng) -> LabelledRows {
        let features = Array2::from_shape_simple_fn((9, 5), || rng.random::<f32>() * 2.0 - 1.0);
        LabelledRows { features, labels: (0..9).map(|_| rng.random()).collect() }
    }

    fn loss(network: &Network, rows: &LabelledRows) -> f64 {
        let logits = network.export().unwrap().logits(rows.features.view());
        let pairs = logits.iter().map(|&logit| f64::from(logit)).zip(rows.labels.iter().copied());
        pairs.map(|(logit, label)| if label { (-logit).exp() } else { logit.exp() }.ln_1p()).sum()
    }

    #[test]
    fn the_gradient_is_how_the_loss_changes_with_each_weight() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let all = rows(&mut rng);
        for hidden in [&[] as &[usize], &[4], &[6, 3]] {
            let network = Network::draw(5, hidden, 0.3, &mut rng);
            let mut workspace = Workspace::new(&network, 8);
            let asked = [0, 2, 3, 7, 8];
            let part = all.select(&asked);

            workspace.compute(&network, (&all, &asked), NO_DROPOUT, &mut rng);

            assert!((workspace.loss - loss(&network, &part)).abs() < 1e-5);
            for (place, (gradient, _)) in workspace.gradient.parts().enumerate() {
                for (position, &found) in gradient.iter().enumerate() {
                    let moved = |by: f32| {
                        let mut network = network.clone();
                        network.parts_mut().nth(place).unwrap()[position] += by;
                        loss(&network, &part)
                    };
                    let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                    assert!((f64::from(found) - expected).abs() < 2e-3, "{found} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn dropout_thins_out_and_keeps_the_mean() {
        let mut values = Array2::ones((200, 50));

        drop_out(&mut values, 100, 0.2, &mut ChaCha8Rng::seed_from_u64(1));

        let dropped = values.iter().filter(|&&value| value == 0.0).count();
        assert!((900..1_100).contains(&dropped), "{dropped} of the first 5,000");
        let kept = 1.0 / (1.0 - 0.2f32);
        assert!(values.slice(s![..100, ..]).iter().all(|&value| value == 0.0 || value == kept));
        assert!(values.slice(s![100.., ..]).iter().all(|&value| value == 1.0));
    }

    #[test]
    fn begins_at_the_base_rate() {
        let network = Network::draw(3, &[], 0.06, &mut ChaCha8Rng::seed_from_u64(1));

        let score = network.export().unwrap().score_rows(Array2::zeros((1, 3)).view())[0];

        assert!((score.get() - 0.06).abs() < 1e-6, "{score}");
    }
}
