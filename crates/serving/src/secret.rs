//! Secret keys in files of their own, made when they are first needed.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::{Result, ServingError};

/// How long a key is, in bytes.
pub const KEY_BYTES: usize = 32;

/// The key in `file`, or without a file one that ends with the process. A file that does not exist is made, with a new key
/// that only its owner may read. `setting` names the file in errors.
///
/// # Errors
/// [`ServingError::Key`] when the file cannot be read or made, or holds anything but 64 hexadecimal digits.
pub fn load(setting: &'static str, file: Option<&Path>) -> Result<[u8; KEY_BYTES]> {
    let Some(path) = file else {
        return Ok(rand::random());
    };
    match fs::exists(path) {
        Ok(true) => {}
        Ok(false) => make(path).map_err(|error| refused(setting, path, error.to_string()))?,
        Err(error) => return Err(refused(setting, path, error.to_string())),
    }
    read(setting, path)
}

/// The key in a file that must be there.
///
/// # Errors
/// [`ServingError::Key`] when it is not, or holds anything but 64 hexadecimal digits.
pub fn read(setting: &'static str, path: &Path) -> Result<[u8; KEY_BYTES]> {
    let content = fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => refused(setting, path, "no server has made it yet".to_owned()),
        _ => refused(setting, path, error.to_string()),
    })?;
    let mut key = [0; KEY_BYTES];
    hex::decode_to_slice(content.trim_end(), &mut key).map_err(|_| {
        refused(setting, path, format!("it does not hold {} hexadecimal digits", 2 * KEY_BYTES))
    })?;
    Ok(key)
}

fn refused(setting: &'static str, path: &Path, reason: String) -> ServingError {
    ServingError::Key { setting, path: path.to_owned(), reason }
}

/// Makes the file whole or not at all: of servers that start together one makes it, and all read the same key.
fn make(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut unfinished = PathBuf::from(path);
    unfinished.as_mut_os_string().push(format!(".{}", Uuid::new_v4()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{}", hex::encode(rand::random::<[u8; KEY_BYTES]>()))?;
    file.sync_all()?;
    let made = fs::hard_link(&unfinished, path);
    fs::remove_file(&unfinished)?;
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
