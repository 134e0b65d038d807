//! Constants of a graph: numbers with a shape.

use super::{super::ImportError, proto};

/// ONNX's numbers for the element types that are read.
pub(super) const FLOAT: i32 = 1;
const INT32: i32 = 6;
pub(super) const INT64: i32 = 7;

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Row-major, as many as the shape says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

impl Constant {
    /// A vector of whole numbers.
    pub(super) fn ints(values: Vec<i64>) -> Self {
        Self { shape: vec![values.len()], values: Values::Ints(values) }
    }

    /// Checks and takes a tensor.
    pub(super) fn read(tensor: &proto::Tensor) -> Result<Self, ImportError> {
        let refuse = |reason: String| ImportError::tensor(&tensor.name, reason);
        if tensor.data_location != 0 {
            return Err(refuse("lies in another file; save the model with its data inside".to_owned()));
        }
        let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        let shape = shape.ok_or_else(|| refuse(format!("has the shape {:?}", tensor.dims)))?;
        let count = shape.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
        let values = match tensor.data_type {
            FLOAT => Values::Floats(stored(tensor, &tensor.float_data, f32::from_le_bytes)),
            INT32 => {
                let ints = stored(tensor, &tensor.int32_data, i32::from_le_bytes);
                Values::Ints(ints.into_iter().map(i64::from).collect())
            }
            INT64 => Values::Ints(stored(tensor, &tensor.int64_data, i64::from_le_bytes)),
            other => {
                return Err(refuse(format!(
                    "is of ONNX's element type {other}; only float32 (1), int32 (6) and int64 (7) are read"
                )));
            }
        };
        if count != Some(values.len()) {
            return Err(refuse(format!("holds {} values, its shape is {shape:?}", values.len())));
        }
        if matches!(&values, Values::Floats(floats) if !floats.iter().all(|value| value.is_finite())) {
            return Err(refuse("holds a value that is not finite".to_owned()));
        }
        Ok(Self { shape, values })
    }

    /// The same values in another order of dimensions.
    pub(super) fn transpose(&self, order: &[usize]) -> Option<Self> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.shape.len()) {
            return None;
        }
        let shape: Vec<usize> = order.iter().map(|&dim| self.shape[dim]).collect();
        let mut strides = vec![1; self.shape.len()];
        for dim in (1..self.shape.len()).rev() {
            strides[dim - 1] = strides[dim] * self.shape[dim];
        }
        let source = |mut position: usize| {
            let mut from = 0;
            for (&dim, &length) in order.iter().zip(&shape).rev() {
                from += position % length * strides[dim];
                position /= length;
            }
            from
        };
        let values = match &self.values {
            Values::Floats(values) => {
                Values::Floats((0..values.len()).map(|at| values[source(at)]).collect())
            }
            Values::Ints(values) => Values::Ints((0..values.len()).map(|at| values[source(at)]).collect()),
        };
        Some(Self { shape, values })
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Ints(values) => values.len(),
        }
    }
}

/// The raw bytes' values, or the typed field's.
fn stored<T: Copy, const N: usize>(tensor: &proto::Tensor, typed: &[T], read: fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, rest) = tensor.raw_data.as_chunks::<N>();
    // Bytes that are no whole number of values make the count wrong, which is then refused.
    match (chunks, rest) {
        ([], []) => typed.to_vec(),
        (_, []) => chunks.iter().map(|&bytes| read(bytes)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(dims: &[i64], data_type: i32) -> proto::Tensor {
        proto::Tensor { name: "w".to_owned(), dims: dims.to_vec(), data_type, ..Default::default() }
    }

    #[test]
    fn raw_bytes_and_typed_fields_are_the_same_values() {
        let raw = proto::Tensor {
            raw_data: [1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..tensor(&[2], FLOAT)
        };
        let typed = proto::Tensor { float_data: vec![1.5, -2.0], ..tensor(&[2], FLOAT) };

        assert_eq!(Constant::read(&raw).unwrap(), Constant::read(&typed).unwrap());
    }

    #[test]
    fn says_what_is_wrong_with_a_tensor() {
        let error = |tensor: proto::Tensor| Constant::read(&tensor).unwrap_err().to_string();

        let external = error(proto::Tensor { data_location: 1, ..tensor(&[1 << 40], FLOAT) });
        let too_few = error(proto::Tensor { float_data: vec![1.0], ..tensor(&[2, 3], FLOAT) });
        let overflowing = error(tensor(&[1 << 62, 1 << 62], FLOAT));
        let negative = error(tensor(&[-1], FLOAT));
        let half = error(tensor(&[1], 10));
        let nan = error(proto::Tensor { float_data: vec![f32::NAN], ..tensor(&[1], FLOAT) });

        assert_eq!(external, "tensor \"w\" lies in another file; save the model with its data inside");
        assert_eq!(too_few, "tensor \"w\" holds 1 values, its shape is [2, 3]");
        assert!(overflowing.contains("holds 0 values"), "{overflowing}");
        assert_eq!(negative, "tensor \"w\" has the shape [-1]");
        assert!(half.contains("element type 10"), "{half}");
        assert!(nan.contains("not finite"), "{nan}");
    }

    #[test]
    fn a_transposed_matrix_has_its_columns_as_rows() {
        let matrix = Constant { shape: vec![2, 3], values: Values::Ints(vec![1, 2, 3, 4, 5, 6]) };

        let transposed = matrix.transpose(&[1, 0]).unwrap();

        assert_eq!(transposed, Constant { shape: vec![3, 2], values: Values::Ints(vec![1, 4, 2, 5, 3, 6]) });
        assert_eq!(matrix.transpose(&[0, 0]), None);
    }
}
