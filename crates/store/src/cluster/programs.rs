//! Finding Postgres's programs.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{Result, StoreError};

/// Where Debian keeps the programs of each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A directory that holds both `postgres` and `initdb`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Programs(PathBuf);

impl Programs {
    /// The configured directory, or else the first of PATH and Debian's directories that holds both.
    pub(super) fn find(configured: Option<&Path>) -> Result<Self> {
        let directories = match configured {
            Some(directory) => vec![directory.to_owned()],
            None => [on_path(), debian(Path::new(DEBIAN))].concat(),
        };
        let found = directories.iter().find_map(|directory| usable(directory));
        found.ok_or_else(|| StoreError::NoPrograms {
            looked_in: match configured {
                Some(directory) => directory.display().to_string(),
                None => format!("PATH or {DEBIAN}/*/bin"),
            },
        })
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.0.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }
}

/// PATH may hold `initdb` alone, as a link into a directory that holds both; so the link is followed.
fn usable(directory: &Path) -> Option<Programs> {
    let initdb = fs::canonicalize(directory.join("initdb")).ok()?;
    let directory = initdb.parent()?;
    directory.join("postgres").is_file().then(|| Programs(directory.to_owned()))
}

fn on_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The newest major version first.
fn debian(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut majors: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    majors.into_iter().map(|major| root.join(major.to_string()).join("bin")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_the_newest_major_by_number_not_by_letter() {
        let root = tempfile::tempdir().unwrap();
        for major in ["9", "15", "16", "not-a-version"] {
            fs::create_dir_all(root.path().join(major).join("bin")).unwrap();
        }

        let found = debian(root.path());

        assert_eq!(found[0], root.path().join("16/bin"));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_directory_without_the_server_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("initdb"), "").unwrap();

        assert_eq!(usable(directory.path()), None);
        fs::write(directory.path().join("postgres"), "").unwrap();
        assert!(usable(directory.path()).is_some());
    }

    #[test]
    fn says_where_it_looked() {
        let directory = tempfile::tempdir().unwrap();

        let error = Programs::find(Some(directory.path())).unwrap_err();

        assert!(error.to_string().contains(&directory.path().display().to_string()));
    }
}
