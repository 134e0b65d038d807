//! The two servers as processes of their own: started with a log and a pid file each, and ended by that pid.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::settings::Settings;

/// Longer than a server may take: its drain timeout, which calls in flight and then a refresh may use.
const STOP_LIMIT: Duration = Duration::from_secs(90);
/// How often a state that will change soon is looked at.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// Where one server's log and pid are.
pub(super) struct Server {
    pub(super) name: &'static str,
    log: PathBuf,
    pid_file: PathBuf,
}

/// Both servers, in the order in which they start.
pub(super) fn both(settings: &Settings) -> [Server; 2] {
    ["feature-store", "ranking"].map(|name| Server {
        name,
        log: settings.state_dir.join("logs").join(format!("{name}.log")),
        pid_file: settings.state_dir.join("run").join(format!("{name}.pid")),
    })
}

impl Server {
    /// Starts `finrank serve NAME` in a process group of its own, so that what ends this command does not end it.
    pub(super) fn start(&self, config: Option<&Path>, database_url: &str) -> anyhow::Result<Child> {
        for path in [&self.log, &self.pid_file] {
            fs::create_dir_all(path.parent().context("a file in the state directory")?)?;
        }
        let log = File::create(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let child = command
            .args(["serve", self.name])
            .env("DATABASE_URL", database_url)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start the {} server", self.name))?;
        fs::write(&self.pid_file, child.id().to_string())?;
        Ok(child)
    }

    /// Ends the server whose pid is on file, if it runs, and waits until it has.
    ///
    /// Returns whether one was running.
    pub(super) fn stop(&self) -> anyhow::Result<bool> {
        let Some(pid) = self.running_pid()? else {
            return Ok(false);
        };
        kill(pid, Signal::SIGTERM).with_context(|| format!("cannot end the {} server", self.name))?;
        let give_up = Instant::now() + STOP_LIMIT;
        while is_finrank(pid) {
            if Instant::now() > give_up {
                bail!("the {} server (pid {pid}) has not ended after {STOP_LIMIT:?}", self.name);
            }
            thread::sleep(POLL);
        }
        fs::remove_file(&self.pid_file)?;
        Ok(true)
    }

    /// The end of the server's log, to be shown when it does not start.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(5);
        format!("the {} server ended; {} says:\n{}", self.name, self.log.display(), lines[from..].join("\n"))
    }

    fn running_pid(&self) -> anyhow::Result<Option<Pid>> {
        let raw = match fs::read_to_string(&self.pid_file) {
            Ok(raw) => raw,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(self.pid_file.display().to_string()),
        };
        let pid = raw.trim().parse().with_context(|| format!("{} holds no pid", self.pid_file.display()))?;
        let pid = Pid::from_raw(pid);
        Ok(is_finrank(pid).then_some(pid))
    }
}

/// Whether `pid` lives and is a finrank process; pids are used again, so a stale file may name a stranger.
fn is_finrank(pid: Pid) -> bool {
    if kill(pid, None) == Err(Errno::ESRCH) {
        return false;
    }
    // The link cannot be read once the process has ended, even if its parent has not collected it yet;
    // after a rebuild it reads "finrank (deleted)".
    let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    executable.file_name().is_some_and(|name| name.to_string_lossy().starts_with("finrank"))
}
