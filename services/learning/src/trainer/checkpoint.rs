//! What a training needs to go on after it was killed, in one file: weights, averages, Adam's moments, the best weights so
//! far, what is imagined, and where the random numbers are. It is written anew after each epoch and moved into place, so
//! that a kill at any point leaves the last one whole.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use chrono::{DateTime, Utc};
use finrank_model::{ModelVersion, Sha256Digest};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stopping::Best;
use crate::{CheckpointConfig, LearningError, Result, dataset::ProductIndex};

/// The layout of the file.
const FORMAT_VERSION: u32 = 1;
/// Under which the header stands among the file's metadata.
const HEADER: &str = "finrank.training";
/// What is imagined of nobody.
const NOTHING: u32 = u32::MAX;

/// Which training it is: another one does not go on from its checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) model_version: ModelVersion,
    pub(crate) created_at: DateTime<Utc>,
    /// Everything that is read.
    pub(crate) data_sha256: Sha256Digest,
    /// Everything that decides what becomes of it.
    pub(crate) settings: Value,
}

/// What of a training's identity somebody asked for; the rest is made up when it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) version: bool,
    pub(crate) time: bool,
}

/// Keeps the checkpoint of one training.
pub(crate) struct Checkpoints {
    file: PathBuf,
    identity: Identity,
    found: Option<State>,
}

/// A training after an epoch.
pub(super) struct State {
    pub(super) epoch: usize,
    pub(super) steps: usize,
    pub(super) rng: ChaCha8Rng,
    pub(super) validation_seed: u64,
    pub(super) imagined: Vec<Option<ProductIndex>>,
    /// Each weight, its average and its moments.
    pub(super) weights: Vec<[Tensor; 4]>,
    pub(super) best: Option<Best<Vec<Tensor>>>,
}

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

impl Checkpoints {
    /// Keeps the checkpoint of a training in a file. To go on, the file must be of the same data and settings; then the
    /// training is the one that it is of, by version and time, as far as these were not asked for.
    ///
    /// # Errors
    /// When there is nothing to go on from, or it is of another training: what differs is named.
    pub(crate) fn open(config: &CheckpointConfig, identity: Identity, asked: Asked) -> Result<Self> {
        let file = config.file.clone();
        if !config.resume {
            return Ok(Self { file, identity, found: None });
        }
        let bytes =
            fs::read(&file).map_err(|source| LearningError::NoCheckpoint { path: file.clone(), source })?;
        let (kept, state) = parse(&bytes).map_err(|reason| damaged(&file, reason))?;
        let identity = Identity {
            model_version: if asked.version { identity.model_version } else { kept.model_version.clone() },
            created_at: if asked.time { identity.created_at } else { kept.created_at },
            ..identity
        };
        let differences = kept.differences(&identity);
        if differences.is_empty() {
            Ok(Self { file, identity, found: Some(state) })
        } else {
            Err(LearningError::AnotherTraining { path: file, differences })
        }
    }

    /// Which training it is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where to go on from, once.
    pub(super) fn take_found(&mut self) -> Option<State> {
        self.found.take()
    }

    /// Writes the state in place of the one before.
    pub(super) fn keep(&self, state: &State) -> Result<()> {
        let bytes = serialise(&self.identity, state).map_err(|reason| damaged(&self.file, reason))?;
        write_in_place(&self.file, &bytes)
            .map_err(|source| LearningError::Checkpoint { path: self.file.clone(), source })
    }

    /// Removes it, once the model is registered and nothing is left to go on with.
    pub(crate) fn remove(self) {
        // One that stays is of no harm: the next training writes over it.
        let _ = fs::remove_file(self.file);
    }
}

fn damaged(path: &Path, reason: String) -> LearningError {
    LearningError::DamagedCheckpoint { path: path.to_owned(), reason }
}

fn write_in_place(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    // Beside its place, since only a rename within one file system is atomic.
    let mut aside = tempfile::Builder::new().prefix(".checkpoint-").tempfile_in(parent)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    aside.persist(file)?;
    File::open(parent)?.sync_all()
}

impl Identity {
    /// What tells this training from another, in words.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut told = Vec::new();
        let mut tell = |what: &str, was: &dyn std::fmt::Display, is: &dyn std::fmt::Display| {
            told.push(format!("{what} is {is}, was {was}"));
        };
        if self.model_version != other.model_version {
            tell("model_version", &self.model_version, &other.model_version);
        }
        if self.created_at != other.created_at {
            tell("trained_at", &self.created_at.to_rfc3339(), &other.created_at.to_rfc3339());
        }
        settings_differences("", &self.settings, &other.settings, &mut told);
        if self.data_sha256 != other.data_sha256 {
            told.push("the data have changed since".to_owned());
        }
        told
    }
}

/// Settings by their paths, `learning.steps`.
fn settings_differences(path: &str, was: &Value, is: &Value, told: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (was, is) else {
        if was != is {
            told.push(format!("{path} is {is}, was {was}"));
        }
        return;
    };
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let of = |settings: &serde_json::Map<String, Value>| settings.get(name).cloned().unwrap_or_default();
        settings_differences(&path, &of(old), &of(new), told);
    }
}

fn serialise(identity: &Identity, state: &State) -> Result<Vec<u8>, String> {
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

/// What is kept of each weight, in the order of [`State::weights`].
const PARTS: [&str; 4] = ["weight", "average", "first_moment", "second_moment"];

type Bytes = (safetensors::Dtype, Vec<usize>, Vec<u8>);

fn bytes_of(tensor: &Tensor) -> Result<Bytes, String> {
    let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
    let values = values.map_err(|error| error.to_string())?;
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok((safetensors::Dtype::F32, tensor.dims().to_vec(), bytes))
}

fn parse(bytes: &[u8]) -> Result<(Identity, State), String> {
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

#[cfg(test)]
mod tests {
    use rand::Rng;
    use serde_json::json;

    use super::*;

    fn identity(settings: Value) -> Identity {
        Identity {
            model_version: ModelVersion::parse("m").unwrap(),
            created_at: DateTime::UNIX_EPOCH,
            data_sha256: Sha256Digest::of(b"data"),
            settings,
        }
    }

    fn state() -> State {
        let tensor =
            |value: f32| Tensor::new(&[[value, -0.0], [f32::MIN_POSITIVE, 1.0 / 3.0]], &Device::Cpu).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        rng.set_stream(9);
        rng.next_u32();
        State {
            epoch: 3,
            steps: 12,
            rng,
            validation_seed: u64::MAX,
            imagined: vec![Some(0), None, Some(7)],
            weights: vec![[tensor(0.1), tensor(0.2), tensor(0.3), tensor(0.4)]],
            best: Some(Best { epoch: 2, loss: 0.1 + 0.2, weights: vec![tensor(0.5)] }),
        }
    }

    const ALL: Asked = Asked { version: true, time: true };

    fn open(directory: &Path, identity: Identity) -> Result<Checkpoints> {
        let config = CheckpointConfig { file: directory.join("training"), resume: true };
        Checkpoints::open(&config, identity, ALL)
    }

    #[test]
    fn comes_back_bit_for_bit_and_its_random_numbers_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let config = CheckpointConfig { file: directory.path().join("training"), resume: false };
        let mut kept = state();
        Checkpoints::open(&config, identity(json!({})), ALL).unwrap().keep(&kept).unwrap();

        let mut back = open(directory.path(), identity(json!({}))).unwrap().take_found().unwrap();

        let bits = |tensor: &Tensor| bytes_of(tensor).unwrap();
        assert_eq!(back.weights[0].each_ref().map(bits), kept.weights[0].each_ref().map(bits));
        let (best, was) = (back.best.unwrap(), kept.best.unwrap());
        assert_eq!((best.epoch, best.loss.to_bits()), (was.epoch, was.loss.to_bits()));
        assert_eq!(bits(&best.weights[0]), bits(&was.weights[0]));
        assert_eq!((back.epoch, back.steps, back.validation_seed), (3, 12, u64::MAX));
        assert_eq!(back.imagined, kept.imagined);
        assert_eq!(back.rng.next_u64(), kept.rng.next_u64());
    }

    #[test]
    fn another_training_is_refused_and_what_differs_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let config = CheckpointConfig { file: directory.path().join("training"), resume: false };
        let settings = json!({ "seed": 1, "learning": { "steps": 240, "dropout": 0.2 } });
        Checkpoints::open(&config, identity(settings), ALL).unwrap().keep(&state()).unwrap();

        let settings = json!({ "seed": 2, "learning": { "steps": 300, "dropout": 0.2 } });
        let other = Identity { data_sha256: Sha256Digest::of(b"other"), ..identity(settings) };
        let error = open(directory.path(), other).err().unwrap().to_string();

        let named = "learning.steps is 300, was 240; seed is 2, was 1; the data have changed since";
        assert!(error.ends_with(named), "{error}");
    }

    #[test]
    fn a_checkpoint_that_is_missing_or_damaged_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let missing = open(directory.path(), identity(json!({}))).err().unwrap().to_string();
        fs::write(directory.path().join("training"), b"not a checkpoint").unwrap();
        let damaged = open(directory.path(), identity(json!({}))).err().unwrap().to_string();

        assert!(missing.contains("nothing to go on from"), "{missing}");
        assert!(damaged.contains("cannot be gone on from"), "{damaged}");
    }
}
