//! Removing images that nobody needs, and telling what the store takes up.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{At, Result};
use crate::pull::partial;
use crate::removal::Removed;
use crate::store::Store;

/// What a store takes up on its file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many images.
    pub images: usize,
    /// How many of them a container uses.
    pub images_used: usize,
    /// Packed blobs, bytes.
    pub blob_bytes: u64,
    /// Blobs that only unused images hold, bytes.
    pub blob_bytes_unused: u64,
    /// How many unpacked layers.
    pub snapshots: usize,
    /// Unpacked layers, bytes on the disk.
    pub snapshot_bytes: u64,
    /// How many containers have a folder.
    pub containers: usize,
    /// What containers have changed, bytes on the disk.
    pub container_bytes: u64,
    /// Blobs that are being downloaded, or of which a broken download has left a part.
    pub downloads: usize,
    /// What has come of those, bytes.
    pub download_bytes: u64,
}

impl Store {
    /// Removes images that have no name, with `all` those too that no container uses; and what
    /// broken downloads have left.
    ///
    /// # Errors
    /// A store that cannot be read or changed.
    pub fn prune(&self, all: bool) -> Result<Removed> {
        self.release_stale_mounts()?;
        let mut removed = Removed::default();
        {
            let staging = self.staging()?;
            let _lock = self.lock_names()?;
            let used: BTreeSet<Digest> = self.users()?.into_values().collect();
            let mut gone = BTreeSet::new();
            for (digest, names) in self.named()? {
                if (all || names.is_empty()) && !used.contains(&digest) {
                    removed.untagged.extend(names);
                    removed.deleted.push(digest.to_string());
                    gone.insert(digest);
                }
            }
            if !gone.is_empty() {
                let mut index = self.read_index()?;
                index.manifests.retain(|entry| !gone.contains(&entry.digest));
                self.write_index(&staging, &index)?;
            }
        }
        removed.take(self.sweep()?);
        let stored = self.blobs();
        let partial = partial::folder(self.root())?;
        removed.freed_bytes += partial::clear(&partial, |hex| stored.join(hex).is_file());
        Ok(removed)
    }

    /// What the store takes up.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        let _lock = self.lock_reading()?;
        let used: BTreeSet<Digest> = self.users()?.into_values().collect();
        let mut usage = Usage::default();
        let mut held = BTreeSet::new();
        for (digest, _) in self.named()? {
            usage.images += 1;
            if used.contains(&digest) {
                usage.images_used += 1;
                let image = self.image(&digest)?;
                held.extend(image.layers.into_iter().map(|l| l.descriptor.digest));
                held.extend([digest, image.config_digest]);
            }
        }
        let folder = self.blobs();
        for entry in fs::read_dir(&folder).at("reading", &folder)? {
            let entry = entry.at("reading", &folder)?;
            let size = entry.metadata().at("reading", &folder)?.len();
            usage.blob_bytes += size;
            let name = entry.file_name();
            if !held.iter().any(|digest| name == digest.hex()) {
                usage.blob_bytes_unused += size;
            }
        }
        let snapshots = self.snapshots();
        usage.snapshots = snapshots.numbers()?.len();
        usage.snapshot_bytes = on_disk(snapshots.path())?;
        usage.containers = fs::read_dir(self.containers()).into_iter().flatten().count();
        usage.container_bytes = on_disk(&self.containers())?;
        let partial = partial::folder(self.root())?;
        for entry in fs::read_dir(&partial).at("reading", &partial)?.flatten() {
            usage.downloads += 1;
            // One that has just come to its end is gone.
            usage.download_bytes += entry.metadata().map_or(0, |found| found.len());
        }
        Ok(usage)
    }
}

/// Bytes of disk below a folder; hard links count once, other file systems and what vanishes
/// meanwhile not at all.
pub(crate) fn on_disk(folder: &Path) -> Result<u64> {
    let device = fs::symlink_metadata(folder).at("reading", folder)?.dev();
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let mut todo: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.dev() != device
                || found.nlink() > 1 && found.is_file() && !seen.insert(found.ino())
            {
                continue;
            }
            bytes += found.blocks() * 512;
            if found.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    Ok(bytes)
}
