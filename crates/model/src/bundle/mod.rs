//! A bundle: a directory that holds one model whole, so that what was trained together is served together.
//!
//! `manifest.json` says what the model is, how its scores are calibrated, and lists the SHA-256 of each other file;
//! `transforms.json` holds the fitted transforms, `towers.safetensors` and `scorer.safetensors` the weights;
//! `golden.json` what they compute of a few records, and `means.json` the mean customer, from whom explanations start;
//! bundles of earlier versions lack these two. The same model always gives the same bytes. A bundle is written whole or not at all, never changed, and checked when read.

mod golden;
mod manifest;
mod read;
mod tensors;
mod write;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use golden::Golden;
pub use manifest::{Architecture, BundleFile, DataWindow, FORMAT_VERSION, Manifest, Provenance, TowerSizes};

use crate::{
    Explainer, FeatureMeans, MlpScorer, ModelError, ModelVersion, Product, ProductEncoder, Sha256Digest,
    UserEncoder, UserRecord,
};

const MANIFEST_FILE: &str = "manifest.json";
const TRANSFORMS_FILE: &str = "transforms.json";
const TOWERS_FILE: &str = "towers.safetensors";
const SCORER_FILE: &str = "scorer.safetensors";
const GOLDEN_FILE: &str = "golden.json";
const MEANS_FILE: &str = "means.json";
/// What the manifest lists, in its order; before it those of [`OPTIONAL_FILES`] that there are.
const PAYLOAD_FILES: [&str; 3] = [SCORER_FILE, TOWERS_FILE, TRANSFORMS_FILE];
const OPTIONAL_FILES: [&str; 2] = [GOLDEN_FILE, MEANS_FILE];

/// One model whole. Made by [`Bundle::new`] and [`Bundle::read`], so that its parts fit together and the
/// manifest tells the truth about them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Bundle {
    /// What the model is.
    pub manifest: Manifest,
    /// Encodes customers.
    pub user: UserEncoder,
    /// Encodes products.
    pub product: ProductEncoder,
    /// Scores pairs of their embeddings.
    pub scorer: MlpScorer,
    /// What they compute of a few records.
    golden: Option<Golden>,
    /// The mean customer of its training.
    means: Option<FeatureMeans>,
    /// The SHA-256 of `manifest.json`, and by it of everything else.
    digest: Sha256Digest,
}

impl Bundle {
    /// Joins what was trained together.
    ///
    /// # Errors
    /// When the towers' dimensions differ, the scorer does not take two embeddings of that dimension, the
    /// version cannot name a directory, or a metric is not finite.
    pub fn new(
        provenance: Provenance,
        user: UserEncoder,
        product: ProductEncoder,
        scorer: MlpScorer,
    ) -> Result<Self, ModelError> {
        check_version(&provenance.model_version)?;
        check_metrics(&provenance.metrics)?;
        check_fit(&user, &product, &scorer)?;
        let files = write::payload(&user, &product, &scorer, (None, None))?;
        let feature_set = user.transform.feature_set().map(|set| (**set).clone());
        let architecture = Architecture::of(&user, &product, &scorer);
        let manifest =
            Manifest::new(provenance, architecture, feature_set, scorer.calibration().clone(), &files);
        let digest = Sha256Digest::of(&manifest.to_json()?);
        Ok(Self { manifest, user, product, scorer, golden: None, means: None, digest })
    }

    /// Carries what its parts compute of these records, which should be nobody's.
    ///
    /// # Errors
    /// When an embedding is not finite.
    pub fn with_golden(mut self, users: &[UserRecord], products: &[Product]) -> Result<Self, ModelError> {
        self.golden = Some(Golden::of(&self, users, products)?);
        self.list_files()
    }

    /// Carries the mean of the customers that it was trained on, so that its scores can be explained.
    ///
    /// # Errors
    /// When the means are of another user tower, or one is not finite.
    pub fn with_means(mut self, means: FeatureMeans) -> Result<Self, ModelError> {
        means.check_fit(self.user.tower.width(), self.user.tower.vocabulary_len())?;
        self.means = Some(means);
        self.list_files()
    }

    /// Makes the manifest tell of what the bundle carries now.
    fn list_files(mut self) -> Result<Self, ModelError> {
        self.manifest.list(&write::payload_of(&self)?);
        self.digest = Sha256Digest::of(&self.manifest.to_json()?);
        Ok(self)
    }

    /// Writes the bundle to `directory`, which must not exist yet; its parents are created. Nothing is left
    /// at `directory` when it fails, and a reader sees all files or none.
    ///
    /// # Errors
    /// [`ModelError::BundleExists`], or what the file system says.
    pub fn write(&self, directory: &Path) -> Result<Sha256Digest, ModelError> {
        write::write(self, directory)?;
        Ok(self.digest)
    }

    /// Reads and checks a bundle: format, file names, lengths, SHA-256, shapes, finite weights, and that its parts
    /// compute here what its golden vectors say.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn read(directory: &Path) -> Result<Self, ModelError> {
        read::read(directory)
    }

    /// Reads a bundle that must be the one registered with this digest.
    ///
    /// # Errors
    /// As [`Bundle::read`], and [`ModelError::NotTheRegistered`].
    pub fn read_registered(directory: &Path, registered: Sha256Digest) -> Result<Self, ModelError> {
        let bundle = Self::read(directory)?;
        if bundle.digest == registered {
            Ok(bundle)
        } else {
            Err(ModelError::NotTheRegistered { expected: registered, found: bundle.digest })
        }
    }

    /// What its parts compute of a few records; absent in bundles of earlier versions.
    pub fn golden(&self) -> Option<&Golden> {
        self.golden.as_ref()
    }

    /// The mean customer of its training; absent in bundles of earlier versions.
    pub fn means(&self) -> Option<&FeatureMeans> {
        self.means.as_ref()
    }

    /// What explains its scores.
    ///
    /// # Errors
    /// [`ModelError::NoMeans`] of a bundle of an earlier version.
    pub fn explainer(&self) -> Result<Explainer, ModelError> {
        let no_means = || ModelError::NoMeans { version: self.manifest.model_version.to_string() };
        Explainer::new(&self.user, &self.scorer, self.means.as_ref().ok_or_else(no_means)?)
    }

    /// The SHA-256 of `manifest.json`, and by it of everything else: what is registered beside the version.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

/// Where the bundle of a version lies: `<models_dir>/<model_version>`.
///
/// # Errors
/// When the version cannot name a directory, for example because it holds a slash.
pub fn bundle_directory(models_dir: &Path, version: &ModelVersion) -> Result<PathBuf, ModelError> {
    check_version(version)?;
    Ok(models_dir.join(version.as_str()))
}

fn check_version(version: &ModelVersion) -> Result<(), ModelError> {
    if is_plain_file_name(version.as_str()) {
        Ok(())
    } else {
        Err(ModelError::UnusableVersion { version: version.to_string() })
    }
}

/// A name that stays in its directory, is not hidden and means the same on every file system.
fn is_plain_file_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
}

/// JSON has no NaN: it would be written as null and never come back.
fn check_metrics(metrics: &BTreeMap<String, f64>) -> Result<(), ModelError> {
    match metrics.iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((name, _)) => Err(ModelError::NotFinite { what: format!("metric {name}") }),
    }
}

fn check_fit(user: &UserEncoder, product: &ProductEncoder, scorer: &MlpScorer) -> Result<(), ModelError> {
    let dimension = user.tower.dimension();
    if product.tower.dimension() != dimension {
        let found = [product.tower.dimension()];
        return Err(ModelError::shape("the product tower's embedding", &[dimension], &found));
    }
    if scorer.inputs() != 2 * dimension {
        return Err(ModelError::shape("the scorer's input", &[2 * dimension], &[scorer.inputs()]));
    }
    Ok(())
}
