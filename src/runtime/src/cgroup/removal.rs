//! Signalling, freezing, killing and removing, each within a deadline.
//!
//! Invariants: a signal goes to a pidfd that was opened before the process was seen (again) in the
//! cgroup, so never to a stranger with a reused number; no wait is unbounded.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::stats::gone;
use super::walk::{walk, within};
use super::{Cgroup, Error, Folder, io_error};

const SIGKILL: i32 = 9;
const ESRCH: i32 = 3;
/// How long the kernel gets for what it does not announce (a v1 freeze, the last reference).
const STEP: Duration = Duration::from_millis(2);
/// How long a signal to all may hold its receivers still.
const FREEZE: Duration = Duration::from_millis(500);

impl Cgroup {
    /// Signals every process; SIGKILL by `cgroup.kill` where v2 is, which no fork can outrun.
    /// Others are sent while the cgroup is frozen, where it can be.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn kill_all(&self, signal: i32) -> Result<(), Error> {
        if signal == SIGKILL {
            self.kill_v2();
            return self.signal_each(SIGKILL).map(drop);
        }
        // One that is paused stays so: the signal waits with it.
        let paused = self.is_frozen().unwrap_or(false);
        let still = !paused && self.freeze(Instant::now() + FREEZE).is_ok();
        let sent = self.signal_each(signal).map(drop);
        if still {
            self.thaw()?;
        }
        sent
    }

    /// Stops all processes where they are, until [`Cgroup::thaw`].
    ///
    /// # Errors
    /// [`Error::Busy`] when `deadline` passes first (it is thawed again), [`Error::Io`].
    pub fn freeze(&self, deadline: Instant) -> Result<(), Error> {
        let outcome = match (self.v2_folder(), self.v1_folder("freezer")) {
            (Some(folder), _) if folder.join("cgroup.freeze").exists() => {
                freeze_v2(folder, deadline)
            }
            (_, Some(folder)) => freeze_v1(folder, deadline),
            _ => return Err(Error::NotMounted),
        };
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.thaw()?;
                Err(self.busy())
            }
            Err((path, e)) => Err(io_error("freeze", &path)(e)),
        }
    }

    /// Lets frozen processes go on; a no-op when they are not frozen.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn thaw(&self) -> Result<(), Error> {
        let v2 = self.v2_folder().map(|f| (f.join("cgroup.freeze"), "0"));
        let v1 = self.v1_folder("freezer").map(|f| (f.join("freezer.state"), "THAWED"));
        for (path, value) in v2.into_iter().chain(v1) {
            match write(&path, value) {
                Err(e) if !gone(&e) => return Err(io_error("thaw", &path)(e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// As [`Cgroup::thaw`], with every cgroup below: a container may have frozen a part of itself,
    /// and what v1 has frozen not even SIGKILL ends.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn thaw_whole(&self) -> Result<(), Error> {
        self.thaw()?;
        let Some(folder) = self.v1_folder("freezer") else { return Ok(()) };
        let thaw = |cgroup: BorrowedFd<'_>| {
            // One that goes away meanwhile holds nothing.
            let _ = write(&within(cgroup, "freezer.state"), "THAWED");
            Ok(())
        };
        walk(folder, thaw, |_, _| ()).map_err(io_error("thaw", folder))
    }

    /// Whether the cgroup is frozen, by either version's freezer.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_frozen(&self) -> Result<bool, Error> {
        Ok(self.v2_says("cgroup.freeze", "1")? || self.v1_freezes()?)
    }

    /// Whether nothing goes on in it, because it or one above it is frozen.
    pub(super) fn is_held(&self) -> Result<bool, Error> {
        Ok(self.v2_says("cgroup.events", "frozen 1")? || self.v1_freezes()?)
    }

    fn v2_says(&self, file: &str, line: &str) -> Result<bool, Error> {
        let Some(folder) = self.v2_folder() else { return Ok(false) };
        Ok(said(&folder.join(file))?.lines().any(|l| l == line))
    }

    /// Of version 1, what is above counts, too.
    fn v1_freezes(&self) -> Result<bool, Error> {
        let Some(folder) = self.v1_folder("freezer") else { return Ok(false) };
        Ok(matches!(said(&folder.join("freezer.state"))?.trim(), "FROZEN" | "FREEZING"))
    }

    /// Kills every process in the cgroup and below, and removes the folders, sub-cgroups first.
    /// What is already gone is fine.
    ///
    /// # Errors
    /// [`Error::Busy`] at `deadline`; the rest of the folders is removed all the same.
    pub fn remove(self, deadline: Instant) -> Result<(), Error> {
        // The usual case: nothing lives in it, nothing is below it.
        let left = |folder: &&Folder| !removed(&folder.path);
        if self.folders.iter().filter(left).count() == 0 {
            return Ok(());
        }
        self.end(deadline)?;
        loop {
            let busy: Vec<&Path> = self
                .folders
                .iter()
                .map(|f| f.path.as_path())
                .filter(|path| remove_tree(path).is_err())
                .collect();
            if busy.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.busy());
            }
            self.signal_each(SIGKILL)?;
            sys::teardown::until((Instant::now() + STEP).min(deadline));
        }
    }

    /// Removes those of its folders that hold nothing.
    pub(crate) fn remove_empty(self) {
        for folder in &self.folders {
            removed(&folder.path);
        }
    }

    /// Kills every process in the cgroup and below and waits until they are gone.
    ///
    /// # Errors
    /// [`Error::Busy`] at `deadline`.
    pub(crate) fn end(&self, deadline: Instant) -> Result<(), Error> {
        self.thaw_whole()?;
        self.kill_v2();
        self.empty(deadline)
    }

    /// Waits until no process is left, killing those that come anew.
    fn empty(&self, deadline: Instant) -> Result<(), Error> {
        if let Some(folder) = self.v2_folder() {
            let path = folder.join("cgroup.events");
            match wait_for(&path, "populated 0", deadline) {
                Err(e) if !gone(&e) => return Err(io_error("watch", &path)(e)),
                _ => {}
            }
        }
        loop {
            let alive = self.signal_each(SIGKILL)?;
            if alive.is_empty() && self.pids()?.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.busy());
            }
            if alive.is_empty() {
                sys::teardown::until((Instant::now() + STEP).min(deadline));
            } else {
                let path = self.folders.first().map(|f| f.path.clone()).unwrap_or_default();
                sys::teardown::any_ended(&alive, deadline).map_err(io_error("watch", &path))?;
            }
        }
    }

    fn kill_v2(&self) {
        if let Some(folder) = self.v2_folder() {
            // Absent before Linux 5.14: signal_each does the work then.
            let _ = write(&folder.join("cgroup.kill"), "1");
        }
    }

    /// Signals each process once; returns the pidfds of those that were alive.
    fn signal_each(&self, signal: i32) -> Result<Vec<OwnedFd>, Error> {
        let seen: Vec<(i32, OwnedFd)> = self
            .pids()?
            .into_iter()
            .filter_map(|pid| Some((pid, sys::teardown::open_process(pid).ok()?)))
            .collect();
        if seen.is_empty() {
            return Ok(Vec::new());
        }
        let still = self.pids()?;
        let mut alive = Vec::new();
        for (pid, pidfd) in seen.into_iter().filter(|(pid, _)| still.binary_search(pid).is_ok()) {
            match sys::teardown::signal_process(pidfd.as_fd(), signal) {
                Ok(()) => alive.push(pidfd),
                Err(e) if e.raw_os_error() == Some(ESRCH) => {}
                Err(source) => {
                    let path = format!("/proc/{pid}").into();
                    return Err(Error::Io { what: "signal", path, source });
                }
            }
        }
        Ok(alive)
    }

    fn busy(&self) -> Error {
        let remaining = self.pids().map_or(0, |p| p.len());
        let path = self.folders.iter().rfind(|f| f.path.exists()).or(self.folders.last());
        Error::Busy { path: path.map(|f| f.path.clone()).unwrap_or_default(), remaining }
    }
}

type Failed = (std::path::PathBuf, io::Error);

fn freeze_v2(folder: &Path, deadline: Instant) -> Result<bool, Failed> {
    let path = folder.join("cgroup.freeze");
    write(&path, "1").map_err(|e| (path, e))?;
    let events = folder.join("cgroup.events");
    wait_for(&events, "frozen 1", deadline).map_err(|e| (events, e))
}

/// v1 may stay FREEZING while a process is busy forking; asking again is what its document says.
fn freeze_v1(folder: &Path, deadline: Instant) -> Result<bool, Failed> {
    let path = folder.join("freezer.state");
    loop {
        write(&path, "FROZEN").map_err(|e| (path.clone(), e))?;
        let state = fs::read_to_string(&path).map_err(|e| (path.clone(), e))?;
        if state.trim() == "FROZEN" {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sys::teardown::until((Instant::now() + STEP).min(deadline));
    }
}

/// Waits for a line of `cgroup.events`. The kernel announces a change of the file, but one within
/// 10 ms of the last only when those are over: it is looked at meanwhile.
/// The text of a cgroup's file; none when the cgroup is gone.
fn said(path: &Path) -> Result<String, Error> {
    match sys::kernel_file::read(path) {
        Err(error) if !gone(&error) => Err(io_error("read", path)(error)),
        other => Ok(other.unwrap_or_default()),
    }
}

fn wait_for(path: &Path, line: &str, deadline: Instant) -> io::Result<bool> {
    use std::io::{Read, Seek};
    let mut file = File::open(path)?;
    loop {
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        if text.lines().any(|l| l == line) {
            return Ok(true);
        }
        let next = (Instant::now() + STEP).min(deadline);
        if !sys::teardown::changed(file.as_fd(), next)? && Instant::now() >= deadline {
            return Ok(false);
        }
    }
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    io::Write::write_all(&mut file, value.as_bytes())
}

/// Removes an empty cgroup; `false` when it is not.
fn removed(folder: &Path) -> bool {
    fs::remove_dir(folder).map_or_else(|e| gone(&e), |()| true)
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    if removed(folder) {
        return Ok(());
    }
    // What cannot go is told by the last one, which cannot then.
    walk(folder, |_| Ok(()), |parent, name| drop(sys::dir::remove_folder(parent, name)))?;
    match fs::remove_dir(folder) {
        Err(e) if !gone(&e) => Err(e),
        _ => Ok(()),
    }
}
