//! Clusters of their own, created, started and stopped.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
};

use finrank_store::{
    StoreError, bulk,
    cluster::{self, ClusterConfig},
};
use tempfile::TempDir;

/// A place for a cluster, which is stopped at the end of the test whatever its outcome.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // A temporary directory is its owner's alone; the user that runs Postgres must get through.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    fn data_dir(&self) -> PathBuf {
        self.0.path().join("pg")
    }

    fn config(&self) -> ClusterConfig {
        ClusterConfig { data_dir: self.data_dir(), bin_dir: None, port: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = cluster::stop(&self.data_dir());
    }
}

#[test]
fn starts_once_stops_and_keeps_its_data() {
    let place = Place::new();

    let first = cluster::start(&place.config()).unwrap();
    let second = cluster::start(&place.config()).unwrap();
    execute(&first.url("finrank"), "create table kept ()");
    let stopped = cluster::stop(&place.data_dir()).unwrap();
    let running = cluster::running(&place.data_dir()).unwrap();
    let stopped_again = cluster::stop(&place.data_dir()).unwrap();
    let third = cluster::start(&place.config()).unwrap();

    assert_eq!(second, first);
    assert!(stopped);
    assert_eq!(running, None);
    assert!(!stopped_again);
    execute(&third.url("finrank"), "drop table kept");
}

#[test]
fn starts_at_the_same_time_share_one_server() {
    let place = Place::new();

    let clusters = thread::scope(|scope| {
        let starts: Vec<_> =
            (0..3).map(|_| scope.spawn(|| cluster::start(&place.config()).unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
    });

    assert_eq!(clusters[1], clusters[0]);
    assert_eq!(clusters[2], clusters[0]);
}

#[test]
fn a_pid_file_that_a_crash_left_is_not_believed() {
    let place = Place::new();
    let pid_file = place.data_dir().join("postmaster.pid");
    cluster::start(&place.config()).unwrap();
    let left = fs::read_to_string(&pid_file).unwrap();
    cluster::stop(&place.data_dir()).unwrap();
    let (_, rest) = left.split_once('\n').unwrap();
    // The pid has come to be another process's meanwhile: this one's.
    fs::write(&pid_file, format!("{}\n{rest}", std::process::id())).unwrap();

    let running = cluster::running(&place.data_dir()).unwrap();
    let stopped = cluster::stop(&place.data_dir()).unwrap();
    let restarted = cluster::start(&place.config());

    assert_eq!(running, None);
    assert!(!stopped);
    restarted.unwrap();
}

#[test]
fn the_server_of_another_directory_is_never_stopped() {
    let place = Place::new();
    let server = cluster::start(&place.config()).unwrap();
    let other = tempfile::tempdir().unwrap();
    fs::copy(place.data_dir().join("postmaster.pid"), other.path().join("postmaster.pid")).unwrap();

    let stopped = cluster::stop(other.path()).unwrap();

    assert!(!stopped);
    assert_eq!(cluster::running(&place.data_dir()).unwrap(), Some(server));
}

#[test]
fn a_port_that_is_taken_is_refused_by_its_number() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = ClusterConfig { port: Some(port), ..place.config() };

    let refused = cluster::start(&config).unwrap_err();
    drop(taken);
    let started = cluster::start(&config).unwrap();

    assert_eq!(refused.to_string(), format!("port {port} is in use; choose another, or none for a free one"));
    assert_eq!(started.port(), port);
}

#[test]
fn a_directory_that_holds_something_else_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.data_dir()).unwrap();
    fs::write(place.data_dir().join("thesis.txt"), "").unwrap();

    let error = cluster::start(&place.config()).unwrap_err();

    assert!(matches!(error, StoreError::NotACluster { path } if path == canonical(&place.data_dir())));
    assert_eq!(fs::read_dir(place.data_dir()).unwrap().count(), 1);
}

#[test]
fn a_broken_cluster_is_reported_in_the_words_of_postgres() {
    let place = Place::new();
    fs::create_dir(place.data_dir()).unwrap();
    fs::write(place.data_dir().join("PG_VERSION"), "15\n").unwrap();

    let error = cluster::start(&place.config()).unwrap_err();

    assert!(error.to_string().starts_with("postgres failed: "), "{error}");
    assert!(error.to_string().contains("postgresql.conf"), "{error}");
}

#[test]
fn a_creation_that_was_killed_is_begun_anew() {
    let place = Place::new();
    let unfinished = place.0.path().join("pg.unfinished");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("PG_VERSION"), "15\n").unwrap();

    cluster::start(&place.config()).unwrap();

    assert!(!unfinished.exists());
}

#[test]
fn a_directory_that_bars_the_way_is_named() {
    let place = Place::new();
    let barred = place.0.path().join("barred");
    fs::create_dir(&barred).unwrap();
    fs::set_permissions(&barred, fs::Permissions::from_mode(0o700)).unwrap();
    let config = ClusterConfig { data_dir: barred.join("pg"), ..place.config() };

    let started = cluster::start(&config);
    let _ = cluster::stop(&config.data_dir);

    // Only root runs Postgres as somebody else, who may be barred.
    if nix::unistd::geteuid().is_root() {
        assert!(
            matches!(&started, Err(StoreError::NotTraversable { path, .. }) if *path == canonical(&barred)),
            "{started:?}"
        );
    } else {
        started.unwrap();
    }
}

#[test]
fn where_nothing_was_ever_started_nothing_runs() {
    let nowhere = Path::new("/nonexistent/pg");

    assert_eq!(cluster::running(nowhere).unwrap(), None);
    assert!(!cluster::stop(nowhere).unwrap());
}

fn execute(url: &str, statement: &str) {
    bulk::connect(url).unwrap().batch_execute(statement).unwrap();
}

fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap()
}
