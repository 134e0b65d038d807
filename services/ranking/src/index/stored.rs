//! Approximate indexes on disk, so that a start need not build them. A manifest says of what an index was built and what
//! was measured of it, and holds the SHA-256 of its file; only what agrees with it is given to Faiss, whose own reader
//! trusts its input. What does not is set aside, and the index is built anew: nothing here stops a start.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use faiss::index::{Index as _, io as faiss_io};
use finrank_model::{EmbeddingSpace, ModelVersion, Sha256Digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::{info, warn};

use super::{
    ApproximateKind, RecallTable,
    approximate::{Approximate, Effort},
    vectors::Vectors,
};
use crate::Generation;

/// The form of the files; one of another is set aside.
const FORMAT_VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const INDEX: &str = "index.faiss";

/// What a stored index was built of, and what was measured of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexManifest {
    /// The form of the files.
    pub format_version: u32,
    /// The refresh run whose embeddings it was built of.
    pub generation: i64,
    /// The model whose towers ran.
    pub model_version: ModelVersion,
    /// Names the pair of towers.
    pub embedding_space: EmbeddingSpace,
    /// Components of a vector.
    pub dimension: usize,
    /// How many vectors it holds.
    pub rows: usize,
    /// Of the components of all vectors, row after row, as little-endian f32.
    pub vectors_sha256: Sha256Digest,
    /// The kind of index.
    pub kind: ApproximateKind,
    /// The one effort of a graph's searches; lists take theirs with each.
    pub settled: Option<Effort>,
    /// The recall that was to be reached.
    pub recall_target: f64,
    /// What was measured.
    pub recall: RecallTable,
    /// The files beside the manifest.
    pub files: Vec<IndexFile>,
}

/// One file of a stored index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexFile {
    /// A plain file name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Of its content.
    pub sha256: Sha256Digest,
}

/// Why a stored index cannot be used, or not be written.
#[derive(Debug, Error)]
pub enum StoredIndexError {
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The manifest is not one.
    #[error("{MANIFEST} is not a manifest of an index: {0}")]
    Manifest(#[from] serde_json::Error),
    /// It is of another form.
    #[error("{MANIFEST} has format_version {0}, not {FORMAT_VERSION}")]
    Format(u32),
    /// It does not list the one file that there is.
    #[error("{MANIFEST} lists {0:?}, not {INDEX:?} alone")]
    Files(Vec<String>),
    /// A file is not what the manifest says.
    #[error("{name} has {what} {found}, the manifest says {expected}")]
    Damaged {
        /// Which file.
        name: String,
        /// What of it.
        what: &'static str,
        /// As found.
        found: String,
        /// As the manifest says.
        expected: String,
    },
    /// Faiss cannot read or write it.
    #[error("Faiss refuses: {0}")]
    Faiss(#[from] faiss::error::Error),
    /// Faiss takes paths as text.
    #[error("the path {0} is not UTF-8, and Faiss takes no other")]
    Path(PathBuf),
}

/// A stored index whose files agree with its manifest.
#[derive(Debug)]
pub struct StoredIndex {
    directory: PathBuf,
    manifest: IndexManifest,
}

impl StoredIndex {
    /// Reads the manifest in a directory, and the file beside it for its length and SHA-256.
    ///
    /// # Errors
    /// When there is none, or with what is wrong with it.
    pub fn verify(directory: &Path) -> Result<Self, StoredIndexError> {
        let manifest: IndexManifest = serde_json::from_slice(&read(&directory.join(MANIFEST))?)?;
        if manifest.format_version != FORMAT_VERSION {
            return Err(StoredIndexError::Format(manifest.format_version));
        }
        let [file] = &manifest.files[..] else {
            return Err(StoredIndexError::Files(manifest.files.into_iter().map(|file| file.name).collect()));
        };
        if file.name != INDEX {
            return Err(StoredIndexError::Files(vec![file.name.clone()]));
        }
        let found = IndexFile::of(INDEX, &read(&directory.join(INDEX))?);
        agree(INDEX, "a length of", &found.bytes, &file.bytes)?;
        agree(INDEX, "the SHA-256", &found.sha256, &file.sha256)?;
        Ok(Self { directory: directory.to_owned(), manifest })
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &IndexManifest {
        &self.manifest
    }

    fn load(self) -> Result<Approximate, StoredIndexError> {
        let Self { directory, manifest } = self;
        let faiss = faiss_io::read_index(text(&directory.join(INDEX))?)?;
        agree(INDEX, "rows", &faiss.ntotal(), &(manifest.rows as u64))?;
        agree(INDEX, "components", &u64::from(faiss.d()), &(manifest.dimension as u64))?;
        let mut index = Approximate::of(manifest.kind, faiss, manifest.recall);
        if let Some(effort) = manifest.settled {
            index.settle(effort)?;
        }
        Ok(index)
    }
}

/// The place of one index on disk, and what it must be of to be used.
#[derive(Debug)]
pub(super) struct Shelf<'a> {
    pub(super) directory: &'a Path,
    pub(super) generation: &'a Generation,
    pub(super) vectors: &'a Vectors,
    pub(super) kind: ApproximateKind,
    pub(super) depth: usize,
    pub(super) recall_target: f64,
}

impl Shelf<'_> {
    /// The index that is kept, if it is whole and of just these vectors and settings. One that is not whole is set aside.
    pub(super) fn take(&self) -> Option<Approximate> {
        if !self.directory.exists() {
            return None;
        }
        let taken = StoredIndex::verify(self.directory).and_then(|stored| {
            if self.is_of_these(stored.manifest()) { stored.load().map(Some) } else { Ok(None) }
        });
        match taken {
            Ok(Some(index)) => {
                info!(directory = %self.directory.display(), "approximate index read");
                Some(index)
            }
            // Whole, but of other products: what is built now takes its place.
            Ok(None) => None,
            Err(reason) => {
                self.set_aside(&reason);
                None
            }
        }
    }

    /// Keeps an index for the next start. What the file system refuses is only warned of.
    pub(super) fn keep(&self, index: &Approximate) {
        match self.write(index) {
            Ok(()) => info!(directory = %self.directory.display(), "approximate index kept"),
            Err(reason) => warn!(
                directory = %self.directory.display(),
                %reason,
                "the approximate index cannot be kept; the next start will build it anew"
            ),
        }
    }

    fn is_of_these(&self, manifest: &IndexManifest) -> bool {
        manifest.kind == self.kind
            && manifest.embedding_space == self.generation.embedding_space
            && manifest.dimension == self.vectors.dimension()
            && manifest.rows == self.vectors.rows()
            && manifest.recall.depth == self.depth
            && manifest.recall_target == self.recall_target
            && manifest.vectors_sha256 == self.vectors.digest()
    }

    /// Moves what cannot be used out of the way, where it can be looked at; the one before it goes.
    fn set_aside(&self, reason: &StoredIndexError) {
        let aside = with_suffix(self.directory, ".bad");
        let moved = removed(&aside).and_then(|()| fs::rename(self.directory, &aside));
        warn!(
            directory = %self.directory.display(),
            %reason,
            set_aside_as = %aside.display(),
            moved = moved.is_ok(),
            "a kept index cannot be used and is built anew"
        );
    }

    /// Writes beside the place and renames, so that there is a whole index or none.
    fn write(&self, index: &Approximate) -> Result<(), StoredIndexError> {
        let new = with_suffix(self.directory, ".new");
        let old = with_suffix(self.directory, ".old");
        removed(&new).map_err(of(&new))?;
        fs::create_dir_all(&new).map_err(of(&new))?;
        let file = new.join(INDEX);
        faiss_io::write_index(index.faiss(), text(&file)?)?;
        let manifest = self.manifest(index, IndexFile::of(INDEX, &read(&file)?));
        let listed = new.join(MANIFEST);
        fs::write(&listed, serde_json::to_vec_pretty(&manifest)?).map_err(of(&listed))?;
        for written in [&file, &listed, &new] {
            File::open(written).and_then(|written| written.sync_all()).map_err(of(written))?;
        }
        removed(&old).map_err(of(&old))?;
        if self.directory.exists() {
            fs::rename(self.directory, &old).map_err(of(self.directory))?;
        }
        fs::rename(&new, self.directory).map_err(of(self.directory))?;
        removed(&old).map_err(of(&old))
    }

    fn manifest(&self, index: &Approximate, file: IndexFile) -> IndexManifest {
        IndexManifest {
            format_version: FORMAT_VERSION,
            generation: self.generation.run_id,
            model_version: self.generation.model_version.clone(),
            embedding_space: self.generation.embedding_space.clone(),
            dimension: self.vectors.dimension(),
            rows: self.vectors.rows(),
            vectors_sha256: self.vectors.digest(),
            kind: self.kind,
            settled: index.settled(),
            recall_target: self.recall_target,
            recall: index.recall.clone(),
            files: vec![file],
        }
    }
}

impl IndexFile {
    fn of(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: content.len() as u64, sha256: Sha256Digest::of(content) }
    }
}

fn agree<T: PartialEq + ToString>(
    name: &str,
    what: &'static str,
    found: &T,
    expected: &T,
) -> Result<(), StoredIndexError> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_string(), expected.to_string());
    Err(StoredIndexError::Damaged { name: name.to_owned(), what, found, expected })
}

fn read(path: &Path) -> Result<Vec<u8>, StoredIndexError> {
    fs::read(path).map_err(of(path))
}

fn of(path: &Path) -> impl FnOnce(io::Error) -> StoredIndexError + use<> {
    let path = path.to_owned();
    move |source| StoredIndexError::Io { path, source }
}

fn text(path: &Path) -> Result<&str, StoredIndexError> {
    path.to_str().ok_or_else(|| StoredIndexError::Path(path.to_owned()))
}

fn with_suffix(directory: &Path, suffix: &str) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a directory, if there is one.
fn removed(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
