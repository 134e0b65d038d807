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
            return Err(ModelError::shape("a layer's bias", &[weight.ncols()], &[bias.len()]));
        }
        if bias.is_empty() {
            return Err(ModelError::Empty { what: "a layer's output".to_owned() });
        }
        check_finite("a layer's weight", weight.iter())?;
        check_finite("a layer's bias", bias.iter())?;
        Ok(Self { weight: row_major(weight), bias })
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
    if matrix.is_standard_layout() { matrix } else { matrix.as_standard_layout().into_owned() }
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
            return Err(ModelError::shape(format!("{what} {index}"), &expected, layer.weight.shape()));
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
        Err(ModelError::NotFinite { what: what.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;

    #[test]
    fn multiplies_and_adds_the_bias() {
        let layer = Dense::new(arr2(&[[1.0, 2.0], [3.0, 4.0]]), arr1(&[0.5, -0.5])).unwrap();

        assert_eq!(layer.forward(&arr2(&[[1.0, 1.0], [2.0, 0.0]])), arr2(&[[4.5, 5.5], [2.5, 3.5]]));
    }

    #[test]
    fn without_inputs_gives_the_bias() {
        let layer = Dense::new(Array2::zeros((0, 1)), arr1(&[0.5])).unwrap();

        assert_eq!(layer.forward(&Array2::zeros((2, 0))), arr2(&[[0.5], [0.5]]));
    }

    #[test]
    fn a_transposed_weight_is_laid_out_row_by_row() {
        let weight = arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);

        let layer = Dense::new(weight.clone().reversed_axes(), arr1(&[0.0, 0.0])).unwrap();

        assert!(layer.weight.is_standard_layout());
        assert_eq!(layer.weight, weight.t());
    }

    #[test]
    fn refuses_a_bias_of_another_length_no_outputs_and_nan() {
        let bias = Dense::new(Array2::zeros((2, 3)), Array1::zeros(2)).unwrap_err();
        let outputs = Dense::new(Array2::zeros((2, 0)), Array1::zeros(0)).unwrap_err();
        let nan = Dense::new(arr2(&[[f32::NAN]]), arr1(&[0.0])).unwrap_err();

        assert_eq!(bias.to_string(), "a layer's bias has shape [2], expected [3]");
        assert_eq!(outputs.to_string(), "a layer's output is empty");
        assert_eq!(nan.to_string(), "a layer's weight holds a value that is not finite");
    }
}
