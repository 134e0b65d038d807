//! Dense networks from ONNX files, as Keras (tf2onnx) and PyTorch export them.
//!
//! The graph is run once over what is known of its values: constants are computed, and of the input each node
//! adds to a [`chain`] of layers. A node that does anything else is refused by its name, so that whatever is
//! imported computes what the file says.

mod census;
mod chain;
mod graph;
mod operators;
mod proto;
mod tensor;

use finrank_model::Dense;
use prost::Message;

use super::ImportError;

/// The first version in which all operators mean what they mean here, and the last that was looked at.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

/// A network, and whether its output went through a sigmoid.
#[derive(Debug)]
pub(super) struct OnnxNetwork {
    /// ReLU between, nothing after the last.
    pub(super) layers: Vec<Dense>,
    pub(super) ends_in_sigmoid: bool,
    /// What the file calls its output.
    pub(super) output: String,
}

/// Reads a network of one input and one output.
pub(super) fn read(file: &[u8]) -> Result<OnnxNetwork, ImportError> {
    census::check(file)?;
    let malformed = |error| ImportError::Malformed(format!("it is no ONNX model: {error}"));
    let model = proto::Model::decode(file).map_err(malformed)?;
    check_opset(&model.opsets)?;
    let Some(graph) = model.graph else {
        return Err(ImportError::Malformed("it is no ONNX model: there is no graph".to_owned()));
    };
    let (output, computed) = graph::run(&graph)?;
    Ok(OnnxNetwork { layers: computed.layers, ends_in_sigmoid: computed.is_probability, output })
}

fn check_opset(opsets: &[proto::OperatorSet]) -> Result<(), ImportError> {
    let own = opsets.iter().find(|opset| is_own_domain(&opset.domain)).map(|opset| opset.version);
    match own {
        Some(version) if OPSETS.contains(&version) => Ok(()),
        Some(version) => Err(ImportError::Malformed(format!(
            "it uses version {version} of ONNX's operators; versions {} to {} are read",
            OPSETS.start(),
            OPSETS.end()
        ))),
        None => {
            Err(ImportError::Malformed("it does not say which version of ONNX's operators it uses".into()))
        }
    }
}

fn is_own_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}
