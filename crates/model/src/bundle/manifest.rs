//! The manifest: what a bundle says of itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{MANIFEST_FILE, write::Payload};
use crate::{
    Calibration, Dense, EmbeddingSpace, MlpScorer, ModelError, ModelVersion, ProductEncoder, Sha256Digest,
    Tower, UserEncoder, features::FeatureSet,
};

/// The format that this program writes. It reads every one from 1 on: version 2 added the calibration, and a
/// bundle of version 1 has none.
pub const FORMAT_VERSION: u32 = 2;

/// What the trainer knows of a model and its weights do not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// Names the model.
    pub model_version: ModelVersion,
    /// Names the pair of towers: embeddings of two spaces never meet.
    pub embedding_space: EmbeddingSpace,
    /// When it was trained.
    pub created_at: DateTime<Utc>,
    /// The seed of every random choice in its training.
    pub seed: u64,
    /// The events that it was trained on.
    pub data_window: DataWindow,
    /// How many rows each part of the training set had, for example `users`, `products`, `pairs`.
    pub training_rows: BTreeMap<String, u64>,
    /// What the evaluation measured, by name, for example `mrr`; finite.
    pub metrics: BTreeMap<String, f64>,
}

/// The event times of the first and the last event that training saw; absent when it saw none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataWindow {
    /// The first event's time.
    pub first: Option<DateTime<Utc>>,
    /// The last event's time.
    pub last: Option<DateTime<Utc>>,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// From 1 to [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Names the model.
    pub model_version: ModelVersion,
    /// Names the pair of towers: embeddings of two spaces never meet.
    pub embedding_space: EmbeddingSpace,
    /// How many components an embedding has.
    pub dimension: usize,
    /// When it was trained.
    pub created_at: DateTime<Utc>,
    /// The seed of every random choice in its training.
    pub seed: u64,
    /// The events that it was trained on.
    pub data_window: DataWindow,
    /// How many rows each part of the training set had.
    pub training_rows: BTreeMap<String, u64>,
    /// What the evaluation measured.
    pub metrics: BTreeMap<String, f64>,
    /// What it reads and how large its parts are.
    pub architecture: Architecture,
    /// The feature service that the user tower reads, and how each of its features was made; absent if it reads none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_set: Option<FeatureSet>,
    /// How the scorer's logits become probabilities.
    #[serde(default)]
    pub calibration: Calibration,
    /// The other files of the bundle, in the order of their names.
    pub files: Vec<BundleFile>,
}

/// What a model reads and how large its parts are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// The user tower.
    pub user: TowerSizes,
    /// The product tower.
    pub product: TowerSizes,
    /// The width of the scorer's input, then of each layer's output: 128, 128, 64, 1.
    pub scorer: Vec<usize>,
}

/// What a tower reads and how large it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TowerSizes {
    /// The names of what its transform reads.
    pub features: Vec<String>,
    /// How many sparse ids it knows.
    pub vocabulary: usize,
    /// How many dense features it takes, then the width of each layer's output; the last is the dimension.
    pub layers: Vec<usize>,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFile {
    /// A plain file name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Of its content.
    pub sha256: Sha256Digest,
}

impl Manifest {
    pub(super) fn new(
        provenance: Provenance,
        architecture: Architecture,
        feature_set: Option<FeatureSet>,
        calibration: Calibration,
        payload: &Payload,
    ) -> Self {
        let mut manifest = Self {
            format_version: FORMAT_VERSION,
            model_version: provenance.model_version,
            embedding_space: provenance.embedding_space,
            dimension: architecture.user.layers.last().copied().unwrap_or_default(),
            created_at: provenance.created_at,
            seed: provenance.seed,
            data_window: provenance.data_window,
            training_rows: provenance.training_rows,
            metrics: provenance.metrics,
            architecture,
            feature_set,
            calibration,
            files: Vec::new(),
        };
        manifest.list(payload);
        manifest
    }

    /// Lists these files.
    pub(super) fn list(&mut self, payload: &Payload) {
        self.files = payload.iter().map(|(name, content)| BundleFile::of(name, content)).collect();
    }

    /// The bytes of `manifest.json`.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, ModelError> {
        let mut json =
            serde_json::to_vec_pretty(self).map_err(|error| ModelError::malformed(MANIFEST_FILE, error))?;
        json.push(b'\n');
        Ok(json)
    }
}

impl Architecture {
    pub(super) fn of(user: &UserEncoder, product: &ProductEncoder, scorer: &MlpScorer) -> Self {
        let outputs = scorer.layers().iter().map(Dense::outputs);
        Self {
            user: TowerSizes::of(user.transform.feature_names(), &user.tower),
            product: TowerSizes::of(product.transform.feature_names(), &product.tower),
            scorer: std::iter::once(scorer.inputs()).chain(outputs).collect(),
        }
    }
}

impl TowerSizes {
    fn of(features: Vec<String>, tower: &Tower) -> Self {
        let first = [tower.width(), tower.input().outputs()];
        let outputs = tower.hidden().iter().map(Dense::outputs);
        Self {
            features,
            vocabulary: tower.vocabulary_len(),
            layers: first.into_iter().chain(outputs).collect(),
        }
    }
}

impl BundleFile {
    fn of(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: content.len() as u64, sha256: Sha256Digest::of(content) }
    }
}
