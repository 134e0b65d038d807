//! A private Postgres cluster for a machine that has none to offer: found, created, started and stopped.
//!
//! Blocking, for it waits on processes. The server outlives whoever started it; `postmaster.pid` in its data
//! directory is the only record of it.

mod account;
mod create;
mod launch;
mod pid_file;
mod programs;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use self::{account::Account, launch::Launched, pid_file::Running, programs::Programs};
use crate::{Result, StoreError};

/// How long a start may take; recovery after a crash is the slow case.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a fast shutdown may take before it becomes an immediate one, and that one before we give up.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The superuser of a private cluster. It listens on loopback alone and trusts whoever connects, so that every
/// user of the machine can: it is for one person's machine, a demo and tests.
const SUPERUSER: &str = "finrank";
/// Made with the cluster.
const DATABASE: &str = "finrank";

/// Where a cluster is, and how to run it.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The cluster's files; created if it does not exist. Log and lock lie beside it, as `<data_dir>.log` and
    /// `<data_dir>.lock`.
    pub data_dir: PathBuf,
    /// The directory with `postgres` and `initdb`; by default PATH, then Debian's directories, newest first.
    pub bin_dir: Option<PathBuf>,
    /// The port on 127.0.0.1; by default a free one.
    pub port: Option<u16>,
}

/// A cluster that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    running: Running,
}

impl Cluster {
    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.running.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.running.port
    }

    /// The server's process.
    pub fn pid(&self) -> i32 {
        self.running.pid
    }
}

/// Starts the cluster, creating it first if need be, and waits until it answers. One that already runs is
/// returned as it is, whatever its port. Of several starts at once one does the work, the others wait for it.
///
/// # Errors
/// When Postgres's programs are not found, the data directory holds something else or cannot be reached by the
/// user that runs Postgres, the port is taken, or the server ends or does not become ready.
pub fn start(config: &ClusterConfig) -> Result<Cluster> {
    fs::create_dir_all(&config.data_dir).map_err(file_error(&config.data_dir))?;
    let data_dir = absolute(&config.data_dir)?;
    let _alone = lock(&data_dir)?;
    let cluster = match running(&data_dir)? {
        Some(cluster) if launch::wait_until_ready(&cluster, &data_dir)? => cluster,
        _ => {
            let programs = Programs::find(config.bin_dir.as_deref())?;
            let account = Account::for_servers()?;
            create::unless_it_exists(&data_dir, &programs, &account)?;
            let launched = Launched::start(&data_dir, &programs, &account, config.port)?;
            launched.wait_until_ready()?
        }
    };
    create_database(&cluster)?;
    Ok(cluster)
}

/// The cluster in a directory, if it runs.
///
/// # Errors
/// When the directory or its pid file cannot be read.
pub fn running(data_dir: &Path) -> Result<Option<Cluster>> {
    match fs::canonicalize(data_dir) {
        Ok(data_dir) => Ok(Running::read(&data_dir)?.map(|running| Cluster { running })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file_error(data_dir)(source)),
    }
}

/// Stops the cluster in a directory and waits until it has. Returns whether one ran.
///
/// # Errors
/// When we may not stop it, or it does not stop.
pub fn stop(data_dir: &Path) -> Result<bool> {
    let Some(cluster) = running(data_dir)? else {
        return Ok(false);
    };
    // SIGINT ends sessions and stops in order; SIGQUIT leaves recovery to the next start.
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        match kill(Pid::from_raw(cluster.pid()), signal) {
            // Gone by now, which is what we want.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(file_error(data_dir)(errno.into())),
        }
        let give_up = Instant::now() + STOP_LIMIT;
        while Instant::now() < give_up {
            if running(data_dir)?.as_ref() != Some(&cluster) {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
    }
    Err(stuck(data_dir, "does not stop"))
}

/// Held for as long as one process creates or starts the cluster.
fn lock(data_dir: &Path) -> Result<File> {
    let path = beside(data_dir, "lock");
    let file = File::create(&path).map_err(file_error(&path))?;
    file.lock().map_err(file_error(&path))?;
    Ok(file)
}

fn create_database(cluster: &Cluster) -> Result<()> {
    let mut client = crate::bulk::connect(&cluster.url("postgres"))?;
    let known = client.query_opt("select from pg_database where datname = $1", &[&DATABASE])?;
    if known.is_none() {
        client.batch_execute(&format!("create database {DATABASE}"))?;
    }
    Ok(())
}

/// `/state/pg` and `log` make `/state/pg.log`: `initdb` wants the data directory itself empty.
fn beside(data_dir: &Path, extension: &str) -> PathBuf {
    let mut path = data_dir.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(file_error(path))
}

fn stuck(data_dir: &Path, what: &'static str) -> StoreError {
    StoreError::Stuck { data_dir: data_dir.to_owned(), what, log: beside(data_dir, "log") }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, source }
}
