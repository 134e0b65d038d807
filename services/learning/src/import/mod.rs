//! Networks that were trained elsewhere, made the scorer of a model: ONNX and safetensors files.
//!
//! What is read is a chain of dense layers, and becomes a [`MlpScorer`], so that an imported scorer is split,
//! bundled and served as every other. What cannot be run faithfully is refused, naming the node or tensor.

mod error;
mod model;
mod onnx;
mod safetensors;

use std::{fs::File, io::Read, path::Path};

use finrank_model::{Calibration, MlpScorer};

pub use error::ImportError;
pub use model::{ImportConfig, ImportReport, import_model};
pub(crate) use safetensors::write_safetensors;

use crate::{LearningError, Result};

/// The longest file, in bytes: a scorer of 128-128-64-1 takes 100 kB.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// What a network's output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkOutput {
    /// A probability: an ONNX graph must end in a Sigmoid.
    #[default]
    Probability,
    /// The logit, whose sigmoid is the probability: an ONNX graph must not end in a Sigmoid.
    Logit,
}

/// Reads a scorer from an `.onnx` or `.safetensors` file of at most 16 MiB.
///
/// # Errors
/// [`LearningError::Read`], or [`LearningError::Import`] with what in the file is at fault.
pub fn read_scorer(path: &Path, output: NetworkOutput) -> Result<MlpScorer> {
    let at_fault = |source| LearningError::Import { path: path.to_owned(), source };
    let file = read_bounded(path)?;
    let (layers, calibration) = match path.extension().and_then(|extension| extension.to_str()) {
        Some("onnx") => {
            let network = onnx::read(&file).map_err(at_fault)?;
            check_output(&network, output).map_err(at_fault)?;
            (network.layers, Calibration::None)
        }
        Some("safetensors") => safetensors::read(&file).map_err(at_fault)?,
        _ => {
            let reason = "its name ends neither in .onnx nor in .safetensors".to_owned();
            return Err(at_fault(ImportError::Malformed(reason)));
        }
    };
    Ok(MlpScorer::new(layers)?.with_calibration(calibration))
}

fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let in_file = |source| LearningError::Read { path: path.to_owned(), source };
    let mut content = Vec::new();
    let file = File::open(path).map_err(in_file)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(in_file)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        let source = ImportError::TooLarge { what: "its length in bytes", at_most: MAX_FILE_BYTES as usize };
        return Err(LearningError::Import { path: path.to_owned(), source });
    }
    Ok(content)
}

fn check_output(network: &onnx::OnnxNetwork, output: NetworkOutput) -> Result<(), ImportError> {
    let reason = match (output, network.ends_in_sigmoid) {
        (NetworkOutput::Probability, false) => {
            "is the output, and no Sigmoid makes it a probability; if it is a logit, say so"
        }
        (NetworkOutput::Logit, true) => "is the output, and a Sigmoid has made it a probability, no logit",
        _ => return Ok(()),
    };
    Err(ImportError::tensor(&network.output, reason))
}
