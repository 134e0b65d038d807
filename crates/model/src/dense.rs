//! A fully connected layer over a batch of rows, the only arithmetic that towers and scorer are made of.

use ndarray::{Array1, Array2, ArrayRef2};

use crate::ModelError;

/// `rows · weight + bias`. Made by [`Dense::new`], so that the shapes fit and every weight is finite.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Dense {
    /// `[inputs, outputs]`, row-major.
    pub weight: Array2<f32>,
    /// `[outputs]`.
    pub bias: Array1<f32>,
}

impl Dense {
    /// Takes a weight `[inputs, outputs]` and a bias `[outputs]`. No inputs are allowed: a table may have no
    /// columns.
    ///
    /// # Errors
    /// When the shapes differ, there are no outputs, or a value is NaN or infinite.
    pub fn new(weight: Array2<f32>, bias: Array1<f32>) -> Result<Self, ModelError> {
        if weight.ncols() != bias.len() {
            return Err(ModelError::shape(
                "a layer's bias",
                &[weight.ncols()],
                &[bias.len()],
            ));
        }
        if bias.is_empty() {
            return Err(ModelError::Empty {
                what: "a layer's output".to_owned(),
            });
        }
        check_finite("a layer's weight", weight.iter())?;
        check_finite("a layer's bias", bias.iter())?;
        Ok(Self {
            weight: row_major(weight),
            bias,
        })
    }

    /// How many inputs a row has.
    pub fn inputs(&self) -> usize {
        self.weight.nrows()
    }

    /// How many outputs a row has.
    pub fn outputs(&self) -> usize {
        self.weight.ncols()
    }

    /// Maps `[n, inputs]` to `[n, outputs]`.
    ///
    /// # Panics
    /// When the rows have another width than [`Dense::inputs`].
    pub fn forward(&self, rows: &ArrayRef2<f32>) -> Array2<f32> {
        rows.dot(&self.weight) + &self.bias
    }
}

/// Trainers hand over transposed arrays; one layout in memory keeps every product on the same path, and so a
/// model that was read back computes bit for bit what the one that was written did.
pub(crate) fn row_major(matrix: Array2<f32>) -> Array2<f32> {
    if matrix.is_standard_layout() {
        matrix
    } else {
        matrix.as_standard_layout().into_owned()
    }
}

/// `max(0, x)` in place.
pub(crate) fn relu(rows: &mut Array2<f32>) {
    rows.mapv_inplace(|value| value.max(0.0));
}

/// Checks that each layer takes what the one before gives, the first one `inputs`.
pub(crate) fn check_chain(what: &str, inputs: usize, layers: &[Dense]) -> Result<(), ModelError> {
    let mut width = inputs;
    for (index, layer) in layers.iter().enumerate() {
        if layer.inputs() != width {
            let expected = [width, layer.outputs()];
            return Err(ModelError::shape(
                format!("{what} {index}"),
                &expected,
                layer.weight.shape(),
            ));
        }
        width = layer.outputs();
    }
    Ok(())
}

pub(crate) fn check_finite<'a>(
    what: &str,
    mut values: impl Iterator<Item = &'a f32>,
) -> Result<(), ModelError> {
    if values.all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(ModelError::NotFinite {
            what: what.to_owned(),
        })
    }
}
