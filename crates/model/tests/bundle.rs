//! A bundle comes back as it was written, or not at all.

#![allow(clippy::unwrap_used)]

mod samples;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use finrank_model::{
    Bundle, BundleDigest, Embedding, ModelError, ModelVersion, Provenance, bundle_directory,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const FILES: [&str; 4] = [
    "manifest.json",
    "scorer.safetensors",
    "towers.safetensors",
    "transforms.json",
];

/// A written bundle that tests may damage.
struct Written {
    models: TempDir,
    bundle: Bundle,
}

impl Written {
    fn new() -> Self {
        let models = tempfile::tempdir().unwrap();
        let bundle = samples::bundle(1);
        bundle.write(&models.path().join("m-1")).unwrap();
        Self { models, bundle }
    }

    fn directory(&self) -> PathBuf {
        self.models.path().join("m-1")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    fn read(&self) -> Result<Bundle, ModelError> {
        Bundle::read(&self.directory())
    }

    fn edit_manifest(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.file("manifest.json");
        let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut manifest);
        fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    /// Replaces a file and makes the manifest vouch for it, as a forger would.
    fn forge(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), content).unwrap();
        self.edit_manifest(|manifest| {
            let files = manifest["files"].as_array_mut().unwrap();
            let entry = files.iter_mut().find(|file| file["name"] == name).unwrap();
            entry["bytes"] = json!(content.len());
            entry["sha256"] = json!(BundleDigest::of(content).to_string());
        });
    }
}

#[test]
fn comes_back_bit_for_bit() {
    let written = Written::new();

    let back = written.read().unwrap();

    assert_eq!(back, written.bundle);
    back.write(&written.models.path().join("again")).unwrap();
    assert_same_files(&written.directory(), &written.models.path().join("again"));
}

#[test]
fn computes_the_same_after_it_was_read() {
    let written = Written::new();
    let users = samples::users(20, &mut samples::random(9));
    let products = samples::products(8);
    let all = |bundle: &Bundle| {
        let users: Vec<Embedding> = bundle.user.encode(&users).unwrap();
        let products = bundle.product.encode(&products).unwrap();
        let score = bundle.scorer.score(&users[0], &products[0]);
        (users, products, score)
    };

    let back = written.read().unwrap();

    assert_eq!(all(&back), all(&written.bundle));
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let models = tempfile::tempdir().unwrap();

    let one = samples::bundle(1).write(&models.path().join("one")).unwrap();
    let other = samples::bundle(1).write(&models.path().join("other")).unwrap();

    assert_eq!(one, other);
    assert_same_files(&models.path().join("one"), &models.path().join("other"));
}

fn assert_same_files(one: &Path, other: &Path) {
    for name in FILES {
        assert!(
            fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap(),
            "{name} differs"
        );
    }
}

#[test]
fn its_digest_is_the_sha_256_of_the_manifest() {
    let written = Written::new();

    let digest = BundleDigest::of(&fs::read(written.file("manifest.json")).unwrap());

    assert_eq!(written.bundle.digest(), digest);
    assert_eq!(written.read().unwrap().digest(), digest);
    assert_eq!(BundleDigest::parse(&digest.to_string()).unwrap(), digest);
}

#[test]
fn the_manifest_tells_what_the_model_is() {
    let written = Written::new();

    let manifest = written.read().unwrap().manifest;

    assert_eq!(manifest.dimension, 8);
    assert_eq!(manifest.seed, 7);
    assert_eq!(manifest.metrics["mrr"].to_bits(), (0.1f64 + 0.2).to_bits());
    assert_eq!(manifest.training_rows["users"], 40);
    assert_eq!(
        manifest.architecture.user.features,
        ["income", "owns_home", "region", "held"]
    );
    assert_eq!(manifest.architecture.product.layers[1..], [12, 8]);
    assert_eq!(manifest.architecture.scorer, [16, 12, 1]);
    assert_eq!(
        manifest
            .files
            .iter()
            .map(|file| file.name.as_str())
            .collect::<Vec<_>>(),
        FILES[1..]
    );
}

#[test]
fn is_never_overwritten() {
    let written = Written::new();

    let error = samples::bundle(2).write(&written.directory()).unwrap_err();

    assert!(matches!(error, ModelError::BundleExists { .. }), "{error}");
    assert_eq!(written.read().unwrap(), written.bundle);
}

#[test]
fn leaves_nothing_behind_but_itself() {
    let written = Written::new();
    samples::bundle(2).write(&written.directory()).unwrap_err();

    let entries: Vec<_> = fs::read_dir(written.models.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();

    assert_eq!(entries, ["m-1"]);
}

#[test]
fn a_flipped_byte_is_refused_with_the_files_name() {
    for name in &FILES[1..] {
        let written = Written::new();
        let length = fs::metadata(written.file(name)).unwrap().len() as usize;
        for position in [0, length / 2, length - 1] {
            let mut content = fs::read(written.file(name)).unwrap();
            content[position] ^= 1;
            fs::write(written.file(name), &content).unwrap();

            let error = written.read().unwrap_err();

            assert!(
                matches!(&error, ModelError::Damaged { path, .. } if path.ends_with(name)),
                "{error}"
            );
            content[position] ^= 1;
            fs::write(written.file(name), &content).unwrap();
        }
        written.read().unwrap();
    }
}

#[test]
fn a_truncated_file_is_refused_with_both_lengths() {
    let written = Written::new();
    let content = fs::read(written.file("towers.safetensors")).unwrap();
    fs::write(written.file("towers.safetensors"), &content[..100]).unwrap();

    let error = written.read().unwrap_err();

    let expected = format!("it has 100 bytes, the manifest says {}", content.len());
    assert!(error.to_string().ends_with(&expected), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    for name in FILES {
        let written = Written::new();
        fs::remove_file(written.file(name)).unwrap();

        let error = written.read().unwrap_err();

        assert!(
            matches!(&error, ModelError::FileMissing { path } if path.ends_with(name)),
            "{error}"
        );
    }
}

#[test]
fn a_link_is_not_followed() {
    let written = Written::new();
    let elsewhere = written.models.path().join("elsewhere");
    fs::rename(written.file("transforms.json"), &elsewhere).unwrap();
    symlink(&elsewhere, written.file("transforms.json")).unwrap();

    let error = written.read().unwrap_err();

    assert!(error.to_string().ends_with("it is not a regular file"), "{error}");
}

#[test]
fn file_names_that_leave_the_directory_are_refused() {
    for name in [
        "../secret",
        "/etc/passwd",
        "..",
        "",
        ".hidden",
        "a/b",
        "a\\b",
        "a\0b",
    ] {
        let written = Written::new();
        written.edit_manifest(|manifest| manifest["files"][0]["name"] = json!(name));

        let error = written.read().unwrap_err();

        assert!(
            matches!(&error, ModelError::UnsafeFileName { name: found } if found == name),
            "{error}"
        );
    }
}

#[test]
fn files_of_another_list_are_refused() {
    let written = Written::new();
    written.edit_manifest(|manifest| {
        manifest["files"].as_array_mut().unwrap().pop();
    });

    let error = written.read().unwrap_err();

    assert!(matches!(error, ModelError::FileList { .. }), "{error}");
}

#[test]
fn an_unknown_format_is_refused_before_anything_else_is_looked_at() {
    let written = Written::new();
    fs::write(
        written.file("manifest.json"),
        r#"{"format_version": 2, "weights": "elsewhere"}"#,
    )
    .unwrap();

    let error = written.read().unwrap_err();

    assert_eq!(
        error.to_string(),
        "the bundle has format version 2, this program reads 1"
    );
}

#[test]
fn a_weight_that_is_nan_is_refused_even_when_the_checksum_fits() {
    let written = Written::new();
    let mut content = fs::read(written.file("scorer.safetensors")).unwrap();
    let last_weight = content.len() - 4;
    content[last_weight..].copy_from_slice(&f32::NAN.to_le_bytes());
    written.forge("scorer.safetensors", &content);

    let error = written.read().unwrap_err();

    let expected = "scorer.safetensors: scorer.1.weight holds a value that is not finite";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_tensor_of_another_shape_is_refused_even_when_the_checksum_fits() {
    let written = Written::new();
    let other = other_model(&[16, 9, 1]);
    written.forge(
        "scorer.safetensors",
        &fs::read(other.path().join("m-1/scorer.safetensors")).unwrap(),
    );

    let error = written.read().unwrap_err();

    assert_eq!(
        error.to_string(),
        "scorer.0.weight has shape [16, 9], expected [16, 12]"
    );
}

#[test]
fn a_layer_too_many_is_refused_even_when_the_checksum_fits() {
    let written = Written::new();
    let other = other_model(&[16, 12, 1, 1]);
    written.forge(
        "scorer.safetensors",
        &fs::read(other.path().join("m-1/scorer.safetensors")).unwrap(),
    );

    let error = written.read().unwrap_err();

    assert!(
        error
            .to_string()
            .contains("scorer.2.bias is not part of the model"),
        "{error}"
    );
}

/// A written model with a scorer of these widths.
fn other_model(widths: &[usize]) -> TempDir {
    let models = tempfile::tempdir().unwrap();
    let Bundle { user, product, .. } = samples::bundle(1);
    let scorer = samples::scorer(widths, &mut samples::random(2));
    let bundle = Bundle::new(samples::provenance(), user, product, scorer).unwrap();
    bundle.write(&models.path().join("m-1")).unwrap();
    models
}

#[test]
fn a_manifest_that_lies_about_its_dimension_is_refused() {
    let written = Written::new();
    written.edit_manifest(|manifest| manifest["dimension"] = json!(64));

    let error = written.read().unwrap_err();

    assert!(
        matches!(&error, ModelError::Malformed { file, .. } if file == "manifest.json"),
        "{error}"
    );
}

#[test]
fn another_bundle_than_the_registered_one_is_refused() {
    let written = Written::new();
    let registered = written.bundle.digest();
    Bundle::read_registered(&written.directory(), registered).unwrap();
    written.edit_manifest(|manifest| manifest["metrics"]["mrr"] = json!(0.99));

    let error = Bundle::read_registered(&written.directory(), registered).unwrap_err();

    assert!(matches!(error, ModelError::NotTheRegistered { expected, .. } if expected == registered));
}

#[test]
fn a_version_that_is_no_directory_name_is_refused() {
    for raw in ["../m", "a/b", "..", ".m", "m 1"] {
        let version = ModelVersion::parse(raw).unwrap();

        let error = bundle_directory(Path::new("models"), &version).unwrap_err();

        assert!(
            matches!(error, ModelError::UnusableVersion { .. }),
            "{raw}: {error}"
        );
    }
    let version = ModelVersion::parse("caravan-1.2_b").unwrap();
    assert_eq!(
        bundle_directory(Path::new("models"), &version).unwrap(),
        Path::new("models/caravan-1.2_b")
    );
}

#[test]
fn parts_that_were_not_trained_together_are_refused() {
    let mut random = samples::random(5);
    let Bundle { user, product, .. } = samples::bundle(1);
    let narrow_scorer = samples::scorer(&[15, 4, 1], &mut random);
    let other_product = samples::product_encoder(&samples::products(6), &[12, 9], &mut random);
    let scorer = samples::scorer(&[16, 4, 1], &mut random);

    let by_scorer = Bundle::new(samples::provenance(), user.clone(), product, narrow_scorer);
    let by_tower = Bundle::new(samples::provenance(), user, other_product, scorer);

    assert_eq!(
        by_scorer.unwrap_err().to_string(),
        "the scorer's input has shape [15], expected [16]"
    );
    let expected = "the product tower's embedding has shape [9], expected [8]";
    assert_eq!(by_tower.unwrap_err().to_string(), expected);
}

#[test]
fn a_metric_that_is_not_finite_is_refused() {
    let Bundle {
        user,
        product,
        scorer,
        ..
    } = samples::bundle(1);
    let provenance = Provenance {
        metrics: [("auc".to_owned(), f64::NAN)].into(),
        ..samples::provenance()
    };

    let error = Bundle::new(provenance, user, product, scorer).unwrap_err();

    assert_eq!(error.to_string(), "metric auc holds a value that is not finite");
}
