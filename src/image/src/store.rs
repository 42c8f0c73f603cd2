//! The store: images on disk, what they are called, and who uses them.
//!
//! Below the root: `store/` (an OCI image layout that others may read), `snapshots/` (layers
//! unpacked), `containers/<id>/` (a container's upper and work folder, and which image it uses) and
//! `staging/`. All are readable by root alone.
//!
//! Locks, all flock on folders: `store/` shared to read and exclusive to change names; `snapshots/`
//! shared by whoever needs blobs or snapshots that no name holds yet, and tried exclusively by the
//! garbage collection, which then leaves the work to whoever ends last.
//! An image exists from the moment the new index.json is renamed into place.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::document::{self, Descriptor, Index, LayoutMark};
use crate::error::{At, Error, Result};
use crate::snapshot::Snapshots;
use crate::staging::{self, Staging};

/// Images below one root folder. Cheap to open; holds no lock and no state between calls.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A held lock; ends with its drop.
pub(crate) struct Lock {
    _folder: File,
}

impl Store {
    /// Opens or makes the store below `root` and removes what dead processes left.
    ///
    /// # Errors
    /// A folder that cannot be made, [`Error::ReadOnly`] and [`Error::NoSpace`] among them; a
    /// layout of an unknown version.
    pub fn open(root: &Path) -> Result<Store> {
        let store = Store { root: root.to_owned() };
        if !root.is_dir() {
            fs::create_dir_all(root.parent().unwrap_or(root)).at("making", root)?;
            make(root)?;
        }
        for folder in [
            store.layout(),
            store.layout().join("blobs"),
            store.blobs(),
            store.snapshots().path().to_owned(),
            store.snapshots().chains(),
            store.containers(),
            store.staging_parent(),
        ] {
            make(&folder)?;
        }
        let mark = store.layout().join("oci-layout");
        match fs::read(&mark) {
            Ok(bytes) => store.check_mark(&bytes)?,
            Err(e) if e.kind() == ErrorKind::NotFound => store.begin_layout(&mark)?,
            Err(e) => return Err(Error::io("reading", &mark, e)),
        }
        if staging::remove_dead(&store.staging_parent())? > 0 {
            store.sweep()?;
        }
        Ok(store)
    }

    /// The folder this store lies below.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn check_mark(&self, bytes: &[u8]) -> Result<()> {
        let mark: LayoutMark = document::parse(bytes).map_err(|p| self.wrong("oci-layout", p))?;
        if mark.image_layout_version == "1.0.0" {
            return Ok(());
        }
        let version = mark.image_layout_version;
        Err(self.wrong("oci-layout", format!("version {version:?}, only 1.0.0 is known")))
    }

    fn begin_layout(&self, mark: &Path) -> Result<()> {
        let staging = self.staging()?;
        let _lock = self.lock_names()?;
        if !self.index_path().exists() {
            self.write_index(&staging, &Index::new(Vec::new()))?;
        }
        let version = LayoutMark { image_layout_version: "1.0.0".into() };
        self.write_file(&staging, mark, &version)
    }

    pub(crate) fn layout(&self) -> PathBuf {
        self.root.join("store")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.layout().join("blobs").join("sha256")
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(crate) fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.root.join("snapshots"))
    }

    fn staging_parent(&self) -> PathBuf {
        self.root.join("staging")
    }

    fn index_path(&self) -> PathBuf {
        self.layout().join("index.json")
    }

    /// A folder for one operation, on the store's file system.
    pub(crate) fn staging(&self) -> Result<Staging> {
        Staging::new(&self.staging_parent())
    }

    /// Needed to change index.json, blobs, snapshots or containers.
    pub(crate) fn lock_names(&self) -> Result<Lock> {
        let path = self.layout();
        let folder = File::open(&path).at("opening", &path)?;
        folder.lock().at("locking", &path)?;
        Ok(Lock { _folder: folder })
    }

    /// Needed to read what a sweep may remove.
    pub(crate) fn lock_reading(&self) -> Result<Lock> {
        let path = self.layout();
        let folder = File::open(&path).at("opening", &path)?;
        folder.lock_shared().at("locking", &path)?;
        Ok(Lock { _folder: folder })
    }

    /// Keeps the garbage collection away from what no name holds yet.
    pub(crate) fn lease(&self) -> Result<Lock> {
        let path = self.root.join("snapshots");
        let folder = File::open(&path).at("opening", &path)?;
        folder.lock_shared().at("locking", &path)?;
        Ok(Lock { _folder: folder })
    }

    /// The exclusive side of [`Store::lease`]; `None` when someone holds one.
    pub(crate) fn try_collect(&self) -> Result<Option<Lock>> {
        let path = self.root.join("snapshots");
        let folder = File::open(&path).at("opening", &path)?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(Lock { _folder: folder })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(Error::io("locking", &path, e)),
        }
    }

    /// The error for a document of the store itself.
    pub(crate) fn wrong(&self, document: &str, problem: String) -> Error {
        Error::Document {
            archive: self.layout().display().to_string(),
            document: document.into(),
            problem,
        }
    }

    pub(crate) fn read_index(&self) -> Result<Index> {
        let path = self.index_path();
        let bytes = fs::read(&path).at("reading", &path)?;
        Index::parse(&bytes).map_err(|p| self.wrong("index.json", p))
    }

    /// Replaces index.json durably. The caller holds the lock on names.
    pub(crate) fn write_index(&self, staging: &Staging, index: &Index) -> Result<()> {
        self.write_file(staging, &self.index_path(), index)
    }

    fn write_file(
        &self,
        staging: &Staging,
        path: &Path,
        value: &impl serde::Serialize,
    ) -> Result<()> {
        let bytes =
            serde_json::to_vec(value).map_err(|e| self.wrong("index.json", e.to_string()))?;
        let fresh = staging.path().join("document");
        let mut file = File::create(&fresh).at("writing", &fresh)?;
        file.write_all(&bytes).at("writing", &fresh)?;
        file.sync_all().at("writing", &fresh)?;
        fs::rename(&fresh, path).at("replacing", path)?;
        sync_folder(&self.layout())
    }

    /// A blob of the store that is a document.
    pub(crate) fn document(&self, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>> {
        let path = self.blobs().join(descriptor.digest.hex());
        let length = match fs::metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(Error::MissingBlob {
                    archive: self.layout().display().to_string(),
                    blob: format!("{what} {}", descriptor.digest),
                });
            }
            found => found.at("reading", &path)?.len(),
        };
        if length > document::DOCUMENT_MAX {
            return Err(self.wrong(what, document::too_long(length)));
        }
        let bytes = fs::read(&path).at("reading", &path)?;
        let actual = Digest::of(&bytes);
        if actual != descriptor.digest {
            return Err(Error::DigestMismatch {
                archive: self.layout().display().to_string(),
                blob: what.into(),
                expected: descriptor.digest.to_string(),
                actual: actual.to_string(),
            });
        }
        Ok(bytes)
    }
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).at("writing to disk", path)
}

fn make(path: &Path) -> Result<()> {
    match staging::make_private(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        // A read-only file system says so even of a folder that is there.
        Err(_) if path.is_dir() => Ok(()),
        other => other.at("making", path),
    }
}

#[cfg(test)]
mod tests;
