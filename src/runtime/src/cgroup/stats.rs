//! Reading: processes, memory, OOM kills.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::walk::{walk, within};
use super::{Cgroup, Error, io_error};

impl Cgroup {
    /// Every process in the cgroup and below it, in any hierarchy, ascending, in this pid
    /// namespace's numbers. A removed folder holds none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        let mut found = BTreeSet::new();
        for folder in &self.folders {
            walk(&folder.path, |cgroup| collect(cgroup, &mut found), |_, _| ())
                .map_err(io_error("read the processes of", &folder.path))?;
        }
        Ok(found.into_iter().collect())
    }

    /// How often the kernel's OOM killer has killed a process in here. 0 without a memory
    /// controller.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn oom_kills(&self) -> Result<u64, Error> {
        let path = match (self.v1_folder("memory"), self.v2_folder()) {
            (Some(folder), _) => folder.join("memory.oom_control"),
            (None, Some(folder)) => folder.join("memory.events"),
            (None, None) => return Ok(0),
        };
        Ok(read(&path)?.and_then(|text| keyed(&text, "oom_kill")).unwrap_or(0))
    }

    /// Bytes of memory in use, `None` without a memory controller.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn memory_current(&self) -> Result<Option<u64>, Error> {
        let path = match (self.v1_folder("memory"), self.v2_folder()) {
            (Some(folder), _) => folder.join("memory.usage_in_bytes"),
            (None, Some(folder)) => folder.join("memory.current"),
            (None, None) => return Ok(None),
        };
        Ok(read(&path)?.and_then(|text| text.trim().parse().ok()))
    }

    /// One value of `memory.stat`, by its key in the host's cgroup version.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn memory_stat(&self, key: &str) -> Result<Option<u64>, Error> {
        let Some(folder) = self.v1_folder("memory").or(self.v2_folder()) else { return Ok(None) };
        Ok(read(&folder.join("memory.stat"))?.and_then(|text| keyed(&text, key)))
    }

    /// CPU time used so far, in microseconds; `None` where nothing counts it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn cpu_usage_us(&self) -> Result<Option<u64>, Error> {
        if let Some(folder) = self.v1_folder("cpuacct") {
            let ns = read(&folder.join("cpuacct.usage"))?;
            return Ok(ns.and_then(|text| text.trim().parse::<u64>().ok()).map(|ns| ns / 1000));
        }
        let Some(folder) = self.v2_folder() else { return Ok(None) };
        Ok(read(&folder.join("cpu.stat"))?.and_then(|text| keyed(&text, "usage_usec")))
    }

    pub(super) fn read_number(&self, controller: &str, file: &str) -> Option<u64> {
        let path = self.v1_folder(controller)?.join(file);
        sys::kernel_file::read(path).ok()?.trim().parse().ok()
    }
}

/// The value after `key` in lines of `KEY VALUE`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok()).flatten()
    })
}

/// The file's text; `None` when the file, or its cgroup, is gone.
fn read(path: &Path) -> Result<Option<String>, Error> {
    match sys::kernel_file::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if gone(&e) => Ok(None),
        Err(e) => Err(io_error("read", path)(e)),
    }
}

/// A cgroup removed while its file is open answers ENODEV.
pub(super) fn gone(error: &std::io::Error) -> bool {
    const ENODEV: i32 = 19;
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ENODEV)
}

fn collect(folder: BorrowedFd<'_>, found: &mut BTreeSet<i32>) -> std::io::Result<()> {
    const EOPNOTSUPP: i32 = 95;
    match sys::kernel_file::read(within(folder, "cgroup.procs")) {
        // A process of another pid namespace reads as 0.
        Ok(text) => {
            found.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()).filter(|p| *p != 0));
            Ok(())
        }
        // A threaded v2 cgroup: its processes are listed in the domain above.
        Err(e) if gone(&e) || e.raw_os_error() == Some(EOPNOTSUPP) => Ok(()),
        other => other.map(drop),
    }
}
