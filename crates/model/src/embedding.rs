//! A vector that a tower computed: finite and of the model's dimension, by construction.

use thiserror::Error;

/// A finite vector of a known dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Box<[f32]>);

/// Why a vector is not an embedding.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidEmbedding {
    /// It has another number of components than the model's dimension.
    #[error("has {found} components, the model's dimension is {expected}")]
    Dimension {
        /// The model's dimension.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A component is NaN or infinite.
    #[error("component {index} is not finite")]
    NotFinite {
        /// The first such component, from 0.
        index: usize,
    },
}

impl Embedding {
    /// Takes a vector of `dimension` finite components.
    ///
    /// # Errors
    /// [`InvalidEmbedding`] when the length differs or a component is NaN or infinite.
    pub fn new(values: impl Into<Box<[f32]>>, dimension: usize) -> Result<Self, InvalidEmbedding> {
        let values = values.into();
        if values.len() != dimension {
            return Err(InvalidEmbedding::Dimension { expected: dimension, found: values.len() });
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(InvalidEmbedding::NotFinite { index }),
            None => Ok(Self(values)),
        }
    }

    /// Reads the stored form: `4 * dimension` bytes of little-endian f32.
    ///
    /// # Errors
    /// As [`Embedding::new`]; bytes that are no whole number of components count as a wrong dimension.
    pub fn from_le_bytes(bytes: &[u8], dimension: usize) -> Result<Self, InvalidEmbedding> {
        let (components, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(InvalidEmbedding::Dimension { expected: dimension, found: components.len() });
        }
        let values: Vec<f32> = components.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Self::new(values, dimension)
    }

    /// The stored form: little-endian f32.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// The components.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The Euclidean norm; in f64, where the squares of f32 cannot overflow.
    pub fn norm(&self) -> f64 {
        let squares = self.0.iter().map(|&value| f64::from(value).powi(2));
        squares.sum::<f64>().sqrt()
    }

    /// How many components there are.
    pub fn dimension(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn comes_back_from_its_stored_form_bit_for_bit(values in prop::collection::vec(-1e30f32..1e30, 1..200)) {
            let embedding = Embedding::new(values.clone(), values.len()).unwrap();

            let back = Embedding::from_le_bytes(&embedding.to_le_bytes(), values.len()).unwrap();

            prop_assert_eq!(back, embedding);
        }
    }

    #[test]
    fn refuses_nan_and_names_the_component() {
        let error = Embedding::new(vec![0.0, f32::NAN], 2).unwrap_err();

        assert_eq!(error, InvalidEmbedding::NotFinite { index: 1 });
    }

    #[test]
    fn refuses_another_dimension() {
        let error = Embedding::new(vec![0.0; 3], 64).unwrap_err();

        assert_eq!(error, InvalidEmbedding::Dimension { expected: 64, found: 3 });
        assert!(Embedding::from_le_bytes(&[0; 7], 2).is_err());
    }
}
