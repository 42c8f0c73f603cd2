//! What a container gets of the store: its image's snapshots below, a folder of its own on top.
//!
//! `containers/<id>/image` holds the image's digest: that is the reference which keeps the image.
//! `containers/<id>/ids` holds the host's ids of a container with a user namespace, `FIRST COUNT`:
//! its changes belong to those, the layers below stay as they are and are mapped when mounted.
//! It need not outlive a power cut, since no container does. Mounting is the runtime's.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::IdRange;
use sys::dir;

use crate::blobs::Blobs;
use crate::catalog::Image;
use crate::digest::Digest;
use crate::error::{At, Error, Result};
use crate::progress::Quiet;
use crate::snapshot;
use crate::staging::make_private;
use crate::store::Store;

const ID_MAX: usize = 255;
/// The snapshot below an image without layers.
const EMPTY: &str = "empty";
/// File of a container's ids.
const IDS: &str = "ids";

/// The folders of a container's overlay mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    /// Read-only folders, the top one first.
    pub lower: Vec<PathBuf>,
    /// Takes the container's changes.
    pub upper: PathBuf,
    /// overlayfs' own.
    pub work: PathBuf,
}

/// What a container has of the store.
#[derive(Debug, Clone)]
pub struct Used {
    /// The image below.
    pub image: Image,
    /// The folder of its changes.
    pub upper: PathBuf,
    /// The host's ids that are its own 0 and up.
    pub ids: Option<IdRange>,
}

/// The ids of the container in this folder.
pub(crate) fn ids_of(folder: &Path) -> Option<IdRange> {
    let text = fs::read_to_string(folder.join(IDS)).ok()?;
    let (first, count) = text.split_once(' ')?;
    Some(IdRange { first: first.parse().ok()?, count: count.parse().ok()? })
}

/// Gives a folder to whom its owner is inside. One beyond the range is nobody there, as it is in a
/// mapped layer, and stays.
fn give(folder: &OwnedFd, ids: IdRange) -> std::io::Result<()> {
    let own = dir::attributes(folder)?;
    let outer = |id: u32| ids.outer(id).unwrap_or(id);
    dir::set_owner_fd(folder, outer(own.uid), outer(own.gid))?;
    // A change of owner takes set-id bits and file times along.
    dir::set_mode_fd(folder, own.mode)?;
    dir::set_times_fd(folder, own.modified)
}

fn check_id(id: &str) -> Result<()> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let first = id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if first && id.len() <= ID_MAX && id.bytes().all(fits) {
        Ok(())
    } else {
        Err(Error::BadContainerId { id: id.into() })
    }
}

impl Store {
    /// Makes a container's folders and notes that it uses the image. Calling it again with the same
    /// image gives the same folders. With `ids` the container is in a user namespace of these, and
    /// its changes belong to them.
    ///
    /// # Errors
    /// [`Error::InUse`] when the id belongs to a container of another image or of other ids; layers
    /// that have to be unpacked again and cannot be; a full or read-only file system.
    pub fn prepare(
        &self,
        image: &Image,
        container_id: &str,
        ids: Option<IdRange>,
    ) -> Result<Rootfs> {
        check_id(container_id)?;
        let _lease = self.lease()?;
        let lower = self.lower(image)?;
        let folder = self.containers().join(container_id);
        let rootfs = Rootfs { lower, upper: folder.join("upper"), work: folder.join("work") };
        let staging = self.staging()?;
        let _lock = self.lock_names()?;
        match fs::read_to_string(folder.join("image")) {
            Ok(there) if there == image.digest && ids_of(&folder) == ids => return Ok(rootfs),
            Ok(there) => {
                return Err(Error::InUse { name: there, containers: vec![container_id.into()] });
            }
            Err(e) if e.kind() == ErrorKind::NotFound => staging.discard(&folder)?,
            Err(e) => return Err(Error::io("reading", &folder, e)),
        }
        let digest: Digest = image.digest.parse().map_err(|p| self.wrong("manifest", p))?;
        if !self.blobs().join(digest.hex()).is_file() {
            return Err(Error::MissingImage { name: image.digest.clone(), near: Vec::new() });
        }
        let making = staging.path().join("container");
        for part in [making.clone(), making.join("upper"), making.join("work")] {
            make_private(&part).at("making", &part)?;
        }
        // The root folder of the container is the upper one: it looks as the image's does.
        if let Some(top) = rootfs.lower.first() {
            let from = dir::open_root(top).at("opening", top)?;
            let upper = making.join("upper");
            let to = dir::open_root(&upper).at("opening", &upper)?;
            snapshot::copy_attributes(&from, &to).at("setting attributes of", &upper)?;
            if let Some(ids) = ids {
                give(&to, ids).at("setting the owner of", &upper)?;
            }
        }
        if let Some(ids) = ids {
            let path = making.join(IDS);
            fs::write(&path, format!("{} {}", ids.first, ids.count)).at("writing", &path)?;
        }
        fs::write(making.join("image"), &image.digest).at("writing", &making)?;
        fs::rename(&making, &folder).at("making", &folder)?;
        Ok(rootfs)
    }

    /// The snapshots of an image, top first; missing ones are unpacked from its blobs.
    pub(crate) fn lower(&self, image: &Image) -> Result<Vec<PathBuf>> {
        let snapshots = self.snapshots();
        if image.layers.is_empty() {
            let empty = snapshots.path().join(EMPTY);
            if !empty.is_dir() {
                crate::load::make_layer_root(&empty)?;
            }
            return Ok(vec![empty]);
        }
        let chains = snapshot::chain_ids(&image.diff_ids());
        let there: Option<Vec<PathBuf>> = chains.iter().rev().map(|c| snapshots.find(c)).collect();
        if let Some(lower) = there {
            return Ok(lower);
        }
        let staging = self.staging()?;
        let blobs = Blobs::new(&staging, self.blobs(), self.layout().display().to_string());
        let unpacked = self.unpack(image, &blobs, &mut BTreeMap::new(), &mut Quiet)?;
        staging.sync()?;
        let _lock = self.lock_names()?;
        for (chain, path) in unpacked {
            snapshots.commit(&path, &chain)?;
        }
        let missing = || self.wrong("snapshots", "a layer vanished while it was unpacked".into());
        chains.iter().rev().map(|c| snapshots.find(c).ok_or_else(missing)).collect()
    }

    /// Removes a container's folders and its use of the image. A container that is not there is
    /// fine.
    ///
    /// # Errors
    /// Files that cannot be removed; an id that is no name.
    pub fn release(&self, container_id: &str) -> Result<()> {
        check_id(container_id)?;
        let folder = self.containers().join(container_id);
        if fs::symlink_metadata(&folder).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            return Ok(());
        }
        let image = fs::read_to_string(folder.join("image")).ok();
        let staging = self.staging()?;
        let unnamed = {
            let _lock = self.lock_names()?;
            staging.discard(&folder)?;
            let index = self.read_index()?;
            image.is_some_and(|i| !index.manifests.iter().any(|m| m.digest.as_str() == i))
        };
        if unnamed {
            self.sweep()?;
        }
        Ok(())
    }

    /// Ids of containers and the images they use.
    pub(crate) fn users(&self) -> Result<BTreeMap<String, Digest>> {
        let folder = self.containers();
        let mut users = BTreeMap::new();
        for entry in fs::read_dir(&folder).at("reading", &folder)? {
            let entry = entry.at("reading", &folder)?;
            let image = fs::read_to_string(entry.path().join("image"));
            if let Some(digest) = image.ok().and_then(|i| i.parse().ok()) {
                users.insert(entry.file_name().to_string_lossy().into_owned(), digest);
            }
        }
        Ok(users)
    }
}
