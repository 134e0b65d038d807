//! A tower: an MLP from an entity's features to its embedding, evaluated for many rows at once.

use ndarray::{Array2, ArrayView1};

use crate::{
    Dense, ModelError,
    dense::{check_chain, check_finite, relu, row_major},
};

/// The width of an embedding unless a trainer says otherwise.
pub const DIMENSION: usize = 64;

/// What a transform makes of entities and a tower reads: row `i` of both parts is entity `i`.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRows {
    /// `[n, width]`.
    pub dense: Array2<f32>,
    /// Per row, ids below the vocabulary's length: products held, or the product itself.
    pub sparse: Vec<Vec<u32>>,
}

/// The MLP of Covington et al. (2016) over dense features and the sum of learned vectors of sparse ids:
///
/// `h₀ = relu(dense · W + b + Σ sparse[id])`, then dense layers with ReLU between, the last one linear.
#[derive(Clone, Debug, PartialEq)]
pub struct Tower {
    input: Dense,
    sparse: Array2<f32>,
    hidden: Vec<Dense>,
}

impl Tower {
    /// Takes the first layer `[width, h]`, a vector per sparse id `[vocabulary, h]`, and the layers after the
    /// first ReLU, of which the last gives the embedding.
    ///
    /// # Errors
    /// When the shapes do not fit together, `hidden` is empty, or a weight is NaN or infinite.
    pub fn new(input: Dense, sparse: Array2<f32>, hidden: Vec<Dense>) -> Result<Self, ModelError> {
        if sparse.ncols() != input.outputs() {
            let expected = [sparse.nrows(), input.outputs()];
            return Err(ModelError::shape("a tower's sparse table", &expected, sparse.shape()));
        }
        if hidden.is_empty() {
            return Err(ModelError::Empty { what: "a tower's list of hidden layers".to_owned() });
        }
        check_finite("a tower's sparse table", sparse.iter())?;
        check_chain("a tower's hidden layer", input.outputs(), &hidden)?;
        let sparse = row_major(sparse);
        Ok(Self { input, sparse, hidden })
    }

    /// Encodes a batch: `[n, width]` and sparse ids to `[n, dimension]`.
    ///
    /// A row's result does not depend on the rows beside it, bit for bit on one machine: the matrix product
    /// sums over the inputs in one order whatever the batch. Another CPU may differ in the last bits.
    ///
    /// # Panics
    /// When the dense rows have another width than [`Tower::width`], there are not as many sparse rows, or an
    /// id is not below [`Tower::vocabulary_len`].
    pub fn encode(&self, rows: &FeatureRows) -> Array2<f32> {
        assert_eq!(rows.dense.nrows(), rows.sparse.len(), "dense and sparse rows are of the same entities");
        let mut activations = self.input.forward(&rows.dense);
        for (mut sums, ids) in activations.rows_mut().into_iter().zip(&rows.sparse) {
            for &id in ids {
                sums += &self.sparse_vector(id);
            }
        }
        for layer in &self.hidden {
            relu(&mut activations);
            activations = layer.forward(&activations);
        }
        activations
    }

    fn sparse_vector(&self, id: u32) -> ArrayView1<'_, f32> {
        self.sparse.row(id as usize)
    }

    /// How many dense features a row has.
    pub fn width(&self) -> usize {
        self.input.inputs()
    }

    /// How many sparse ids there are.
    pub fn vocabulary_len(&self) -> usize {
        self.sparse.nrows()
    }

    /// How many components an embedding has.
    pub fn dimension(&self) -> usize {
        self.hidden.last().map_or(self.input.outputs(), Dense::outputs)
    }

    /// The first layer, `[width, h]`.
    pub fn input(&self) -> &Dense {
        &self.input
    }

    /// A vector per sparse id, `[vocabulary, h]`.
    pub fn sparse(&self) -> &Array2<f32> {
        &self.sparse
    }

    /// The layers after the first ReLU; the last one gives the embedding.
    pub fn hidden(&self) -> &[Dense] {
        &self.hidden
    }
}
