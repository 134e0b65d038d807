//! A private Postgres cluster for a machine that has none to offer: found, created, started and stopped.
//!
//! Blocking, for it waits on processes. The server gets a session of its own and outlives whoever started it;
//! `postmaster.pid` in its data directory is the only record of it.

mod account;
mod pid_file;
mod programs;

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use self::{account::Account, pid_file::Running, programs::Programs};
use crate::{Result, StoreError};

/// How long a start may take; recovery after a crash is the slow case.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a fast shutdown may take before it becomes an immediate one, and that one before we give up.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The superuser of a private cluster. It listens on loopback alone and trusts whoever connects.
const SUPERUSER: &str = "finrank";
/// Made with the cluster.
const DATABASE: &str = "finrank";

/// Where a cluster is, and how to run it.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The cluster's files; created if it does not exist.
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
        format!(
            "postgres://{SUPERUSER}@127.0.0.1:{}/{database}",
            self.running.port
        )
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

/// Starts the cluster, creating it first if need be. One that already runs is returned as it is.
///
/// # Errors
/// When Postgres's programs are not found, the data directory holds something else, the port is taken, or the
/// server does not become ready.
pub fn start(config: &ClusterConfig) -> Result<Cluster> {
    if let Some(cluster) = running(&config.data_dir)? {
        wait_until_ready(&cluster, &config.data_dir)?;
        return Ok(cluster);
    }
    let programs = Programs::find(config.bin_dir.as_deref())?;
    let account = Account::for_servers()?;
    if !is_cluster(&config.data_dir) {
        create(config, &programs, &account)?;
    }
    // Its shared directory may have been moved since, so paths are made absolute at every start.
    let data_dir = absolute(&config.data_dir)?;
    launch(&data_dir, &programs, &account, config.port)?;
    let cluster = wait_for_pid_file(&data_dir)?;
    wait_until_ready(&cluster, &data_dir)?;
    create_database(&cluster)?;
    Ok(cluster)
}

/// The cluster in a directory, if it runs.
///
/// # Errors
/// When its pid file cannot be read.
pub fn running(data_dir: &Path) -> Result<Option<Cluster>> {
    Ok(Running::read(data_dir)?.map(|running| Cluster { running }))
}

/// Stops the cluster in a directory and waits until it has. Returns whether one ran.
///
/// # Errors
/// When it does not stop.
pub fn stop(data_dir: &Path) -> Result<bool> {
    let Some(cluster) = running(data_dir)? else {
        return Ok(false);
    };
    // SIGINT ends sessions and stops in order; SIGQUIT leaves recovery to the next start.
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        // The process may be gone by now, which is what we want.
        let _ = kill(Pid::from_raw(cluster.pid()), signal);
        let give_up = Instant::now() + STOP_LIMIT;
        while Instant::now() < give_up {
            if running(data_dir)?.is_none() {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
    }
    Err(stuck(data_dir, "does not stop"))
}

fn is_cluster(data_dir: &Path) -> bool {
    data_dir.join("PG_VERSION").is_file()
}

/// Runs `initdb` in an empty directory.
fn create(config: &ClusterConfig, programs: &Programs, account: &Account) -> Result<()> {
    let data_dir = &config.data_dir;
    fs::create_dir_all(data_dir).map_err(|source| file_error(data_dir, source))?;
    let mut entries = fs::read_dir(data_dir).map_err(|source| file_error(data_dir, source))?;
    if entries.next().is_some() {
        return Err(StoreError::NotACluster {
            path: data_dir.clone(),
        });
    }
    let data_dir = absolute(data_dir)?;
    account.own(&data_dir)?;
    let mut initdb = Command::new(programs.initdb());
    initdb
        .args([
            "--username",
            SUPERUSER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
        ])
        .args(["--no-instructions", "--pgdata"])
        .arg(&data_dir);
    account.run_as(&mut initdb).current_dir("/");
    let output = initdb
        .output()
        .map_err(|source| file_error(&programs.initdb(), source))?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(StoreError::Program {
        program: "initdb".to_owned(),
        output,
    })
}

/// Starts the server without waiting for it.
fn launch(data_dir: &Path, programs: &Programs, account: &Account, port: Option<u16>) -> Result<()> {
    let port = match port {
        Some(port) => bind(port).map(|_| port).ok_or(StoreError::PortTaken(port))?,
        None => free_port()?,
    };
    let log_path = log_path(data_dir);
    let log = File::create(&log_path).map_err(|source| file_error(&log_path, source))?;
    let log_again = log.try_clone().map_err(|source| file_error(&log_path, source))?;
    let mut postgres = Command::new(programs.postgres());
    postgres
        .arg("-D")
        .arg(data_dir)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        // A socket's path is limited to some hundred bytes, which a data directory's may exceed.
        .args(["-c", "unix_socket_directories="])
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_again)
        .process_group(0);
    account.run_as(&mut postgres).current_dir("/");
    postgres
        .spawn()
        .map_err(|source| file_error(&programs.postgres(), source))?;
    Ok(())
}

fn wait_for_pid_file(data_dir: &Path) -> Result<Cluster> {
    let give_up = Instant::now() + START_LIMIT;
    while Instant::now() < give_up {
        if let Some(cluster) = running(data_dir)? {
            return Ok(cluster);
        }
        thread::sleep(POLL);
    }
    Err(stuck(data_dir, "did not start"))
}

fn wait_until_ready(cluster: &Cluster, data_dir: &Path) -> Result<()> {
    let give_up = Instant::now() + START_LIMIT;
    while Instant::now() < give_up {
        if crate::bulk::connect(&cluster.url("postgres")).is_ok() {
            return Ok(());
        }
        if running(data_dir)?.is_none() {
            break;
        }
        thread::sleep(POLL);
    }
    Err(stuck(data_dir, "did not become ready"))
}

fn create_database(cluster: &Cluster) -> Result<()> {
    let mut client = crate::bulk::connect(&cluster.url("postgres"))?;
    let known = client.query_opt("select 1 from pg_database where datname = $1", &[&DATABASE])?;
    if known.is_none() {
        client.batch_execute(&format!("create database {DATABASE}"))?;
    }
    Ok(())
}

/// A port that is free now; whoever takes it before Postgres does makes the start fail, not hang.
fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind(("127.0.0.1", 0)).map_err(|source| file_error(Path::new("127.0.0.1"), source))?;
    let address = listener
        .local_addr()
        .map_err(|source| file_error(Path::new("127.0.0.1"), source))?;
    Ok(address.port())
}

fn bind(port: u16) -> Option<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).ok()
}

/// Beside the data directory, for `initdb` wants that empty.
fn log_path(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("log")
}

fn absolute(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|source| file_error(path, source))
}

fn stuck(data_dir: &Path, what: &'static str) -> StoreError {
    StoreError::Stuck {
        data_dir: data_dir.to_owned(),
        what,
        log: log_path(data_dir),
    }
}

fn file_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::File {
        path: path.to_owned(),
        source,
    }
}
