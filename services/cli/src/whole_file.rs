//! Files that get their names once they are whole: a reader sees all of one or none, and what was there before stays until
//! then.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::NamedTempFile;

/// A file in the making; given up unless it is kept.
pub(crate) struct WholeFile {
    partial: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    /// Begins one beside the place that it will take.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let partial = NamedTempFile::new_in(directory)
            .with_context(|| format!("cannot write into {}", directory.display()))?;
        Ok(Self { partial, path: path.to_owned() })
    }

    /// What to write to, from the beginning.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn writer(&self) -> anyhow::Result<BufWriter<File>> {
        let file = self.partial.reopen().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(BufWriter::new(file))
    }

    /// Gives it its name, now that it is whole.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn keep(self) -> anyhow::Result<()> {
        let Self { partial, path } = self;
        partial.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}

/// Writes a file whose content is there already.
///
/// # Errors
/// What the file system says.
pub(crate) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.partial.write_all(content).with_context(|| format!("cannot write {}", path.display()))?;
    file.keep()
}
