//! Creates a cluster, whole or not at all: `initdb` works in a directory beside the one that is wanted, which
//! takes its place by a rename.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    process::Command,
};

use super::{SUPERUSER, account::Account, beside, file_error, programs::Programs};
use crate::{Result, StoreError};

/// Makes a cluster of an empty directory, which must be absolute; leaves one that is there alone.
pub(super) fn unless_it_exists(data_dir: &Path, programs: &Programs, account: &Account) -> Result<()> {
    account.check_way_to(data_dir)?;
    if data_dir.join("PG_VERSION").is_file() {
        return Ok(());
    }
    let mut entries = fs::read_dir(data_dir).map_err(file_error(data_dir))?;
    if entries.next().is_some() {
        return Err(StoreError::NotACluster { path: data_dir.to_owned() });
    }
    let unfinished = beside(data_dir, "unfinished");
    remove(&unfinished).map_err(file_error(&unfinished))?;
    fs::create_dir(&unfinished).map_err(file_error(&unfinished))?;
    account.own(&unfinished)?;
    initdb(&unfinished, programs, account)?;
    fs::rename(&unfinished, data_dir).map_err(file_error(data_dir))
}

/// What a creation left that was killed.
fn remove(unfinished: &Path) -> io::Result<()> {
    match fs::remove_dir_all(unfinished) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn initdb(directory: &Path, programs: &Programs, account: &Account) -> Result<()> {
    let path = programs.initdb();
    let mut initdb = Command::new(&path);
    initdb
        .args(["--username", SUPERUSER, "--auth", "trust"])
        // The locale C is there on every machine, and sorts by bytes as Rust does.
        .args(["--encoding", "UTF8", "--locale", "C"])
        .args(["--no-instructions", "--pgdata"])
        .arg(directory);
    account.run_as(&mut initdb);
    let output = initdb.output().map_err(file_error(&path))?;
    if output.status.success() {
        return Ok(());
    }
    Err(StoreError::Program {
        program: "initdb".to_owned(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
