//! How much memory this process, and so the server in it, had at most.

use std::fs;

use crate::Result;

/// Watches from now on.
pub(crate) struct Peak(());

impl Peak {
    /// Begins at what is resident now.
    pub(crate) fn watch() -> Result<Self> {
        // Resets VmHWM, see proc(5).
        fs::write("/proc/self/clear_refs", "5")?;
        Ok(Self(()))
    }

    /// The peak so far, in MiB.
    pub(crate) fn mib(&self) -> Result<u64> {
        let status = fs::read_to_string("/proc/self/status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).ok_or("no VmHWM")?.parse()?;
        Ok(kib / 1024)
    }
}
