//! What the tests of the import share.

use std::{
    fs,
    path::{Path, PathBuf},
};

use finrank_feature_store::import::{Counts, CsvFiles, ImportError, ImportReport, import_csv};
use finrank_store::{bulk, scratch::ScratchDatabase};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A database and a directory of its own; imports block, so tests are not asynchronous.
pub(crate) struct Place {
    database: ScratchDatabase,
    directory: TempDir,
    // Outlives the database's connections.
    _runtime: Runtime,
}

impl Place {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(ScratchDatabase::create());
        Self { database, directory: tempfile::tempdir().unwrap(), _runtime: runtime }
    }

    pub(crate) fn url(&self) -> &str {
        self.database.store.url()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Imports files, or says why not.
    pub(crate) fn import(&self, files: &CsvFiles) -> Result<ImportReport, ImportError> {
        import_csv(self.url(), files, &mut ())
    }

    /// The first column of a query's rows.
    pub(crate) fn texts(&self, query: &str) -> Vec<String> {
        let rows = bulk::connect(self.url()).unwrap().query(query, &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) fn number(&self, query: &str) -> i64 {
        bulk::connect(self.url()).unwrap().query_one(query, &[]).unwrap().get(0)
    }
}

pub(crate) fn customers(path: &Path) -> CsvFiles {
    CsvFiles { customers: Some(path.to_owned()), ..CsvFiles::default() }
}

pub(crate) fn products(path: &Path) -> CsvFiles {
    CsvFiles { products: Some(path.to_owned()), ..CsvFiles::default() }
}

pub(crate) fn events(path: &Path) -> CsvFiles {
    CsvFiles { events: Some(path.to_owned()), ..CsvFiles::default() }
}

pub(crate) fn counts(accepted: u64, duplicate: u64, rejected: u64) -> Counts {
    Counts { accepted, duplicate, rejected }
}
