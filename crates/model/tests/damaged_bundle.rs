//! A bundle that was damaged or forged is refused, with the name of what is wrong.

#![allow(clippy::unwrap_used)]

mod samples;

use std::{fs, os::unix::fs::symlink};

use finrank_model::{Bundle, ModelError};
use serde_json::json;
use tempfile::TempDir;

use samples::written::{FILES, Written};

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

            assert!(matches!(&error, ModelError::Damaged { path, .. } if path.ends_with(name)), "{error}");
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

        assert!(matches!(&error, ModelError::FileMissing { path } if path.ends_with(name)), "{error}");
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
    for name in ["../secret", "/etc/passwd", "..", "", ".hidden", "a/b", "a\\b", "a\0b"] {
        let written = Written::new();
        written.edit_manifest(|manifest| manifest["files"][0]["name"] = json!(name));

        let error = written.read().unwrap_err();

        assert!(matches!(&error, ModelError::UnsafeFileName { name: found } if found == name), "{error}");
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
    fs::write(written.file("manifest.json"), r#"{"format_version": 3, "weights": "elsewhere"}"#).unwrap();

    let error = written.read().unwrap_err();

    assert_eq!(error.to_string(), "the bundle has format version 3, this program reads 1 to 2");
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
    written.forge("scorer.safetensors", &fs::read(other.path().join("m-1/scorer.safetensors")).unwrap());

    let error = written.read().unwrap_err();

    assert_eq!(error.to_string(), "scorer.0.weight has shape [16, 9], expected [16, 12]");
}

#[test]
fn a_layer_too_many_is_refused_even_when_the_checksum_fits() {
    let written = Written::new();
    let other = other_model(&[16, 12, 1, 1]);
    written.forge("scorer.safetensors", &fs::read(other.path().join("m-1/scorer.safetensors")).unwrap());

    let error = written.read().unwrap_err();

    assert!(error.to_string().contains("scorer.2.bias is not part of the model"), "{error}");
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

    assert!(matches!(&error, ModelError::Malformed { file, .. } if file == "manifest.json"), "{error}");
}

#[test]
fn a_calibration_that_would_turn_the_order_round_is_refused() {
    let written = Written::new();
    written.edit_manifest(|manifest| {
        manifest["calibration"] = json!({"kind": "platt", "slope": -1.0, "intercept": 0.0});
    });

    let error = written.read().unwrap_err();

    assert!(error.to_string().contains("the slope is -1"), "{error}");
}
