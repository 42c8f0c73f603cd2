//! A limit of the store's bytes: what may be brought in is checked before and while it comes, and
//! once more, for all processes together, when it becomes an image.
//!
//! The limit is a number in the file `limit` of the store's folder. Counted are blobs as they are
//! and snapshots as they lie on the disk; folders of containers are not. Without a limit nothing is
//! counted. Not here: what is removed to make room.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{At, Error, Result};
use crate::prune::on_disk;
use crate::store::Store;

const FILE: &str = "limit";

/// What one operation may still take.
pub(crate) struct Budget {
    root: PathBuf,
    limit: Option<u64>,
    /// By the store when the operation first asked, bytes.
    used: OnceLock<u64>,
    taken: AtomicU64,
}

fn read(root: &Path) -> Result<Option<u64>> {
    let path = root.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| Error::Document {
            archive: root.display().to_string(),
            document: FILE.into(),
            problem: "is no number of bytes: set it anew by `podvisor system limit`".into(),
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("reading", &path, e)),
    }
}

fn used(root: &Path) -> Result<u64> {
    let blobs = root.join("store").join("blobs").join("sha256");
    let mut bytes = on_disk(&root.join("snapshots"))?;
    for entry in fs::read_dir(&blobs).at("reading", &blobs)? {
        // One that vanishes meanwhile takes nothing.
        bytes += entry.and_then(|e| e.metadata()).map_or(0, |m| m.len());
    }
    Ok(bytes)
}

impl Budget {
    pub(crate) fn of(root: &Path) -> Result<Budget> {
        let (used, taken) = (OnceLock::new(), AtomicU64::new(0));
        Ok(Budget { root: root.to_owned(), limit: read(root)?, used, taken })
    }

    /// Asks for so many bytes more.
    pub(crate) fn take(&self, bytes: u64) -> Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let used = match self.used.get() {
            Some(used) => *used,
            // Two threads may both look; they see the same.
            None => *{
                let now = used(&self.root)?;
                self.used.get_or_init(|| now)
            },
        };
        self.compare(limit, used, taken)
    }

    /// Whether the store has room for all that was taken, by what it holds now. The caller holds
    /// the lock on names.
    pub(crate) fn check(&self) -> Result<()> {
        let taken = self.taken.load(Ordering::Relaxed);
        match self.limit {
            Some(limit) if taken > 0 => self.compare(limit, used(&self.root)?, taken),
            _ => Ok(()),
        }
    }

    fn compare(&self, limit: u64, used: u64, needed: u64) -> Result<()> {
        if used.saturating_add(needed) <= limit {
            return Ok(());
        }
        Err(Error::Limit { root: self.root.display().to_string(), limit, used, needed })
    }
}

/// A stream whose bytes are taken from a budget.
pub(crate) struct Counted<'a, R> {
    pub(crate) input: R,
    pub(crate) budget: &'a Budget,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.budget.take(count as u64).map_err(io::Error::other)?;
        Ok(count)
    }
}

impl Store {
    /// Sets how many bytes images may take; `None` takes the limit away. What is there stays.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn set_limit(&self, bytes: Option<u64>) -> Result<()> {
        let path = self.root().join(FILE);
        let Some(bytes) = bytes else {
            return match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("removing", &path, e)),
                _ => Ok(()),
            };
        };
        // Not in a staging folder: to make one, the limit is read, which may be the one to mend.
        let fresh = self.root().join(format!("{FILE}.{}", std::process::id()));
        fs::write(&fresh, format!("{bytes}\n")).at("writing", &fresh)?;
        fs::rename(&fresh, &path).at("replacing", &path)
    }

    /// How many bytes images may take, and how many they do.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn limit(&self) -> Result<(Option<u64>, u64)> {
        Ok((read(self.root())?, used(self.root())?))
    }
}
