//! The scorer by its plain formula: an MLP over `[h_user, h_product]` that ends in a sigmoid.
//!
//! Training's evaluation and the tests use this one; ranking uses [`crate::SplitScorer`], which must agree.

use ndarray::{Array2, ArrayView2};

use crate::{
    Calibration, Dense, Embedding, ModelError, Score,
    dense::{check_chain, relu},
};

/// Dense layers with ReLU between and a sigmoid after the last: 128 → 128 → 64 → 1 over two embeddings of 64.
/// With one layer it is the linear scorer `σ(W·x + b)`. What comes before the sigmoid is the logit, and a
/// [`Calibration`] may stand in the sigmoid's place.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpScorer {
    layers: Vec<Dense>,
    calibration: Calibration,
}

impl MlpScorer {
    /// Takes the layers, the first one over the whole input, the last one with one output.
    ///
    /// # Errors
    /// When there are no layers, they do not fit together, or the last has not exactly one output.
    pub fn new(layers: Vec<Dense>) -> Result<Self, ModelError> {
        let (Some(first), Some(last)) = (layers.first(), layers.last()) else {
            return Err(ModelError::Empty { what: "the scorer's list of layers".to_owned() });
        };
        if last.outputs() != 1 {
            let expected = [last.inputs(), 1];
            return Err(ModelError::shape("the scorer's last layer", &expected, last.weight.shape()));
        }
        check_chain("the scorer's layer", first.inputs(), &layers)?;
        Ok(Self { layers, calibration: Calibration::None })
    }

    /// The same layers with this calibration in place of theirs.
    pub fn with_calibration(self, calibration: Calibration) -> Self {
        Self { calibration, ..self }
    }

    /// Scores one pair.
    ///
    /// # Panics
    /// When the two embeddings together are not [`MlpScorer::inputs`] wide.
    pub fn score(&self, user: &Embedding, product: &Embedding) -> Score {
        let pair = [user.as_slice(), product.as_slice()].concat();
        let row = ArrayView2::from_shape((1, pair.len()), &pair).expect("one row of all components");
        self.score_rows(row)[0]
    }

    /// Scores `[n, inputs]`.
    ///
    /// # Panics
    /// When the rows have another width than [`MlpScorer::inputs`].
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference already")]
    pub fn score_rows(&self, rows: ArrayView2<'_, f32>) -> Vec<Score> {
        let logits = self.logits(rows);
        logits.into_iter().map(|logit| Score::calibrated(logit, &self.calibration)).collect()
    }

    /// The logits of `[n, inputs]`, which a calibration is fitted on.
    ///
    /// # Panics
    /// When the rows have another width than [`MlpScorer::inputs`].
    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference already")]
    pub fn logits(&self, rows: ArrayView2<'_, f32>) -> Vec<f32> {
        logits(self.layers[0].forward(&rows), &self.layers[1..])
    }

    /// How wide a row is: user and product embedding together.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// The layers, in order; there is at least one.
    pub fn layers(&self) -> &[Dense] {
        &self.layers
    }

    /// How its logits become probabilities.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }
}

/// From the first layer's sums `[n, h]` to logits: ReLU before each later layer.
pub(crate) fn logits(first_sums: Array2<f32>, later: &[Dense]) -> Vec<f32> {
    let mut sums = first_sums;
    for layer in later {
        relu(&mut sums);
        sums = layer.forward(&sums);
    }
    sums.column(0).to_vec()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, arr1, arr2};

    use super::*;

    fn embedding(values: &[f32]) -> Embedding {
        Embedding::new(values, values.len()).unwrap()
    }

    fn linear(weights: &[f32], bias: f32) -> MlpScorer {
        let weight = Array2::from_shape_vec((weights.len(), 1), weights.to_vec()).unwrap();
        MlpScorer::new(vec![Dense::new(weight, arr1(&[bias])).unwrap()]).unwrap()
    }

    #[test]
    fn the_articles_example_is_0_7047_by_its_own_formula() {
        let score = linear(&[0.5, 0.6], 0.7).score(&embedding(&[0.1]), &embedding(&[0.2]));

        assert!((score.get() - 0.7047).abs() < 5e-5, "{score}");
    }

    #[test]
    fn the_example_with_weights_for_the_whole_concatenation_is_0_7790() {
        let scorer = linear(&[0.5, 0.6, 0.5, 0.6], 0.7);

        let score = scorer.score(&embedding(&[0.1, 0.2]), &embedding(&[0.3, 0.4]));

        assert!((score.get() - 0.7790).abs() < 5e-5, "{score}");
    }

    #[test]
    fn a_hidden_layer_lets_nothing_negative_through() {
        let hidden = Dense::new(arr2(&[[1.0, -1.0], [0.0, 0.0]]), Array1::zeros(2)).unwrap();
        let output = Dense::new(arr2(&[[1.0], [1.0]]), Array1::zeros(1)).unwrap();
        let scorer = MlpScorer::new(vec![hidden, output]).unwrap();

        // relu(x) + relu(-x) = |x|
        let minus_two = scorer.score(&embedding(&[-2.0]), &embedding(&[0.0]));

        assert_eq!(minus_two, Score::from_logit(2.0));
    }

    #[test]
    fn refuses_layers_that_are_no_scorer() {
        let layer =
            |inputs, outputs| Dense::new(Array2::zeros((inputs, outputs)), Array1::zeros(outputs)).unwrap();

        let none = MlpScorer::new(Vec::new()).unwrap_err();
        let two_outputs = MlpScorer::new(vec![layer(4, 2)]).unwrap_err();
        let gap = MlpScorer::new(vec![layer(4, 3), layer(2, 1)]).unwrap_err();

        assert_eq!(none.to_string(), "the scorer's list of layers is empty");
        assert_eq!(two_outputs.to_string(), "the scorer's last layer has shape [4, 2], expected [4, 1]");
        assert_eq!(gap.to_string(), "the scorer's layer 1 has shape [2, 1], expected [3, 1]");
    }
}
