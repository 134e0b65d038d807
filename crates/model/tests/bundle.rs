//! A bundle comes back as it was written.

#![allow(clippy::unwrap_used)]

mod samples;

use std::{fs, path::Path};

use finrank_model::{
    Bundle, Calibration, Embedding, ModelError, ModelVersion, Platt, Provenance, Sha256Digest,
    bundle_directory,
};
use serde_json::json;

use samples::written::{FILES, Written};

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
        assert!(fs::read(one.join(name)).unwrap() == fs::read(other.join(name)).unwrap(), "{name} differs");
    }
}

#[test]
fn its_digest_is_the_sha_256_of_the_manifest() {
    let written = Written::new();

    let digest = Sha256Digest::of(&fs::read(written.file("manifest.json")).unwrap());

    assert_eq!(written.bundle.digest(), digest);
    assert_eq!(written.read().unwrap().digest(), digest);
    assert_eq!(Sha256Digest::parse(&digest.to_string()).unwrap(), digest);
}

#[test]
fn the_manifest_tells_what_the_model_is() {
    let written = Written::new();

    let manifest = written.read().unwrap().manifest;

    assert_eq!(manifest.dimension, 8);
    assert_eq!(manifest.seed, 7);
    assert_eq!(manifest.metrics["mrr"].to_bits(), (0.1f64 + 0.2).to_bits());
    assert_eq!(manifest.training_rows["users"], 40);
    assert_eq!(manifest.architecture.user.features, ["income", "owns_home", "region", "held"]);
    assert_eq!(manifest.architecture.product.layers[1..], [12, 8]);
    assert_eq!(manifest.architecture.scorer, [16, 12, 1]);
    assert_eq!(manifest.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), FILES[1..]);
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

    let entries: Vec<_> =
        fs::read_dir(written.models.path()).unwrap().map(|e| e.unwrap().file_name()).collect();

    assert_eq!(entries, ["m-1"]);
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

        assert!(matches!(error, ModelError::UnusableVersion { .. }), "{raw}: {error}");
    }
    let version = ModelVersion::parse("caravan-1.2_b").unwrap();
    assert_eq!(bundle_directory(Path::new("models"), &version).unwrap(), Path::new("models/caravan-1.2_b"));
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

    assert_eq!(by_scorer.unwrap_err().to_string(), "the scorer's input has shape [15], expected [16]");
    let expected = "the product tower's embedding has shape [9], expected [8]";
    assert_eq!(by_tower.unwrap_err().to_string(), expected);
}

#[test]
fn a_metric_that_is_not_finite_is_refused() {
    let Bundle { user, product, scorer, .. } = samples::bundle(1);
    let provenance = Provenance { metrics: [("auc".to_owned(), f64::NAN)].into(), ..samples::provenance() };

    let error = Bundle::new(provenance, user, product, scorer).unwrap_err();

    assert_eq!(error.to_string(), "metric auc holds a value that is not finite");
}

#[test]
fn a_calibration_travels_with_the_scorer() {
    let models = tempfile::tempdir().unwrap();
    let Bundle { user, product, scorer, .. } = samples::bundle(1);
    let calibration = Calibration::Platt(Platt::new(0.1 + 0.2, -1.0 / 3.0).unwrap());
    let calibrated = scorer.clone().with_calibration(calibration.clone());
    let bundle = Bundle::new(samples::provenance(), user, product, calibrated).unwrap();
    bundle.write(&models.path().join("m-1")).unwrap();

    let back = Bundle::read(&models.path().join("m-1")).unwrap();

    assert_eq!(back, bundle);
    assert_eq!(back.manifest.calibration, calibration);
    let embedding = Embedding::new([0.25; 8], 8).unwrap();
    let [plain, calibrated] = [&scorer, &back.scorer].map(|scorer| scorer.score(&embedding, &embedding));
    assert_eq!(calibrated.logit(), plain.logit());
    assert_eq!(calibrated.get(), calibration.probability(plain.logit()));
    assert_ne!(calibrated.get(), plain.get());
}

#[test]
fn a_bundle_of_the_first_format_is_read_as_uncalibrated() {
    let written = Written::new();
    written.edit_manifest(|manifest| {
        manifest["format_version"] = json!(1);
        manifest.as_object_mut().unwrap().remove("calibration");
    });

    let back = written.read().unwrap();

    assert_eq!(back.scorer, written.bundle.scorer);
    assert!(back.scorer.calibration().is_none());
}
