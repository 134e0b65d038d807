//! What a training needs to go on after it was killed, in one file: weights, averages, Adam's moments, the best weights so
//! far, what is imagined, and where the random numbers are. It is written anew after each epoch and moved into place, so
//! that a kill at any point leaves the last one whole.

mod file;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use candle_core::Tensor;
use chrono::{DateTime, Utc};
use finrank_model::{ModelVersion, Sha256Digest};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stopping::Best;
use crate::{CheckpointConfig, LearningError, Result, dataset::ProductIndex};

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
        let (kept, state) = file::parse(&bytes).map_err(|reason| damaged(&file, reason))?;
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
        let bytes = file::serialise(&self.identity, state).map_err(|reason| damaged(&self.file, reason))?;
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
    // Beside its place, since only a rename within one file system is atomic; by one name, so that kills leave one.
    let aside = file.with_extension("partial");
    let mut written = File::create(&aside)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    fs::rename(&aside, file)?;
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
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let of = |settings: &serde_json::Map<String, Value>| settings.get(name).cloned().unwrap_or_default();
        settings_differences(&path, &of(old), &of(new), told);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::{Rng, SeedableRng};
    use serde_json::json;

    use super::{file::bytes_of, *};

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
