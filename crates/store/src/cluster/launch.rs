//! Launches the server of a cluster and waits until it answers.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use super::{
    Cluster, POLL, START_LIMIT, account::Account, beside, file_error, programs::Programs, running, stuck,
};
use crate::{Result, StoreError, bulk};

/// How much of the log a failed start shows.
const LOG_LINES: usize = 10;

/// A server that was launched and may not answer yet.
pub(super) struct Launched {
    data_dir: PathBuf,
    server: Child,
}

impl Launched {
    /// Launches the server of an existing cluster.
    pub(super) fn start(
        data_dir: &Path,
        programs: &Programs,
        account: &Account,
        port: Option<u16>,
    ) -> Result<Self> {
        let port = match port {
            Some(port) => bind(port).map(|_| port).ok_or(StoreError::PortTaken(port))?,
            None => free_port().map_err(file_error(Path::new("127.0.0.1")))?,
        };
        let log_path = beside(data_dir, "log");
        let log = File::create(&log_path).map_err(file_error(&log_path))?;
        let log_again = log.try_clone().map_err(file_error(&log_path))?;
        let mut postgres = Command::new(programs.postgres());
        postgres
            .arg("-D")
            .arg(data_dir)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            // A socket's path is limited to some hundred bytes, which a data directory's may exceed.
            .args(["-c", "unix_socket_directories="])
            // Compiling the query of a page of 10,000 records took 270 ms of its 350 ms.
            .args(["-c", "jit=off"])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_again)
            // Out of the terminal's foreground group, so that Ctrl-C does not reach it. A hangup may: it makes
            // Postgres read its configuration again.
            .process_group(0);
        account.run_as(&mut postgres);
        let server = postgres.spawn().map_err(file_error(&programs.postgres()))?;
        Ok(Self { data_dir: data_dir.to_owned(), server })
    }

    /// Waits until the server answers, or says why it ended.
    pub(super) fn wait_until_ready(mut self) -> Result<Cluster> {
        let give_up = Instant::now() + START_LIMIT;
        while Instant::now() < give_up {
            if self.has_ended() {
                return Err(StoreError::Program {
                    program: "postgres".to_owned(),
                    output: self.end_of_log()?,
                });
            }
            match running(&self.data_dir)? {
                Some(cluster) if answers(&cluster) => {
                    self.let_go();
                    return Ok(cluster);
                }
                _ => thread::sleep(POLL),
            }
        }
        Err(stuck(&self.data_dir, "did not become ready"))
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.server.try_wait(), Ok(None))
    }

    fn end_of_log(&self) -> Result<String> {
        let path = beside(&self.data_dir, "log");
        let log = fs::read(&path).map_err(file_error(&path))?;
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
    }

    /// Leaves the server running. Should it end before we do, the thread collects it: it would stay a zombie.
    fn let_go(mut self) {
        thread::spawn(move || self.server.wait());
    }
}

/// Waits for a server that somebody else launched. Returns whether it answers, and has not ended meanwhile.
pub(super) fn wait_until_ready(cluster: &Cluster, data_dir: &Path) -> Result<bool> {
    let give_up = Instant::now() + START_LIMIT;
    while Instant::now() < give_up {
        if answers(cluster) {
            return Ok(true);
        }
        if running(data_dir)?.as_ref() != Some(cluster) {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
    Err(stuck(data_dir, "runs but does not answer"))
}

fn answers(cluster: &Cluster) -> bool {
    bulk::connect(&cluster.url("postgres")).is_ok()
}

/// A port that is free now; whoever takes it before Postgres does makes the start fail, not hang.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).ok()
}
