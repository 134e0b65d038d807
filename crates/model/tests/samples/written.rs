//! A bundle on disk, and what a careless hand or a forger may do to it.

use std::{fs, path::PathBuf};

use finrank_model::{Bundle, ModelError, Sha256Digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bundle;

/// The files of a bundle, the manifest first.
pub const FILES: [&str; 4] = ["manifest.json", "scorer.safetensors", "towers.safetensors", "transforms.json"];

/// A written bundle that tests may damage.
pub struct Written {
    pub models: TempDir,
    pub bundle: Bundle,
}

impl Written {
    pub fn new() -> Self {
        let models = tempfile::tempdir().unwrap();
        let bundle = bundle(1);
        bundle.write(&models.path().join("m-1")).unwrap();
        Self { models, bundle }
    }

    pub fn directory(&self) -> PathBuf {
        self.models.path().join("m-1")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    pub fn read(&self) -> Result<Bundle, ModelError> {
        Bundle::read(&self.directory())
    }

    pub fn edit_manifest(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.file("manifest.json");
        let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut manifest);
        fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    /// Replaces a file and makes the manifest vouch for it, as a forger would.
    pub fn forge(&self, name: &str, content: &[u8]) {
        fs::write(self.file(name), content).unwrap();
        self.edit_manifest(|manifest| {
            let files = manifest["files"].as_array_mut().unwrap();
            let entry = files.iter_mut().find(|file| file["name"] == name).unwrap();
            entry["bytes"] = json!(content.len());
            entry["sha256"] = json!(Sha256Digest::of(content).to_string());
        });
    }
}
