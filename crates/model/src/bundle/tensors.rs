//! Layers to named tensors and back. Whatever a file holds, only tensors of the names and shapes that are
//! asked for come out, and what is left over is refused.

use std::collections::BTreeMap;

use ndarray::{Array, ArrayRef, Dimension, IntoDimension};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{Dense, ModelError, Tower};

/// Tensors by name, on their way into a file.
#[derive(Default)]
pub(super) struct TensorWriter(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl TensorWriter {
    pub(super) fn tower(&mut self, name: &str, tower: &Tower) {
        self.dense(&format!("{name}.input"), tower.input());
        self.tensor(format!("{name}.sparse"), tower.sparse());
        self.layers(&format!("{name}.hidden"), tower.hidden());
    }

    pub(super) fn layers(&mut self, name: &str, layers: &[Dense]) {
        for (index, layer) in layers.iter().enumerate() {
            self.dense(&format!("{name}.{index}"), layer);
        }
    }

    fn dense(&mut self, name: &str, layer: &Dense) {
        self.tensor(format!("{name}.weight"), &layer.weight);
        self.tensor(format!("{name}.bias"), &layer.bias);
    }

    fn tensor<D: Dimension>(&mut self, name: String, values: &ArrayRef<f32, D>) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.0.insert(name, (values.shape().to_vec(), bytes));
    }

    /// The file's bytes; safetensors orders tensors by name, so the same tensors give the same bytes.
    pub(super) fn finish(self, file: &str) -> Result<Vec<u8>, ModelError> {
        let views = self.0.iter().map(|(name, (shape, bytes))| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes)?;
            Ok((name.as_str(), view))
        });
        views
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .and_then(|views| safetensors::serialize(views, None))
            .map_err(|error| ModelError::malformed(file, error))
    }
}

/// Tensors by name, as a file holds them.
pub(super) struct TensorReader<'a> {
    file: &'static str,
    tensors: BTreeMap<String, TensorView<'a>>,
}

impl<'a> TensorReader<'a> {
    pub(super) fn new(file: &'static str, bytes: &'a [u8]) -> Result<Self, ModelError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| ModelError::malformed(file, error))?;
        Ok(Self { file, tensors: tensors.tensors().into_iter().collect() })
    }

    /// A tower of the widths `[features, h, …, dimension]`.
    pub(super) fn tower(
        &mut self,
        name: &str,
        vocabulary: usize,
        widths: &[usize],
    ) -> Result<Tower, ModelError> {
        let [features, first, ..] = *widths else {
            return Err(ModelError::malformed(self.file, format!("the {name} tower has no layers")));
        };
        let input = self.dense(&format!("{name}.input"), features, first)?;
        let sparse = self.tensor(format!("{name}.sparse"), [vocabulary, first])?;
        let hidden = self.layers(&format!("{name}.hidden"), &widths[1..])?;
        Tower::new(input, sparse, hidden)
    }

    /// Layers from each width to the next.
    pub(super) fn layers(&mut self, name: &str, widths: &[usize]) -> Result<Vec<Dense>, ModelError> {
        let steps = widths.windows(2).enumerate();
        steps.map(|(index, step)| self.dense(&format!("{name}.{index}"), step[0], step[1])).collect()
    }

    fn dense(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Dense, ModelError> {
        let weight = self.tensor(format!("{name}.weight"), [inputs, outputs])?;
        let bias = self.tensor(format!("{name}.bias"), [outputs])?;
        Dense::new(weight, bias)
    }

    fn tensor<S: IntoDimension>(&mut self, name: String, shape: S) -> Result<Array<f32, S::Dim>, ModelError> {
        let shape = shape.into_dimension();
        let Some(tensor) = self.tensors.remove(&name) else {
            return Err(ModelError::malformed(self.file, format!("there is no tensor {name}")));
        };
        if tensor.dtype() != Dtype::F32 {
            return Err(ModelError::malformed(self.file, format!("{name} is of type {:?}", tensor.dtype())));
        }
        if tensor.shape() != shape.slice() {
            return Err(ModelError::shape(name, shape.slice(), tensor.shape()));
        }
        let (components, _) = tensor.data().as_chunks::<4>();
        let values: Vec<f32> = components.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite { what: format!("{}: {name}", self.file) });
        }
        Array::from_shape_vec(shape, values).map_err(|error| ModelError::malformed(self.file, error))
    }

    /// Ends the reading.
    pub(super) fn finish(self) -> Result<(), ModelError> {
        match self.tensors.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(ModelError::malformed(self.file, format!("{name} is not part of the model"))),
        }
    }
}
