//! Folders for what is being made, removed with all in them unless it was moved out.
//!
//! A staging folder is locked (flock) by the process that uses it; one without a holder belongs to
//! a dead process and is removed when a store is opened. `staging/` itself is locked shared while a
//! folder is made and exclusively while dead ones are looked for, so that a folder just made is
//! not taken for dead. All locks are on folders: there are no lock files.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::budget::Budget;
use crate::error::{At, Error, Result};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder of one operation.
pub(crate) struct Staging {
    path: PathBuf,
    lock: File,
    budget: Arc<Budget>,
}

pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

impl Staging {
    /// Makes one below `parent`, readable by its owner alone.
    pub(crate) fn new(parent: &Path) -> Result<Staging> {
        let budget = Arc::new(Budget::of(parent.parent().unwrap_or(parent))?);
        let making = File::open(parent).at("opening", parent)?;
        making.lock_shared().at("locking", parent)?;
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{}-{number}", std::process::id()));
            match make_private(&path) {
                // Another pid namespace has the same pid.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    made.at("making", &path)?;
                    let lock = File::open(&path).at("opening", &path)?;
                    lock.lock().at("locking", &path)?;
                    return Ok(Staging { path, lock, budget });
                }
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the operation may take of the store.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Makes everything on its file system durable.
    pub(crate) fn sync(&self) -> Result<()> {
        sys::dir::sync_file_system(&self.lock).at("writing to disk", &self.path)
    }

    /// Moves a file or folder in, to be removed with the rest. What is not there is fine.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        match fs::rename(path, self.path.join(format!("gone-{number}"))) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            other => other.at("removing", path),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is a dead folder to the next process that opens the store.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of dead processes; returns how many there were.
pub(crate) fn remove_dead(parent: &Path) -> Result<usize> {
    let looking = File::open(parent).at("opening", parent)?;
    looking.lock().at("locking", parent)?;
    let mut removed = 0;
    for entry in fs::read_dir(parent).at("reading", parent)? {
        let path = entry.at("reading", parent)?.path();
        let Ok(folder) = File::open(&path) else { continue };
        if folder.try_lock().is_err() {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => removed += 1,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            // Reading must go on in a store that cannot be changed.
            Err(e) if e.kind() == ErrorKind::ReadOnlyFilesystem => return Ok(removed),
            Err(e) => return Err(Error::io("removing", &path, e)),
        }
    }
    Ok(removed)
}
