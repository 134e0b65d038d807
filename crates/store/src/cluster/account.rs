//! Who runs Postgres: ourselves, or, since Postgres refuses root, an unprivileged user when we are root.

use std::{
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use nix::unistd::{User, geteuid};

use super::file_error;
use crate::{Result, StoreError};

/// Users that may run the server when we are root, best first; Debian's package makes the first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Who runs Postgres.
pub(super) enum Account {
    Ourselves,
    Other(User),
}

impl Account {
    pub(super) fn for_servers() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let known = UNPRIVILEGED.iter().find_map(|name| User::from_name(name).ok().flatten());
        known.map(Self::Other).ok_or_else(|| StoreError::Program {
            program: "initdb".to_owned(),
            output: format!("refuses root, and there is no user {}", UNPRIVILEGED.join(" or ")),
        })
    }

    /// Checks that the account can get at a directory, which must be absolute: that it may pass through every
    /// one above.
    pub(super) fn check_way_to(&self, directory: &Path) -> Result<()> {
        let Self::Other(user) = self else {
            return Ok(());
        };
        for parent in directory.ancestors().skip(1) {
            let metadata = parent.metadata().map_err(file_error(parent))?;
            let passable = if metadata.uid() == user.uid.as_raw() {
                0o100
            } else if metadata.gid() == user.gid.as_raw() {
                0o010
            } else {
                0o001
            };
            if metadata.permissions().mode() & passable == 0 {
                return Err(StoreError::NotTraversable { user: user.name.clone(), path: parent.to_owned() });
            }
        }
        Ok(())
    }

    /// Gives a directory to the account.
    pub(super) fn own(&self, directory: &Path) -> Result<()> {
        let Self::Other(user) = self else {
            return Ok(());
        };
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        chown(directory, Some(uid), Some(gid)).map_err(file_error(directory))
    }

    /// Makes a command run as the account, from a directory that everyone may enter.
    pub(super) fn run_as(&self, command: &mut Command) {
        command.current_dir("/");
        if let Self::Other(user) = self {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
    }
}
