//! Who runs Postgres: ourselves, or, since Postgres refuses root, an unprivileged user when we are root.

use std::{
    os::unix::{
        fs::{PermissionsExt, chown},
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
        let known = UNPRIVILEGED
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten());
        known.map(Self::Other).ok_or_else(|| StoreError::Program {
            program: "initdb".to_owned(),
            output: format!("refuses root, and there is no user {}", UNPRIVILEGED.join(" or ")),
        })
    }

    /// Gives the directory, which must be absolute, to the account, and checks that it can get there.
    pub(super) fn own(&self, directory: &Path) -> Result<()> {
        let Self::Other(user) = self else {
            return Ok(());
        };
        for parent in directory.ancestors().skip(1) {
            let metadata = parent.metadata().map_err(|source| file_error(parent, source))?;
            if metadata.permissions().mode() & 0o001 == 0 {
                return Err(StoreError::NotTraversable {
                    user: user.name.clone(),
                    path: parent.to_owned(),
                });
            }
        }
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        chown(directory, Some(uid), Some(gid)).map_err(|source| file_error(directory, source))
    }

    /// Makes a command run as the account.
    pub(super) fn run_as<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        match self {
            Self::Ourselves => command,
            Self::Other(user) => command.uid(user.uid.as_raw()).gid(user.gid.as_raw()),
        }
    }
}
