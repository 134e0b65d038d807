//! The scorer by its plain formula: an MLP over `[h_user, h_product]` that ends in a sigmoid.
//!
//! Training's evaluation and the tests use this one; ranking uses [`crate::SplitScorer`], which must agree.

use ndarray::{Array2, ArrayView2};

use crate::{
    Dense, Embedding, ModelError, Score,
    dense::{check_chain, relu},
};

/// Dense layers with ReLU between and a sigmoid after the last: 128 → 128 → 64 → 1 over two embeddings of 64.
/// With one layer it is the linear scorer `σ(W·x + b)`.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpScorer {
    layers: Vec<Dense>,
}

impl MlpScorer {
    /// Takes the layers, the first one over the whole input, the last one with one output.
    ///
    /// # Errors
    /// When there are no layers, they do not fit together, or the last has not exactly one output.
    pub fn new(layers: Vec<Dense>) -> Result<Self, ModelError> {
        let (Some(first), Some(last)) = (layers.first(), layers.last()) else {
            return Err(ModelError::Empty {
                what: "the scorer's list of layers".to_owned(),
            });
        };
        if last.outputs() != 1 {
            let expected = [last.inputs(), 1];
            return Err(ModelError::shape(
                "the scorer's last layer",
                &expected,
                last.weight.shape(),
            ));
        }
        check_chain("the scorer's layer", first.inputs(), &layers)?;
        Ok(Self { layers })
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
        scores(self.layers[0].forward(&rows), &self.layers[1..])
    }

    /// How wide a row is: user and product embedding together.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// The layers, in order; there is at least one.
    pub fn layers(&self) -> &[Dense] {
        &self.layers
    }
}

/// From the first layer's sums `[n, h]` to scores: ReLU before each later layer, the sigmoid after the last.
pub(crate) fn scores(first_sums: Array2<f32>, later: &[Dense]) -> Vec<Score> {
    let mut sums = first_sums;
    for layer in later {
        relu(&mut sums);
        sums = layer.forward(&sums);
    }
    sums.column(0)
        .iter()
        .map(|&logit| Score::from_logit(logit))
        .collect()
}
