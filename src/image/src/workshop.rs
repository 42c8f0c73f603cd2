//! Making new images out of those that are there: what a build, a commit and an export stand on.
//!
//! A [`Workshop`] is a lease and a staging folder: what it makes is kept by the store in the same
//! way as a load (staged, hashed, synced, renamed), so that its death at any point leaves the store
//! as it was. A [`Stack`] is an image in the making: layers and a configuration, changed as data.
//! Not here: running anything, and what a step means.

use std::fs;
use std::path::{Path, PathBuf};

use oci::IdRange;
use serde_json::{Value, json};

use crate::blobs::Blobs;
use crate::catalog::{self, Image, Layer};
use crate::container::{self, Used};
use crate::digest::Digest;
use crate::document::{Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::error::{At, Error, Result};
use crate::load::{Found, Loaded, Unpacked};
use crate::pack::{self, Change, Packing};
use crate::progress::{Progress, Quiet};
use crate::reference::Reference;
use crate::staging::Staging;
use crate::store::{Lock, Store, sync_folder};

/// What an operation that makes images holds: the garbage collection stays away until its drop.
pub struct Workshop {
    store: Store,
    staging: Staging,
    _lease: Lock,
}

/// An image in the making.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// The configuration document; `rootfs` and `history` are kept by [`Stack`] itself.
    pub config: Value,
    /// From the bottom up.
    layers: Vec<Layer>,
}

impl Stack {
    /// An image of nothing, for this machine.
    #[must_use]
    pub fn scratch() -> Stack {
        let config = json!({
            "architecture": oci::image::Arch::default().to_string(),
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [] },
            "history": [],
        });
        Stack { config, layers: Vec::new() }
    }

    /// Its layers, bottom first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The chain id of its layers: the same for the same files. `None` without layers.
    #[must_use]
    pub fn chain(&self) -> Option<Digest> {
        let diff_ids: Vec<Digest> = self.layers.iter().map(|l| l.unpacked.clone()).collect();
        crate::snapshot::chain_ids(&diff_ids).pop()
    }

    /// Adds a line to its history; `created` is RFC 3339.
    pub fn remember(&mut self, created: &str, by: &str, layer: bool) {
        let mut line = json!({ "created": created, "created_by": by, "comment": "podvisor build" });
        if !layer {
            line["empty_layer"] = json!(true);
        }
        let history = &mut self.config["history"];
        if !history.is_array() {
            *history = json!([]);
        }
        history.as_array_mut().into_iter().for_each(|lines| lines.push(line.clone()));
    }

    fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
        let digests: Vec<&str> = self.layers.iter().map(|l| l.diff_id.as_str()).collect();
        self.config["rootfs"] = json!({ "type": "layers", "diff_ids": digests });
    }
}

impl Store {
    /// Begins an operation that makes images.
    ///
    /// # Errors
    /// A full or read-only file system.
    pub fn workshop(&self) -> Result<Workshop> {
        let lease = self.lease()?;
        Ok(Workshop { store: self.clone(), staging: self.staging()?, _lease: lease })
    }

    /// The changes of a container against its image, by path.
    ///
    /// # Errors
    /// [`Error::MissingContainer`]; what reading its files says.
    pub fn container_changes(&self, id: &str) -> Result<Vec<Change>> {
        let _lease = self.lease()?;
        let used = self.used_by(id)?;
        pack::changes(&used.upper, &self.lower(&used.image)?)
    }

    /// The changes that the layers of an image make, each layer against those below.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn image_changes(&self, name: &str) -> Result<Vec<(String, Vec<Change>)>> {
        let image = self.resolve(name)?;
        let _lease = self.lease()?;
        let lower = self.lower(&image)?;
        let mut all = Vec::new();
        for (i, layer) in image.layers.iter().enumerate() {
            let at = image.layers.len() - 1 - i;
            all.push((layer.digest.clone(), pack::changes(&lower[at], &lower[at + 1..])?));
        }
        Ok(all)
    }

    /// What a container has of this store.
    ///
    /// # Errors
    /// [`Error::MissingContainer`].
    pub fn used_by(&self, id: &str) -> Result<Used> {
        let users = self.users()?;
        let missing = || Error::MissingContainer { id: id.into(), known: users.len() };
        let digest = users.get(id).ok_or_else(missing)?;
        let _lock = self.lock_reading()?;
        let folder = self.containers().join(id);
        let (image, ids) = (self.image(digest)?, container::ids_of(&folder));
        Ok(Used { image, upper: folder.join("upper"), ids })
    }

    /// The unpacked layers of a container's image, top first, and what else it has.
    ///
    /// # Errors
    /// As [`Store::used_by`].
    pub fn layers_of(&self, id: &str) -> Result<(Vec<PathBuf>, Used)> {
        let _lease = self.lease()?;
        let used = self.used_by(id)?;
        Ok((self.lower(&used.image)?, used))
    }

    /// The ids of all containers that have a root file system here.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn container_ids(&self) -> Result<Vec<String>> {
        Ok(self.users()?.into_keys().collect())
    }
}

impl Workshop {
    /// The store it works for.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A folder for whatever the operation needs; it goes with the workshop, or with the next
    /// command on the store when this process is killed.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Begins with an image that is there.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn base(&self, name: &str) -> Result<Stack> {
        self.stack_of(&self.store.resolve(name)?)
    }

    /// Begins with an image that was found.
    ///
    /// # Errors
    /// A configuration that cannot be read.
    pub fn stack_of(&self, image: &Image) -> Result<Stack> {
        let described = Descriptor::new(OCI_CONFIG, image.config_digest.clone(), 0);
        let bytes = self.store.document(&described, "configuration")?;
        let config = crate::document::parse(&bytes)
            .map_err(|problem| self.store.wrong("configuration", problem))?;
        Ok(Stack { config, layers: image.layers.clone() })
    }

    /// The unpacked layers of a stack, top first.
    ///
    /// # Errors
    /// Layers that have to be unpacked again and cannot be.
    pub fn lower(&self, stack: &Stack) -> Result<Vec<PathBuf>> {
        let blobs = self.blobs();
        let found = self.found(stack, &[], &mut Blobs::new(&self.staging, blobs, "".into()))?;
        self.store.lower(&found.image)
    }

    /// Adds the changes in `upper` as a layer and keeps it in the store under the cache's `key`,
    /// with the time that it was made at (RFC 3339).
    ///
    /// # Errors
    /// A file that no layer can hold, a full disk.
    pub fn add_layer(
        &self,
        stack: &mut Stack,
        upper: &Path,
        packing: Packing,
        (key, created): (&Digest, &str),
    ) -> Result<u64> {
        let mut blobs = Blobs::new(&self.staging, self.blobs(), "the new image".into());
        let entries = self.pack_onto(stack, upper, packing, &mut blobs)?;
        let found = self.found(stack, &[], &mut blobs)?;
        let mut unpacked = Unpacked::new();
        self.store.unpack(&found.image, &blobs, &mut unpacked, &mut Quiet)?;
        self.staging.sync()?;
        let snapshots = self.store.snapshots();
        let _lock = self.store.lock_names()?;
        for (chain, path) in &unpacked {
            snapshots.commit(path, chain)?;
        }
        for layer in &found.image.layers {
            blobs.commit(&layer.descriptor.digest)?;
        }
        blobs.commit(&found.image.config_digest)?;
        blobs.commit(&found.manifest.digest)?;
        for folder in [self.blobs(), snapshots.chains(), snapshots.path().to_owned()] {
            sync_folder(&folder)?;
        }
        self.store.remember_step(&self.staging, key, (&found.manifest.digest, created))?;
        Ok(entries)
    }

    /// Takes the layer that the cache has for `key`, when it stands on this very stack; says when
    /// it was made.
    ///
    /// # Errors
    /// A store that cannot be read. A damaged record is a miss.
    pub fn add_cached(&self, stack: &mut Stack, key: &Digest) -> Result<Option<String>> {
        let Some((image, created)) = self.store.remembered_step(key)? else { return Ok(None) };
        let Some((top, below)) = image.layers.split_last() else { return Ok(None) };
        if below != stack.layers || !self.store.blobs().join(top.descriptor.digest.hex()).is_file()
        {
            return Ok(None);
        }
        stack.push(top.clone());
        Ok(Some(created))
    }

    /// Makes the stack an image of the store under these names.
    ///
    /// # Errors
    /// As loading.
    pub fn keep(
        &self,
        stack: &Stack,
        names: &[Reference],
        progress: &mut dyn Progress,
    ) -> Result<Loaded> {
        let mut blobs = Blobs::new(&self.staging, self.blobs(), "the new image".into());
        let found = self.found(stack, names, &mut blobs)?;
        let mut kept = self.store.keep(&[found], &blobs, &self.staging, progress)?;
        kept.pop().ok_or_else(|| blobs.wrong("image", "was not kept".into()))
    }

    /// Adds the changes in `upper` as a layer and makes the stack an image of the store.
    ///
    /// # Errors
    /// A file that no layer can hold, a full disk.
    pub fn commit(
        &self,
        stack: &mut Stack,
        upper: &Path,
        packing: Packing,
        names: &[Reference],
    ) -> Result<Loaded> {
        let mut blobs = Blobs::new(&self.staging, self.blobs(), "the new image".into());
        self.pack_onto(stack, upper, packing, &mut blobs)?;
        let found = self.found(stack, names, &mut blobs)?;
        let mut kept = self.store.keep(&[found], &blobs, &self.staging, &mut Quiet)?;
        kept.pop().ok_or_else(|| blobs.wrong("image", "was not kept".into()))
    }

    fn blobs(&self) -> PathBuf {
        self.store.blobs()
    }

    fn found(&self, stack: &Stack, names: &[Reference], blobs: &mut Blobs) -> Result<Found> {
        let encode = |what: &str, value: &Value| {
            serde_json::to_vec(value).map_err(|e| self.store.wrong(what, e.to_string()))
        };
        let config = encode("configuration", &stack.config)?;
        let digest = blobs.put(&config)?;
        let described = Descriptor::new(OCI_CONFIG, digest, config.len() as u64);
        let layers = stack.layers.iter().map(|l| l.descriptor.clone()).collect();
        let manifest = serde_json::to_value(Manifest::new(described, layers))
            .map_err(|e| self.store.wrong("manifest", e.to_string()))?;
        let manifest = encode("manifest", &manifest)?;
        let digest = blobs.put(&manifest)?;
        let described = Descriptor::new(OCI_MANIFEST, digest, manifest.len() as u64);
        let image = catalog::join(&described, &manifest, &config)
            .map_err(|problem| self.store.wrong("configuration", problem))?;
        Ok(Found { image, manifest: described, names: names.to_vec() })
    }

    /// Whether an open file is a tar (plain, gzip, zstd, xz or bzip2); `shown` names it.
    ///
    /// # Errors
    /// A file that cannot be read. One that is damaged is none.
    pub fn is_archive(&self, file: &fs::File, shown: &Path) -> Result<bool> {
        crate::unpack::is_archive(file, shown)
    }

    /// Unpacks such a tar into an open folder, with an extractor's checks.
    ///
    /// # Errors
    /// As the layers of a load.
    pub fn untar(&self, archive: &Path, folder: &Path) -> Result<()> {
        crate::unpack::into_folder(archive, folder)
    }

    /// Writes the whole tree below `folder` as a tar to `out`; what belongs to `ids` of the host
    /// belongs to the container's own in it.
    ///
    /// # Errors
    /// Whatever reading the tree or writing says.
    pub fn export(
        &self,
        folder: &Path,
        ids: Option<IdRange>,
        out: &mut dyn std::io::Write,
    ) -> Result<u64> {
        let root = sys::dir::open_root(folder).at("opening", folder)?;
        pack::whole(&root, folder, ids, out)
    }

    /// An empty folder, its own attributes those of the root of `below`.
    ///
    /// # Errors
    /// A full disk.
    pub fn upper(&self, name: &str, below: Option<&PathBuf>) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path).at("making", &path)?;
        let to = sys::dir::open_root(&path).at("opening", &path)?;
        match below {
            Some(top) => {
                let from = sys::dir::open_root(top).at("opening", top)?;
                crate::snapshot::copy_attributes(&from, &to).at("setting attributes of", &path)?;
            }
            None => sys::dir::set_mode_fd(&to, pack::ROOT_MODE).at("making", &path)?,
        }
        Ok(path)
    }

    fn pack_onto(
        &self,
        stack: &mut Stack,
        upper: &Path,
        packing: Packing,
        blobs: &mut Blobs,
    ) -> Result<u64> {
        let below = self.lower(stack)?;
        let packed = pack::layer(upper, below.first().map(PathBuf::as_path), packing, blobs)?;
        stack.push(Layer {
            digest: packed.descriptor.digest.to_string(),
            diff_id: packed.diff_id.to_string(),
            media_type: packed.descriptor.media_type.clone(),
            size: packed.descriptor.size,
            descriptor: packed.descriptor,
            unpacked: packed.diff_id,
        });
        Ok(packed.entries)
    }
}

#[cfg(test)]
mod tests;
