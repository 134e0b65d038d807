//! Approximate indexes kept on disk, whole and damaged.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{
    plans::{embeddings, settings},
    *,
};

const DIMENSION: usize = 16;
const ROWS: usize = 2_000;

fn kept(kind: IndexKind, directory: &Path, embeddings: &[Embedding]) -> ProductIndex {
    let settings = settings(kind);
    let builder =
        IndexBuilder { settings: &settings, unchanged: None, directory: Some(directory.to_owned()) };
    builder.build(generation(DIMENSION), embeddings).unwrap()
}

/// A directory with an index of lists in it.
fn with_an_index(embeddings: &[Embedding]) -> (TempDir, std::path::PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("embeddings");
    kept(IndexKind::Ivf, &directory, embeddings);
    (parent, directory)
}

#[test]
fn an_index_that_was_kept_is_read_and_answers_as_before() {
    let embeddings = embeddings(12_000, 1);
    let all = RowSet::full(12_000);
    for kind in [IndexKind::Hnsw, IndexKind::Ivf, IndexKind::IvfSq8] {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("embeddings");
        let built = kept(kind, &directory, &embeddings);
        // Marked, to tell an index that was read from one that was built.
        let path = directory.join("manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let settings = manifest["recall"]["bands"][0]["settings"].as_array_mut().unwrap();
        settings.last_mut().unwrap()["recall"] = 0.9901.into();
        fs::write(&path, manifest.to_string()).unwrap();

        let read = kept(kind, &directory, &embeddings);

        assert_eq!(read.approximate().unwrap().1.bands[0].settings.last().unwrap().recall, 0.9901);
        for asked in embeddings.iter().take(10) {
            let asked = query(asked.as_slice());
            let [read, built] = [&read, &built].map(|index| index.search(&asked, &all, 20).unwrap());
            assert!(matches!(read.plan.method, Method::Approximate { .. }), "{:?}", read.plan);
            assert_eq!(read.hits, built.hits);
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing else lies there");
    }
}

#[test]
fn a_manifest_says_what_the_index_is() {
    let embeddings = embeddings(ROWS, 1);
    let (_parent, directory) = with_an_index(&embeddings);

    let stored = StoredIndex::verify(&directory).unwrap();

    let manifest = stored.manifest();
    assert_eq!((manifest.rows, manifest.dimension, manifest.generation), (ROWS, DIMENSION, 1));
    assert_eq!(manifest.kind, ApproximateKind::Ivf);
    let flat: Vec<u8> = embeddings
        .iter()
        .flat_map(|embedding| embedding.as_slice().iter().flat_map(|value| value.to_le_bytes()))
        .collect();
    assert_eq!(manifest.vectors_sha256, finrank_model::Sha256Digest::of(&flat));
}

#[test]
fn a_damaged_index_is_set_aside_and_built_anew() {
    let embeddings = embeddings(ROWS, 1);
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("a flipped bit", |directory| {
            let mut bytes = fs::read(directory.join("index.faiss")).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(directory.join("index.faiss"), bytes).unwrap();
        }),
        ("cut short", |directory| {
            let bytes = fs::read(directory.join("index.faiss")).unwrap();
            fs::write(directory.join("index.faiss"), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("no file", |directory| fs::remove_file(directory.join("index.faiss")).unwrap()),
        ("no manifest", |directory| fs::remove_file(directory.join("manifest.json")).unwrap()),
        ("no JSON", |directory| fs::write(directory.join("manifest.json"), "{").unwrap()),
    ];
    for (what, damage) in damages {
        let (parent, directory) = with_an_index(&embeddings);
        damage(&directory);
        assert!(StoredIndex::verify(&directory).is_err(), "{what}");

        let index = kept(IndexKind::Ivf, &directory, &embeddings);

        assert!(index.approximate().is_some());
        assert!(parent.path().join("embeddings.bad").is_dir(), "{what} is set aside");
        StoredIndex::verify(&directory).unwrap();
    }
}

#[test]
fn a_refusal_names_what_is_wrong() {
    let (_parent, directory) = with_an_index(&embeddings(ROWS, 1));
    let bytes = fs::read(directory.join("index.faiss")).unwrap();
    fs::write(directory.join("index.faiss"), &bytes[1..]).unwrap();

    let refusal = StoredIndex::verify(&directory).unwrap_err();

    let (found, expected) = (bytes.len() - 1, bytes.len());
    assert_eq!(
        refusal.to_string(),
        format!("index.faiss has a length of {found}, the manifest says {expected}")
    );
}

#[test]
fn an_index_of_other_products_gives_way_and_is_not_set_aside() {
    let (parent, directory) = with_an_index(&embeddings(ROWS, 1));
    let before = StoredIndex::verify(&directory).unwrap().manifest().vectors_sha256;

    kept(IndexKind::Ivf, &directory, &embeddings(ROWS, 2));

    let after = StoredIndex::verify(&directory).unwrap().manifest().vectors_sha256;
    assert_ne!(after, before);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_that_cannot_be_written_stops_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();

    let index = kept(IndexKind::Ivf, &file.join("embeddings"), &embeddings(ROWS, 1));

    assert!(index.approximate().is_some());
}
