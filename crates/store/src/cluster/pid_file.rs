//! `postmaster.pid`: what Postgres writes of a server that runs, trusted only while that process lives and is
//! the server of this very directory, for a crash leaves the file behind and pids are used again.

use std::{ffi::OsStr, fs, io::ErrorKind, os::unix::ffi::OsStrExt, path::Path};

use super::file_error;
use crate::Result;

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) pid: i32,
    pub(super) port: u16,
}

impl Running {
    /// Reads the file of a data directory, which must be absolute, if there is one and it is not stale.
    pub(super) fn read(data_dir: &Path) -> Result<Option<Self>> {
        let path = data_dir.join("postmaster.pid");
        let raw = match fs::read_to_string(&path) {
            Ok(raw) => raw,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(source) => return Err(file_error(&path)(source)),
        };
        Ok(parse(&raw).filter(|running| serves(running.pid, data_dir)))
    }
}

/// Line 1 is the pid, line 4 the port. A file that is still being written parses as none.
fn parse(raw: &str) -> Option<Running> {
    let lines: Vec<&str> = raw.lines().collect();
    let pid = lines.first()?.trim().parse().ok()?;
    let port = lines.get(3)?.trim().parse().ok()?;
    Some(Running { pid, port })
}

/// Whether a process is the server of a directory, by its command line `postgres -D <directory> …`. Everyone may
/// read that, other than `/proc/<pid>/cwd`, which root may not in a container without CAP_SYS_PTRACE. It is
/// empty for a process that has ended and was not collected yet.
fn serves(pid: i32, data_dir: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments: Vec<&[u8]> = arguments.split(|&byte| byte == 0).collect();
    let program = Path::new(OsStr::from_bytes(arguments[0]));
    let names_directory = arguments.windows(2).any(|pair| pair == [b"-D", data_dir.as_os_str().as_bytes()]);
    program.file_name() == Some(OsStr::new("postgres")) && names_directory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pid_and_port() {
        let running = parse("4711\n/var/lib/pg\n1790000000\n5433\n\n127.0.0.1\n").unwrap();

        assert_eq!(running, Running { pid: 4711, port: 5433 });
    }

    #[test]
    fn a_file_half_written_is_no_server() {
        assert_eq!(parse("4711\n/var/lib"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn the_pid_of_a_stranger_is_no_server() {
        let directory = tempfile::tempdir().unwrap();
        let own_pid = std::process::id();
        fs::write(directory.path().join("postmaster.pid"), format!("{own_pid}\n/x\n1\n5433\n")).unwrap();

        assert_eq!(Running::read(directory.path()).unwrap(), None);
    }
}
