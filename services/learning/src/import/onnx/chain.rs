//! What a graph has computed of its input so far: dense layers with ReLU after each, then what is linear, then
//! perhaps the sigmoid. Neighbouring linear steps become one layer.

use finrank_model::Dense;
use ndarray::{Array1, Array2, Axis};

/// The widest value that is multiplied number by number, which takes a square matrix.
const MAX_DIAGONAL: usize = 4_096;

/// A value that is computed of each row of the input by itself.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// The dimensions of a row: one, unless the input has more and is yet to be flattened. Zero stands for a width
    /// that the file leaves open, which the first layer then tells.
    pub(super) row: Vec<usize>,
    /// Each followed by ReLU.
    hidden: Vec<Dense>,
    /// What follows the last ReLU, if anything does.
    linear: Option<(Array2<f32>, Array1<f32>)>,
    /// Whether a sigmoid follows, which must then be the last.
    pub(super) is_probability: bool,
    /// Whether rows of one number have been made one vector, which no layer reads as rows.
    pub(super) is_vector: bool,
}

/// A chain, done.
#[derive(Debug)]
pub(super) struct Computed {
    /// ReLU between, nothing after the last.
    pub(super) layers: Vec<Dense>,
    pub(super) is_probability: bool,
}

impl Chain {
    /// The input itself.
    pub(super) fn input(row: Vec<usize>) -> Self {
        Self { row, hidden: Vec::new(), linear: None, is_probability: false, is_vector: false }
    }

    /// The same numbers in rows of another shape.
    pub(super) fn reshaped(self, row: Vec<usize>, is_vector: bool) -> Self {
        Self { row, is_vector, ..self }
    }

    /// How many numbers a row has, if it has one dimension.
    pub(super) fn width(&self) -> Result<usize, String> {
        match *self.row {
            [width] => Ok(width),
            _ => Err(format!("reads rows of the shape {:?}, which must be flattened first", self.row)),
        }
    }

    /// `rows · weight + bias`.
    pub(super) fn multiply(mut self, weight: Array2<f32>, bias: Array1<f32>) -> Result<Self, String> {
        self.check_before_sigmoid()?;
        if self.is_vector {
            return Err("multiplies a vector of all rows' numbers".to_owned());
        }
        let width = self.width()?;
        if width != weight.nrows() && width != 0 {
            return Err(format!("multiplies {width} numbers by a weight of the shape {:?}", weight.shape()));
        }
        self.row = vec![weight.ncols()];
        self.linear = Some(match self.linear.take() {
            None => (weight, bias),
            Some((first, first_bias)) => (first.dot(&weight), first_bias.dot(&weight) + bias),
        });
        Ok(self)
    }

    /// `rows * factor + term`, number by number; either may be one number for all.
    pub(super) fn scale_and_add(mut self, factor: &[f32], term: &[f32]) -> Result<Self, String> {
        self.check_before_sigmoid()?;
        let width = match self.width()? {
            0 => factor.len().max(term.len()),
            width => width,
        };
        let [factor, term] = [factor, term].map(|values| match values {
            [one] => Some(Array1::from_elem(width, *one)),
            many if many.len() == width => Some(Array1::from_vec(many.to_vec())),
            _ => None,
        });
        let (Some(factor), Some(term)) = (factor, term) else {
            return Err(format!("combines {width} numbers with a constant of another length"));
        };
        let (mut weight, bias) = match self.linear.take() {
            Some(linear) => linear,
            None if width <= MAX_DIAGONAL => (Array2::eye(width), Array1::zeros(width)),
            None => return Err(format!("scales {width} numbers, more than {MAX_DIAGONAL}")),
        };
        weight *= &factor.view().insert_axis(Axis(0));
        self.linear = Some((weight, bias * &factor + term));
        self.row = vec![width];
        Ok(self)
    }

    /// `max(0, rows)`.
    pub(super) fn relu(mut self) -> Result<Self, String> {
        self.check_before_sigmoid()?;
        // What is rectified twice is rectified.
        if let Some(layer) = self.take_linear(self.hidden.is_empty())? {
            self.hidden.push(layer);
        }
        Ok(self)
    }

    /// `σ(rows)`.
    pub(super) fn sigmoid(mut self) -> Result<Self, String> {
        self.check_before_sigmoid()?;
        self.is_probability = true;
        Ok(self)
    }

    /// The layers of a network with one output.
    pub(super) fn finish(mut self) -> Result<Computed, String> {
        match self.width()? {
            1 => {}
            0 => return Err("is the input itself".to_owned()),
            outputs => return Err(format!("has {outputs} numbers a row, a scorer gives one")),
        }
        let last = self.take_linear(true)?;
        let layers = self.hidden.into_iter().chain(last).collect();
        Ok(Computed { layers, is_probability: self.is_probability })
    }

    /// The linear part as a layer; where there is none, the one that changes nothing, if `needed`.
    fn take_linear(&mut self, needed: bool) -> Result<Option<Dense>, String> {
        let width = self.width()?;
        let (weight, bias) = match self.linear.take() {
            Some(linear) => linear,
            None if !needed => return Ok(None),
            None if (1..=MAX_DIAGONAL).contains(&width) => (Array2::eye(width), Array1::zeros(width)),
            None => return Err(format!("rectifies the input, whose width is {width}")),
        };
        Dense::new(weight, bias).map(Some).map_err(|error| error.to_string())
    }

    fn check_before_sigmoid(&self) -> Result<(), String> {
        if self.is_probability {
            return Err("computes with what a Sigmoid gave; a scorer has one Sigmoid, the last".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;

    fn weight(inputs: usize, outputs: usize) -> (Array2<f32>, Array1<f32>) {
        (Array2::ones((inputs, outputs)), Array1::zeros(outputs))
    }

    #[test]
    fn neighbouring_linear_steps_become_one_layer() {
        let (first, bias) = (arr2(&[[1.0, 2.0], [3.0, 4.0]]), arr1(&[1.0, -1.0]));

        let chain = Chain::input(vec![2]).multiply(first, bias).unwrap();
        let chain = chain.scale_and_add(&[2.0, 0.5], &[1.0]).unwrap();
        let chain = chain.multiply(arr2(&[[1.0], [10.0]]), arr1(&[0.0])).unwrap();
        let layers = chain.finish().unwrap().layers;

        // ((x·W + b) * (2, ½) + 1) · (1, 10)
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].weight, arr2(&[[12.0], [26.0]]));
        assert_eq!(layers[0].bias, arr1(&[3.0 + 5.0]));
    }

    #[test]
    fn what_stands_after_the_last_relu_may_be_nothing() {
        let (first, bias) = weight(2, 1);

        let chain = Chain::input(vec![2]).multiply(first, bias).unwrap().relu().unwrap().relu().unwrap();
        let computed = chain.sigmoid().unwrap().finish().unwrap();

        assert!(computed.is_probability);
        assert_eq!(computed.layers.len(), 2, "the second lets everything pass");
        assert_eq!(computed.layers[1].weight, arr2(&[[1.0]]));
    }

    #[test]
    fn widths_that_do_not_fit_and_what_follows_a_sigmoid_are_refused() {
        let (first, bias) = weight(2, 3);
        let chain = Chain::input(vec![2]).multiply(first, bias).unwrap();

        let (narrow, none) = weight(2, 1);
        let gap = chain.clone().multiply(narrow, none).unwrap_err();
        let outputs = chain.clone().finish().unwrap_err();
        let after = chain.sigmoid().unwrap().relu().unwrap_err();

        assert_eq!(gap, "multiplies 3 numbers by a weight of the shape [2, 1]");
        assert_eq!(outputs, "has 3 numbers a row, a scorer gives one");
        assert!(after.contains("one Sigmoid, the last"), "{after}");
    }
}
