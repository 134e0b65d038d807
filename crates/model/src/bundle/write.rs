//! Writes a bundle aside and moves it into place, so that a reader sees all of it or nothing.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use serde::Serialize;

use super::{
    Bundle, GOLDEN_FILE, Golden, MANIFEST_FILE, MEANS_FILE, SCORER_FILE, TOWERS_FILE, TRANSFORMS_FILE,
    tensors::TensorWriter,
};
use crate::{
    FeatureMeans, MlpScorer, ModelError, ProductEncoder, ProductTransform, UserEncoder, UserTransform,
};

/// Every file but the manifest, by name.
pub(super) type Payload = BTreeMap<&'static str, Vec<u8>>;

#[derive(Serialize)]
struct Transforms<'a> {
    user: &'a UserTransform,
    product: &'a ProductTransform,
}

pub(super) fn payload_of(bundle: &Bundle) -> Result<Payload, ModelError> {
    let optional = (bundle.golden.as_ref(), bundle.means.as_ref());
    payload(&bundle.user, &bundle.product, &bundle.scorer, optional)
}

pub(super) fn payload(
    user: &UserEncoder,
    product: &ProductEncoder,
    scorer: &MlpScorer,
    (golden, means): (Option<&Golden>, Option<&FeatureMeans>),
) -> Result<Payload, ModelError> {
    let transforms = Transforms { user: &user.transform, product: &product.transform };
    let transforms = serde_json::to_vec_pretty(&transforms)
        .map_err(|error| ModelError::malformed(TRANSFORMS_FILE, error))?;

    let mut towers = TensorWriter::default();
    towers.tower("user", &user.tower);
    towers.tower("product", &product.tower);
    let mut layers = TensorWriter::default();
    layers.layers("scorer", scorer.layers());

    let mut payload = BTreeMap::from([
        (SCORER_FILE, layers.finish(SCORER_FILE)?),
        (TOWERS_FILE, towers.finish(TOWERS_FILE)?),
        (TRANSFORMS_FILE, transforms),
    ]);
    if let Some(golden) = golden {
        let json = serde_json::to_vec_pretty(golden);
        payload.insert(GOLDEN_FILE, json.map_err(|error| ModelError::malformed(GOLDEN_FILE, error))?);
    }
    if let Some(means) = means {
        let json = serde_json::to_vec(means);
        payload.insert(MEANS_FILE, json.map_err(|error| ModelError::malformed(MEANS_FILE, error))?);
    }
    Ok(payload)
}

pub(super) fn write(bundle: &Bundle, directory: &Path) -> Result<(), ModelError> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(ModelError::io(parent))?;
    // Beside its place, since only a rename within one file system is atomic; removed when dropped.
    let aside = tempfile::Builder::new()
        .prefix(".bundle-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(ModelError::io(parent))?;

    for (name, content) in payload_of(bundle)? {
        write_durably(&aside.path().join(name), &content)?;
    }
    write_durably(&aside.path().join(MANIFEST_FILE), &bundle.manifest.to_json()?)?;
    sync_directory(aside.path())?;

    move_into_place(aside.path(), directory)?;
    sync_directory(parent)
}

fn write_durably(path: &Path, content: &[u8]) -> Result<(), ModelError> {
    let mut file = File::create_new(path).map_err(ModelError::io(path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(ModelError::io(path))
}

fn sync_directory(path: &Path) -> Result<(), ModelError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(ModelError::io(path))
}

/// A rename replaces an empty directory and fails on one that holds anything, so that of two writers of one
/// version exactly one wins.
fn move_into_place(aside: &Path, directory: &Path) -> Result<(), ModelError> {
    fs::rename(aside, directory).map_err(|source| match source.kind() {
        ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            ModelError::BundleExists { path: directory.to_owned() }
        }
        _ => ModelError::Io { path: directory.to_owned(), source },
    })
}
