//! A checkpoint as a file: tensors by name in the safetensors format, and all else as JSON among its metadata.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{Best, Identity, State};

/// The layout of the file.
const FORMAT_VERSION: u32 = 1;
/// Under which the header stands among the file's metadata.
const HEADER: &str = "finrank.training";
/// What is imagined of nobody.
const NOTHING: u32 = u32::MAX;
/// What is kept of each weight, in the order of [`State::weights`].
const PARTS: [&str; 4] = ["weight", "average", "first_moment", "second_moment"];

#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    #[serde(flatten)]
    identity: Identity,
    epoch: usize,
    steps: usize,
    rng_seed: [u8; 32],
    rng_stream: u64,
    /// As text: JSON's numbers are too short for it.
    rng_word: String,
    validation_seed: u64,
    best: Option<BestHeader>,
}

#[derive(Serialize, Deserialize)]
struct BestHeader {
    epoch: usize,
    /// The loss, bit for bit.
    loss_bits: u64,
}

/// The bytes of a file.
pub(super) fn serialise(identity: &Identity, state: &State) -> Result<Vec<u8>, String> {
    let header = Header {
        format_version: FORMAT_VERSION,
        identity: identity.clone(),
        epoch: state.epoch,
        steps: state.steps,
        rng_seed: state.rng.get_seed(),
        rng_stream: state.rng.get_stream(),
        rng_word: state.rng.get_word_pos().to_string(),
        validation_seed: state.validation_seed,
        best: state
            .best
            .as_ref()
            .map(|best| BestHeader { epoch: best.epoch, loss_bits: best.loss.to_bits() }),
    };
    let header = serde_json::to_string(&header).map_err(|error| error.to_string())?;
    let mut tensors = BTreeMap::new();
    for (place, parts) in state.weights.iter().enumerate() {
        for (part, tensor) in PARTS.iter().zip(parts) {
            tensors.insert(format!("{part}.{place}"), bytes_of(tensor)?);
        }
    }
    for (place, tensor) in state.best.iter().flat_map(|best| &best.weights).enumerate() {
        tensors.insert(format!("best.{place}"), bytes_of(tensor)?);
    }
    let imagined = state.imagined.iter().flat_map(|product| product.unwrap_or(NOTHING).to_le_bytes());
    let imagined = (safetensors::Dtype::U32, vec![state.imagined.len()], imagined.collect());
    tensors.insert("imagined".to_owned(), imagined);
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let metadata = HashMap::from([(HEADER.to_owned(), header)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// A tensor's type, shape and values.
pub(super) type Bytes = (safetensors::Dtype, Vec<usize>, Vec<u8>);

pub(super) fn bytes_of(tensor: &Tensor) -> Result<Bytes, String> {
    let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
    let values = values.map_err(|error| error.to_string())?;
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok((safetensors::Dtype::F32, tensor.dims().to_vec(), bytes))
}

/// What a file holds, or why it is none.
pub(super) fn parse(bytes: &[u8]) -> Result<(Identity, State), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| said(&error))?;
    let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(HEADER));
    let header = header.ok_or("it is no checkpoint of a training")?;
    let header: Header = serde_json::from_str(header).map_err(|error| said(&error))?;
    if header.format_version != FORMAT_VERSION {
        let found = header.format_version;
        return Err(format!("it has format version {found}, this program reads {FORMAT_VERSION}"));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| said(&error))?;
    let numbered = |part: &str| {
        let found = (0..).map_while(|place| file.tensor(&format!("{part}.{place}")).ok());
        found.map(|view| tensor_of(&view)).collect::<Result<Vec<_>, String>>()
    };
    let [weights, averages, first, second] =
        [numbered(PARTS[0])?, numbered(PARTS[1])?, numbered(PARTS[2])?, numbered(PARTS[3])?];
    if [averages.len(), first.len(), second.len()] != [weights.len(); 3] {
        return Err("it lacks a part of a weight".to_owned());
    }
    let best = numbered("best")?;
    let imagined = file.tensor("imagined").map_err(|error| said(&error))?;
    let (imagined, _) = imagined.data().as_chunks::<4>();
    let mut rng = ChaCha8Rng::from_seed(header.rng_seed);
    rng.set_stream(header.rng_stream);
    rng.set_word_pos(header.rng_word.parse().map_err(|error| said(&error))?);
    let parts = weights.into_iter().zip(averages).zip(first.into_iter().zip(second));
    let state = State {
        epoch: header.epoch,
        steps: header.steps,
        rng,
        validation_seed: header.validation_seed,
        imagined: imagined
            .iter()
            .map(|bytes| Some(u32::from_le_bytes(*bytes)).filter(|&product| product != NOTHING))
            .collect(),
        weights: parts.map(|((weight, average), (first, second))| [weight, average, first, second]).collect(),
        best: header.best.map(|kept| Best {
            epoch: kept.epoch,
            loss: f64::from_bits(kept.loss_bits),
            weights: best,
        }),
    };
    Ok((header.identity, state))
}

fn tensor_of(view: &TensorView<'_>) -> Result<Tensor, String> {
    if view.dtype() != safetensors::Dtype::F32 {
        return Err(format!("a weight is of type {:?}", view.dtype()));
    }
    Tensor::from_raw_buffer(view.data(), DType::F32, view.shape(), &Device::Cpu)
        .map_err(|error| error.to_string())
}
