//! Ending a build from another thread, at any moment, and sweeping up after those that were killed.
//!
//! Between two steps nothing of a build is anywhere but in its staging folder: it may simply end.
//! While a command runs, its container has to be removed: [`Interrupt::tell`] does it, and the
//! build ends itself. A build's folder of containers is locked (flock) while it lives.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{At, Error, Result};

/// How often a container that is just being made is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// A command's container.
#[derive(Debug, Clone)]
struct Running {
    runtime: PathBuf,
    root: PathBuf,
    id: String,
}

#[derive(Debug, Default)]
struct Inner {
    signal: AtomicI32,
    running: Mutex<Option<Running>>,
    ended: Condvar,
}

/// The way to end a build; clones end the same one.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<Inner>);

impl Interrupt {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the build to end. True: a command was running, its container is gone, and the build
    /// ends itself. False: nothing has to be waited for, and no command begins any more.
    #[must_use]
    pub fn tell(&self, signal: i32) -> bool {
        let mut running = self.running();
        self.0.signal.store(signal, Ordering::SeqCst);
        let Some(step) = running.clone() else { return false };
        while running.is_some() {
            // One that is not made yet is not there yet: it is tried again.
            let _ = remove(&step.runtime, &step.root, &step.id);
            let waited = self.0.ended.wait_timeout(running, AGAIN);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Fails when the build was asked to end.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.signal.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(Error::Interrupted { signal }),
        }
    }

    /// Notes the container that is about to run.
    pub(crate) fn begin(&self, runtime: &Path, root: &Path, id: &str) -> Result<()> {
        let mut running = self.running();
        self.check()?;
        let (runtime, root) = (runtime.to_owned(), root.to_owned());
        *running = Some(Running { runtime, root, id: id.to_owned() });
        Ok(())
    }

    /// Notes that it has ended.
    pub(crate) fn end(&self) {
        *self.running() = None;
        self.0.ended.notify_all();
    }
}

fn remove(runtime: &Path, root: &Path, id: &str) -> io::Result<()> {
    let mut command = Command::new(runtime);
    command.arg("--root").arg(root).args(["delete", "--force", id]);
    let nothing = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    nothing.status().map(drop)
}

/// The folder of the containers of one build.
pub(crate) struct Containers {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Containers {
    pub(crate) fn new(parent: &Path) -> Result<Containers> {
        fs::create_dir_all(parent).at("making", parent)?;
        for number in 0.. {
            let path = parent.join(format!("{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    made.at("making", &path)?;
                    let lock = File::open(&path).at("opening", &path)?;
                    lock.lock().at("locking", &path)?;
                    return Ok(Containers { path, _lock: lock });
                }
            }
        }
        Err(Error::refused("no name is left for a folder", ""))
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next command.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the containers of builds that were killed; `state` is [`crate::Options::state`].
///
/// # Errors
/// Folders that cannot be read or removed.
pub fn sweep(state: &Path, runtime: &Path) -> Result<()> {
    let entries = match fs::read_dir(state) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).at("reading", state),
    };
    for entry in entries {
        let path = entry.at("reading", state)?.path();
        let Ok(folder) = File::open(&path) else { continue };
        if folder.try_lock().is_err() {
            continue;
        }
        for container in fs::read_dir(&path).at("reading", &path)? {
            let id = container.at("reading", &path)?.file_name();
            let id = id.to_string_lossy();
            remove(runtime, &path, &id).at("running", runtime)?;
        }
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).at("removing", &path),
            _ => {}
        }
    }
    Ok(())
}
