//! Removing images of a store, and collecting what no image and no container uses any more.

use std::collections::BTreeSet;
use std::fs;

use crate::catalog::name_of;
use crate::digest::Digest;
use crate::error::{At, Error, Result};
use crate::reference::Reference;
use crate::snapshot;
use crate::store::{Store, sync_folder};

/// What a removal has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<String>,
    /// Digest of the image, when it is gone with its last name.
    pub deleted: Vec<String>,
    /// Freed blobs, bytes (snapshots are not counted), and parts of blobs.
    pub freed_bytes: u64,
    /// The files stay for now: a container uses them, or another process is loading and removes
    /// them at its end.
    pub waits: bool,
}

/// What a sweep has done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Swept {
    /// False when another process holds a lease: that one sweeps at its end.
    pub(crate) done: bool,
    /// Of blobs.
    pub(crate) freed_bytes: u64,
}

impl Removed {
    /// Takes over what a sweep has done.
    pub(crate) fn take(&mut self, swept: Swept) {
        self.freed_bytes = swept.freed_bytes;
        self.waits = !swept.done && !self.deleted.is_empty();
    }
}

impl Store {
    /// Removes a name, and the image with its last one (by id: with all its names).
    ///
    /// # Errors
    /// [`Error::InUse`] when a container uses it and this is its last name; with `force` it is
    /// dropped all the same, and its files go when the last container is released. Else as
    /// [`Store::resolve`].
    pub fn remove(&self, name: &str, force: bool) -> Result<Removed> {
        let mut removed = Removed::default();
        let in_use;
        {
            let staging = self.staging()?;
            let _lock = self.lock_names()?;
            let images = self.named()?;
            let (digest, names) = self.find(name, &images)?;
            let named = name.parse::<Reference>().ok().filter(|r| r.digest().is_none());
            let named = named.map(|r| r.familiar()).filter(|n| names.contains(n));
            let last = named.is_none() || names.len() == 1;
            let users = self.users()?;
            let users: Vec<String> =
                users.iter().filter(|(_, d)| *d == digest).map(|(id, _)| id.clone()).collect();
            if last && !force && !users.is_empty() {
                return Err(Error::InUse { name: name.into(), containers: users });
            }
            let mut index = self.read_index()?;
            index.manifests.retain(|entry| {
                let this = named.is_none() || name_of(entry).map(|n| n.familiar()) == named;
                entry.digest != *digest || !this
            });
            self.write_index(&staging, &index)?;
            removed.untagged = named.map_or_else(|| names.clone(), |n| vec![n]);
            in_use = last && !users.is_empty();
            if last {
                removed.deleted.push(digest.to_string());
            }
        }
        removed.take(self.sweep()?);
        removed.waits |= in_use;
        Ok(removed)
    }

    /// Removes blobs and snapshots that nothing uses. Does nothing while another process loads:
    /// that one sweeps at its end.
    pub(crate) fn sweep(&self) -> Result<Swept> {
        let Some(_collecting) = self.try_collect()? else { return Ok(Swept::default()) };
        let trash = self.staging()?;
        let _lock = self.lock_names()?;
        let mut images: BTreeSet<Digest> =
            self.read_index()?.manifests.into_iter().map(|m| m.digest).collect();
        images.extend(self.users()?.into_values());
        images.extend(self.remembered()?);
        let mut blobs = BTreeSet::new();
        let mut chains = BTreeSet::new();
        for digest in images {
            let image = match self.image(&digest) {
                Ok(image) => image,
                // A container of an image whose blobs are gone already.
                Err(Error::MissingBlob { .. }) => continue,
                // Better to keep too much than to remove what cannot be read.
                Err(error) => return Err(error),
            };
            chains.extend(snapshot::chain_ids(&image.diff_ids()));
            blobs.extend(image.layers.into_iter().map(|l| l.descriptor.digest));
            blobs.extend([digest, image.config_digest]);
        }
        let folder = self.blobs();
        let mut freed_bytes = 0;
        for entry in fs::read_dir(&folder).at("reading", &folder)? {
            let entry = entry.at("reading", &folder)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !blobs.iter().any(|d| d.hex() == name) {
                freed_bytes += entry.metadata().at("reading", &folder)?.len();
                trash.discard(&entry.path())?;
            }
        }
        self.snapshots().sweep(&chains, &trash)?;
        sync_folder(&folder)?;
        Ok(Swept { done: true, freed_bytes })
    }
}
