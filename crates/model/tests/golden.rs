//! A bundle carries what its parts compute of a few records, and is refused where they compute something else.

#![allow(clippy::unwrap_used)]

mod samples;

use std::{fs, path::Path};

use finrank_model::{Bundle, ModelError, Sha256Digest};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A written bundle with golden vectors.
fn written() -> (TempDir, Bundle) {
    let models = tempfile::tempdir().unwrap();
    let users = samples::users(3, &mut samples::random(5));
    let bundle = samples::bundle(1).with_golden(&users, &samples::products(2)).unwrap();
    bundle.write(&models.path().join("m-1")).unwrap();
    (models, bundle)
}

/// Changes the golden vectors, and the manifest so that it vouches for them.
fn change(directory: &Path, change: impl FnOnce(&mut Value)) {
    let path = directory.join("golden.json");
    let mut golden = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut golden);
    let content = serde_json::to_vec(&golden).unwrap();
    fs::write(&path, &content).unwrap();
    let manifest_path = directory.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&manifest_path).unwrap()).unwrap();
    manifest["files"][0] = json!({
        "name": "golden.json", "bytes": content.len(), "sha256": Sha256Digest::of(&content).to_string(),
    });
    fs::write(manifest_path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[test]
fn a_bundle_with_golden_vectors_comes_back_as_it_was() {
    let (models, bundle) = written();

    let back = Bundle::read(&models.path().join("m-1")).unwrap();

    assert_eq!(back, bundle);
    assert_eq!(back.golden().unwrap().len(), 5);
    assert_eq!(back.manifest.files[0].name, "golden.json");
}

#[test]
fn a_bundle_of_before_has_none_and_is_read() {
    let models = tempfile::tempdir().unwrap();
    samples::bundle(1).write(&models.path().join("m-1")).unwrap();

    let back = Bundle::read(&models.path().join("m-1")).unwrap();

    assert!(back.golden().is_none());
}

#[test]
fn what_comes_out_otherwise_is_refused_with_the_vector_and_the_difference() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 3] = [
        (
            |golden| golden["users"][1]["embedding"][2] = json!(9.0),
            "the embedding of customer u00001, component 2",
        ),
        (
            |golden| golden["products"][0]["embedding"][0] = json!(9.0),
            "the embedding of product p000, component 0",
        ),
        (|golden| golden["scores"][2][1] = json!(9.0), "the scores of customer u00002, component 1"),
    ];
    for (edit, expected) in cases {
        let (models, _) = written();
        let directory = models.path().join("m-1");
        change(&directory, edit);

        let error = Bundle::read(&directory).unwrap_err();

        let ModelError::Golden { vector, expected: nine, found, difference } = &error else {
            panic!("{error}");
        };
        assert_eq!((vector.as_str(), *nine), (expected, 9.0));
        assert!((difference - (9.0 - found)).abs() < 1e-6, "{error}");
    }
}

#[test]
fn scores_that_are_missing_are_missed() {
    let (models, _) = written();
    let directory = models.path().join("m-1");
    change(&directory, |golden| {
        golden["scores"].as_array_mut().unwrap().pop();
    });

    let error = Bundle::read(&directory).unwrap_err();

    assert_eq!(error.to_string(), "golden.json's scores has shape [2], expected [3]");
}
