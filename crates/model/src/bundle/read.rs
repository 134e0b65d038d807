//! Reads a bundle and trusts nothing in it: names before paths, lengths before contents, checksums before
//! parsers, shapes before arrays.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Architecture, Bundle, BundleFile, FORMAT_VERSION, GOLDEN_FILE, Golden, MANIFEST_FILE, MEANS_FILE,
    Manifest, OPTIONAL_FILES, PAYLOAD_FILES, SCORER_FILE, TOWERS_FILE, TRANSFORMS_FILE, check_fit,
    check_version, is_plain_file_name, tensors::TensorReader,
};
use crate::{
    FeatureMeans, MlpScorer, ModelError, ProductEncoder, ProductTransform, Sha256Digest, UserEncoder,
    UserTransform, features::FeatureSet,
};

/// The longest manifest, in bytes: some thousand times a usual one.
const MAX_MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transforms {
    user: UserTransform,
    product: ProductTransform,
}

pub(super) fn read(directory: &Path) -> Result<Bundle, ModelError> {
    let json = read_manifest(&directory.join(MANIFEST_FILE))?;
    let manifest = parse_manifest(&json)?;
    let files = read_payload(directory, &manifest.files)?;

    let transforms: Transforms = serde_json::from_slice(&files[TRANSFORMS_FILE])
        .map_err(|error| ModelError::malformed(TRANSFORMS_FILE, error))?;
    let Architecture { user, product, scorer } = &manifest.architecture;
    let mut towers = TensorReader::new(TOWERS_FILE, &files[TOWERS_FILE])?;
    let user_tower = towers.tower("user", user.vocabulary, &user.layers)?;
    let product_tower = towers.tower("product", product.vocabulary, &product.layers)?;
    towers.finish()?;
    let mut layers = TensorReader::new(SCORER_FILE, &files[SCORER_FILE])?;
    let scorer = MlpScorer::new(layers.layers("scorer", scorer)?)?;
    let scorer = scorer.with_calibration(manifest.calibration.clone());
    layers.finish()?;

    let user = UserEncoder::new(transforms.user, user_tower)?;
    let product = ProductEncoder::new(transforms.product, product_tower)?;
    check_fit(&user, &product, &scorer)?;
    check_architecture(&manifest, &Architecture::of(&user, &product, &scorer))?;
    check_feature_set(&manifest, user.transform.feature_set().map(|set| &**set))?;
    let golden: Option<Golden> = optional(&files, GOLDEN_FILE)?;
    let means: Option<FeatureMeans> = optional(&files, MEANS_FILE)?;
    if let Some(means) = &means {
        means.check_fit(user.tower.width(), user.tower.vocabulary_len())?;
    }
    let digest = Sha256Digest::of(&json);
    let bundle = Bundle { digest, manifest, user, product, scorer, golden, means };
    if let Some(golden) = &bundle.golden {
        golden.verify(&bundle)?;
    }
    Ok(bundle)
}

/// What stands in a file that bundles of earlier versions lack.
fn optional<T: DeserializeOwned>(
    files: &BTreeMap<&str, Vec<u8>>,
    name: &str,
) -> Result<Option<T>, ModelError> {
    let parsed = files.get(name).map(|content| serde_json::from_slice(content)).transpose();
    parsed.map_err(|error| ModelError::malformed(name, error))
}

fn read_manifest(path: &Path) -> Result<Vec<u8>, ModelError> {
    let bytes = regular_file_length(path)?;
    if bytes > MAX_MANIFEST_BYTES {
        let reason = format!("has {bytes} bytes, at most {MAX_MANIFEST_BYTES} are allowed");
        return Err(ModelError::malformed(MANIFEST_FILE, reason));
    }
    fs::read(path).map_err(ModelError::io(path))
}

fn parse_manifest(json: &[u8]) -> Result<Manifest, ModelError> {
    /// Read first: a later format may look like nothing that this program knows.
    #[derive(Deserialize)]
    struct Format {
        format_version: u32,
    }

    let malformed = |error| ModelError::malformed(MANIFEST_FILE, error);
    let Format { format_version: found } = serde_json::from_slice(json).map_err(malformed)?;
    if !(1..=FORMAT_VERSION).contains(&found) {
        return Err(ModelError::FormatVersion { found, supported: FORMAT_VERSION });
    }
    let manifest: Manifest = serde_json::from_slice(json).map_err(malformed)?;
    check_version(&manifest.model_version)?;
    check_file_names(&manifest.files)?;
    Ok(manifest)
}

fn check_file_names(files: &[BundleFile]) -> Result<(), ModelError> {
    if let Some(file) = files.iter().find(|file| !is_plain_file_name(&file.name)) {
        return Err(ModelError::UnsafeFileName { name: file.name.clone() });
    }
    let found: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let mut required = &found[..];
    for optional in OPTIONAL_FILES {
        required = required.strip_prefix(&[optional]).unwrap_or(required);
    }
    if required != PAYLOAD_FILES {
        return Err(ModelError::FileList {
            expected: PAYLOAD_FILES.map(str::to_owned).to_vec(),
            found: found.into_iter().map(str::to_owned).collect(),
        });
    }
    Ok(())
}

/// The content of each listed file, whose names have been checked.
fn read_payload<'a>(
    directory: &Path,
    files: &'a [BundleFile],
) -> Result<BTreeMap<&'a str, Vec<u8>>, ModelError> {
    files
        .iter()
        .map(|file| Ok((file.name.as_str(), read_checked(directory.join(&file.name), file)?)))
        .collect()
}

fn read_checked(path: PathBuf, file: &BundleFile) -> Result<Vec<u8>, ModelError> {
    let bytes = regular_file_length(&path)?;
    if bytes != file.bytes {
        let reason = format!("it has {bytes} bytes, the manifest says {}", file.bytes);
        return Err(ModelError::Damaged { path, reason });
    }
    let content = fs::read(&path).map_err(ModelError::io(&path))?;
    let found = Sha256Digest::of(&content);
    if found != file.sha256 {
        let reason = format!("its SHA-256 is {found}, the manifest says {}", file.sha256);
        return Err(ModelError::Damaged { path, reason });
    }
    Ok(content)
}

/// The length of a file that is no link, directory or device.
fn regular_file_length(path: &Path) -> Result<u64, ModelError> {
    let metadata = fs::symlink_metadata(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => ModelError::FileMissing { path: path.to_owned() },
        _ => ModelError::Io { path: path.to_owned(), source },
    })?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        Err(ModelError::Damaged { path: path.to_owned(), reason: "it is not a regular file".to_owned() })
    }
}

fn check_feature_set(manifest: &Manifest, found: Option<&FeatureSet>) -> Result<(), ModelError> {
    if manifest.feature_set.as_ref() == found {
        Ok(())
    } else {
        Err(ModelError::malformed(MANIFEST_FILE, "its feature service is not that of the transforms"))
    }
}

/// The weights were read by the manifest's sizes; what is left to differ are names and the dimension.
fn check_architecture(manifest: &Manifest, found: &Architecture) -> Result<(), ModelError> {
    let dimension = found.user.layers.last().copied();
    if manifest.architecture == *found && Some(manifest.dimension) == dimension {
        Ok(())
    } else {
        let reason = "its features or dimension are not those of the transforms and towers";
        Err(ModelError::malformed(MANIFEST_FILE, reason))
    }
}
