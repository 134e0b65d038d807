//! Dense networks in safetensors files: one tensor `<name>N.weight` `[outputs, inputs]` and one `<name>N.bias`
//! `[outputs]` for each layer, in float32, ordered by N, with ReLU between and a sigmoid after the last.
//!
//! That is how PyTorch names and shapes an `nn.Sequential` of `Linear` and `ReLU`; numbers may be left out, and
//! so may a bias. The metadata's entry `calibration`, if there is one, is a [`Calibration`] as JSON.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use finrank_model::{Calibration, Dense, MlpScorer};
use ndarray::{Array1, Array2};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::ImportError;
use crate::{LearningError, Result};

/// The metadata's entry.
const CALIBRATION: &str = "calibration";

/// The tensors of one layer.
#[derive(Default)]
struct Parts<'a> {
    weight: Option<(String, TensorView<'a>)>,
    bias: Option<(String, TensorView<'a>)>,
}

/// Reads the layers and the calibration.
pub(super) fn read(file: &[u8]) -> Result<(Vec<Dense>, Calibration), ImportError> {
    let malformed =
        |error: &dyn std::fmt::Display| ImportError::Malformed(format!("it is no safetensors file: {error}"));
    let (_, header) = SafeTensors::read_metadata(file).map_err(|error| malformed(&error))?;
    let calibration = match header.metadata().as_ref().and_then(|entries| entries.get(CALIBRATION)) {
        None => Calibration::None,
        Some(json) => serde_json::from_str(json)
            .map_err(|error| ImportError::Malformed(format!("its calibration cannot be read: {error}")))?,
    };
    let tensors = SafeTensors::deserialize(file).map_err(|error| malformed(&error))?;
    let mut layers: BTreeMap<u32, Parts<'_>> = BTreeMap::new();
    let mut network: Option<String> = None;
    for (name, tensor) in tensors.tensors() {
        let (prefix, number, part) = split_name(&name).ok_or_else(|| {
            ImportError::tensor(&name, "is not named like layers.0.weight or layers.0.bias")
        })?;
        if *network.get_or_insert_with(|| prefix.to_owned()) != prefix {
            return Err(ImportError::tensor(&name, "is of a second network"));
        }
        let parts = layers.entry(number).or_default();
        let place = if part == "weight" { &mut parts.weight } else { &mut parts.bias };
        if place.replace((name.clone(), tensor)).is_some() {
            return Err(ImportError::tensor(&name, "is there twice, numbered in another way"));
        }
    }
    let network = network.unwrap_or_default();
    let layers = layers.into_iter().map(|(number, parts)| layer(&format!("{network}{number}"), parts));
    Ok((layers.collect::<Result<_, _>>()?, calibration))
}

/// Writes a scorer such that [`read`] gives it back.
pub(crate) fn write_safetensors(scorer: &MlpScorer, path: &Path) -> Result<()> {
    let invalid = |error: &dyn std::fmt::Display| LearningError::Import {
        path: path.to_owned(),
        source: ImportError::Malformed(format!("it cannot be written: {error}")),
    };
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (number, layer) in scorer.layers().iter().enumerate() {
        let weight = layer.weight.t();
        tensors.push((format!("layers.{number}.weight"), weight.shape().to_vec(), bytes(weight.iter())));
        tensors.push((format!("layers.{number}.bias"), vec![layer.outputs()], bytes(layer.bias.iter())));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views =
        views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>().map_err(|error| invalid(&error))?;
    let calibration = serde_json::to_string(scorer.calibration()).map_err(|error| invalid(&error))?;
    let metadata = HashMap::from([(CALIBRATION.to_owned(), calibration)]);
    let content = safetensors::serialize(views, Some(metadata)).map_err(|error| invalid(&error))?;
    fs::write(path, content).map_err(|source| LearningError::Write { path: path.to_owned(), source })
}

fn bytes<'a>(values: impl Iterator<Item = &'a f32>) -> Vec<u8> {
    values.flat_map(|value| value.to_le_bytes()).collect()
}

/// `layers.12.weight` as `layers.`, 12 and `weight`.
fn split_name(name: &str) -> Option<(&str, u32, &str)> {
    let (rest, part) = name.rsplit_once('.').filter(|(_, part)| matches!(*part, "weight" | "bias"))?;
    let digits = rest.len() - rest.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (prefix, number) = rest.split_at(rest.len() - digits);
    Some((prefix, number.parse().ok()?, part))
}

fn layer(layer: &str, parts: Parts<'_>) -> Result<Dense, ImportError> {
    let Some((name, weight)) = parts.weight else {
        return Err(ImportError::tensor(format!("{layer}.bias"), "has no weight beside it"));
    };
    let &[outputs, inputs] = weight.shape() else {
        let reason = format!("has the shape {:?}, not [outputs, inputs]", weight.shape());
        return Err(ImportError::tensor(name, reason));
    };
    let values = floats(&name, &weight)?;
    let matrix = Array2::from_shape_vec((outputs, inputs), values)
        .map_err(|error| ImportError::tensor(&name, error.to_string()))?;
    let bias = match parts.bias {
        None => Array1::zeros(outputs),
        Some((name, bias)) if bias.shape() == [outputs] => Array1::from_vec(floats(&name, &bias)?),
        Some((name, bias)) => {
            let reason = format!("has the shape {:?}, its layer has {outputs} outputs", bias.shape());
            return Err(ImportError::tensor(name, reason));
        }
    };
    Dense::new(matrix.reversed_axes(), bias).map_err(|error| ImportError::tensor(name, error.to_string()))
}

fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, ImportError> {
    if tensor.dtype() != Dtype::F32 {
        return Err(ImportError::tensor(name, format!("is of type {:?}, not float32", tensor.dtype())));
    }
    let (values, _) = tensor.data().as_chunks::<4>();
    Ok(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

#[cfg(test)]
mod tests {
    use finrank_model::Platt;
    use ndarray::{arr1, arr2};

    use super::*;

    fn file(tensors: &[(&str, &[usize], Dtype)]) -> Vec<u8> {
        let zeros = vec![0u8; 4_096];
        let views = tensors.iter().map(|&(name, shape, dtype)| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name, TensorView::new(dtype, shape.to_vec(), &zeros[..bytes]).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn a_scorer_comes_back_as_it_was_written() {
        let hidden = Dense::new(arr2(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), arr1(&[0.5, -0.5])).unwrap();
        let output = Dense::new(arr2(&[[0.25], [-1.0]]), arr1(&[0.125])).unwrap();
        let calibration = Calibration::Platt(Platt::new(0.1 + 0.2, -1.0).unwrap());
        let scorer = MlpScorer::new(vec![hidden, output]).unwrap().with_calibration(calibration);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scorer.safetensors");
        write_safetensors(&scorer, &path).unwrap();

        let (layers, calibration) = read(&fs::read(&path).unwrap()).unwrap();

        assert_eq!(MlpScorer::new(layers).unwrap().with_calibration(calibration), scorer);
    }

    #[test]
    fn layers_are_ordered_by_number_as_pytorch_names_them() {
        let names: Vec<String> = [0, 2, 10].iter().map(|number| format!("{number}.weight")).collect();
        let shapes: [&[usize]; 3] = [&[3, 4], &[2, 3], &[1, 2]];
        let tensors: Vec<_> =
            names.iter().zip(shapes).map(|(name, shape)| (name.as_str(), shape, Dtype::F32)).collect();

        let (layers, calibration) = read(&file(&tensors)).unwrap();

        let widths: Vec<usize> = layers.iter().map(Dense::inputs).collect();
        assert_eq!((widths, calibration), (vec![4, 3, 2], Calibration::None));
    }

    #[test]
    fn says_which_tensor_is_at_fault() {
        let error = |tensors: &[(&str, &[usize], Dtype)]| read(&file(tensors)).unwrap_err().to_string();

        let unknown = error(&[("layers.0.gamma", &[1], Dtype::F32)]);
        let second = error(&[("a.0.weight", &[1, 1], Dtype::F32), ("b.0.weight", &[1, 1], Dtype::F32)]);
        let vector = error(&[("a.0.weight", &[4], Dtype::F32)]);
        let bias = error(&[("a.0.weight", &[2, 4], Dtype::F32), ("a.0.bias", &[4], Dtype::F32)]);
        let lonely = error(&[("a.0.bias", &[4], Dtype::F32)]);
        let half = error(&[("a.0.weight", &[2, 4], Dtype::F16)]);

        assert_eq!(unknown, "tensor \"layers.0.gamma\" is not named like layers.0.weight or layers.0.bias");
        assert!(second.ends_with("is of a second network"), "{second}");
        assert_eq!(vector, "tensor \"a.0.weight\" has the shape [4], not [outputs, inputs]");
        assert_eq!(bias, "tensor \"a.0.bias\" has the shape [4], its layer has 2 outputs");
        assert_eq!(lonely, "tensor \"a.0.bias\" has no weight beside it");
        assert_eq!(half, "tensor \"a.0.weight\" is of type F16, not float32");
        assert!(read(b"nonsense").unwrap_err().to_string().contains("no safetensors file"));
    }
}
