//! Bringing images into the store.
//!
//! Everything is written to a staging folder, hashed as it comes; layers are unpacked there; one
//! syncfs makes all durable; then renames and the new index.json make it an image. A failure or a
//! crash before that leaves the store as it was.

mod archive;
mod docker;
mod folder;
mod layout;
mod legacy;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blobs::Blobs;
use crate::catalog::Image;
use crate::digest::Digest;
use crate::document::{Descriptor, FULL_NAME, Platform, REF_NAME};
use crate::error::{At, Error, Result};
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::snapshot::{self, Snapshots};
use crate::staging::Staging;
use crate::store::{Store, sync_folder};
use crate::trust::{self, Policy};
use crate::unpack::{self, Job};

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Name for the image, instead of those that the archive gives; for archives of one image.
    pub name: Option<String>,
    /// What is demanded of images in files.
    pub policy: Policy,
}

/// A loaded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its short names; may be none.
    pub names: Vec<String>,
    /// Digest of its manifest.
    pub digest: String,
    /// How many layers it has.
    pub layers: usize,
    /// How many of them were there already.
    pub reused: usize,
}

/// An image found in an archive, its blobs read.
pub(crate) struct Found {
    pub(crate) image: Image,
    pub(crate) manifest: Descriptor,
    pub(crate) names: Vec<Reference>,
}

/// Layers unpacked in this operation: chain id and folder.
pub(crate) type Unpacked = BTreeMap<Digest, PathBuf>;

impl Store {
    /// Loads every image of an OCI layout folder, a `dir:` folder, an oci-archive or a
    /// docker-archive (of any age); archives may be compressed by gzip or zstd; `-` is standard
    /// input.
    ///
    /// # Errors
    /// See [`Error`]: each names archive, layer and entry. The store is then as before.
    pub fn load(
        &self,
        src: &Path,
        opts: &LoadOptions,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Loaded>> {
        let name = opts.name.as_deref().map(str::parse::<Reference>).transpose()?;
        let result = self.load_leased(src, (name, &opts.policy), progress);
        // Another process may have left its sweep to this one. The load's error comes first.
        let swept = self.sweep();
        let loaded = result?;
        swept?;
        Ok(loaded)
    }

    fn load_leased(
        &self,
        src: &Path,
        (name, policy): (Option<Reference>, &Policy),
        progress: &mut dyn Progress,
    ) -> Result<Vec<Loaded>> {
        let stdin = src == Path::new("-");
        let shown = if stdin { "standard input".to_owned() } else { src.display().to_string() };
        // First what is wrong with the source, then what is wrong with the store.
        let kind = if stdin { None } else { Some(fs::metadata(src).at("opening", src)?) };
        let _lease = self.lease()?;
        let staging = self.staging()?;
        let mut blobs = Blobs::new(&staging, self.blobs(), shown);
        let (transport, mut found) = match kind {
            Some(kind) if kind.is_dir() => layout::from_folder(src, &mut blobs)?,
            Some(_) => {
                let file = File::open(src).at("opening", src)?;
                archive::read(Box::new(file), src, &mut blobs, progress)?
            }
            None => archive::read(Box::new(std::io::stdin()), src, &mut blobs, progress)?,
        };
        trust::check_file(policy, transport, Some(src).filter(|_| !stdin))?;
        if let Some(name) = name {
            match found.as_mut_slice() {
                [one] => one.names = vec![name],
                many => {
                    let count = many.len();
                    let problem = format!("holds {count} images, one name cannot be all theirs");
                    return Err(blobs.wrong("index", problem));
                }
            }
        }
        self.keep(&found, &blobs, &staging, progress)
    }

    /// Unpacks what is missing of the found images and takes all into the store.
    pub(crate) fn keep(
        &self,
        found: &[Found],
        blobs: &Blobs,
        staging: &Staging,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Loaded>> {
        let mut unpacked = Unpacked::new();
        let mut loaded = Vec::new();
        for one in found {
            let fresh = self.unpack(&one.image, blobs, &mut unpacked, progress)?;
            let layers = one.image.layers.len();
            loaded.push(Loaded {
                names: one.names.iter().map(Reference::familiar).collect(),
                digest: one.image.digest.clone(),
                layers,
                reused: layers - fresh.len(),
            });
        }
        if blobs.any_fresh() || !unpacked.is_empty() {
            progress.on(&Event::Syncing);
            staging.sync()?;
        }
        self.commit(found, blobs, &unpacked, staging)?;
        Ok(loaded)
    }

    /// Makes what lies in staging, synced, an image of the store.
    pub(crate) fn commit(
        &self,
        found: &[Found],
        blobs: &Blobs,
        unpacked: &Unpacked,
        staging: &Staging,
    ) -> Result<()> {
        let snapshots = self.snapshots();
        let _lock = self.lock_names()?;
        staging.budget().check()?;
        for (chain, path) in unpacked {
            snapshots.commit(path, chain)?;
        }
        let mut index = self.read_index()?;
        for one in found {
            for layer in &one.image.layers {
                blobs.commit(&layer.descriptor.digest)?;
            }
            blobs.commit(&one.image.config_digest)?;
            blobs.commit(&one.manifest.digest)?;
            add(&mut index.manifests, one);
        }
        for folder in [self.blobs(), snapshots.chains(), snapshots.path().to_owned()] {
            sync_folder(&folder)?;
        }
        self.write_index(staging, &index)
    }

    /// Unpacks the layers of an image that have no snapshot; returns the new ones, also added to
    /// `unpacked`.
    pub(crate) fn unpack(
        &self,
        image: &Image,
        blobs: &Blobs,
        unpacked: &mut Unpacked,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(Digest, PathBuf)>> {
        let snapshots = self.snapshots();
        let chains = snapshot::chain_ids(&image.diff_ids());
        let mut jobs = Vec::new();
        let mut fresh = Vec::new();
        for (i, (layer, chain)) in image.layers.iter().zip(&chains).enumerate() {
            let (number, count) = (i + 1, image.layers.len());
            let what = format!("layer {number}");
            // Opened also when it is not unpacked: a blob that is missing must be told.
            let blob = blobs.open(&layer.descriptor, &what)?;
            if unpacked.contains_key(chain) || snapshots.find(chain).is_some() {
                let digest = layer.digest.clone();
                progress.on(&Event::LayerReused { number, count, digest });
                continue;
            }
            let target = blobs.staging().path().join(format!("layer-{}", chain.hex()));
            make_layer_root(&target)?;
            fresh.push((chain.clone(), target.clone()));
            unpacked.insert(chain.clone(), target.clone());
            let (descriptor, diff_id) = (layer.descriptor.clone(), layer.unpacked.clone());
            let budget = Arc::clone(blobs.staging().budget());
            jobs.push(Job { number, count, descriptor, diff_id, blob, target, budget });
        }
        let done = unpack::unpack_all(blobs.archive(), &jobs, progress)?;
        let place = |chain: &Digest| place(&snapshots, unpacked, chain);
        for (job, done) in jobs.iter().zip(&done) {
            let below: Option<Vec<PathBuf>> =
                chains.iter().take(job.number - 1).map(place).collect();
            snapshot::mend(&job.target, &done.implied, &below.unwrap_or_default())?;
        }
        Ok(fresh)
    }
}

/// Where a chain is unpacked: in this operation, or before.
pub(crate) fn place(snapshots: &Snapshots, unpacked: &Unpacked, chain: &Digest) -> Option<PathBuf> {
    unpacked.get(chain).cloned().or_else(|| snapshots.find(chain))
}

/// A root folder as every image has it, until the layer says otherwise.
pub(crate) fn make_layer_root(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => made.at("making", path)?,
    }
    let folder = sys::dir::open_root(path).at("opening", path)?;
    sys::dir::set_mode_fd(&folder, 0o755).at("making", path)
}

/// Enters an image into the index under its names; a name that another image had moves.
pub(crate) fn add(manifests: &mut Vec<Descriptor>, found: &Found) {
    let annotations: Vec<BTreeMap<String, String>> = found
        .names
        .iter()
        .map(|name| {
            let pairs = [(REF_NAME, name.familiar()), (FULL_NAME, name.to_string())];
            pairs.map(|(k, v)| (k.to_owned(), v)).into()
        })
        .collect();
    let full = |d: &Descriptor| d.annotation(FULL_NAME).map(str::to_owned);
    let moving: Vec<String> = found.names.iter().map(Reference::to_string).collect();
    let mut bereft = Vec::new();
    manifests.retain(|entry| {
        let moves = full(entry).is_some_and(|name| moving.contains(&name));
        if moves {
            bereft.push(Descriptor { annotations: None, ..entry.clone() });
        }
        !moves
    });
    // An image that has lost its last name stays, nameless, until it is removed.
    for entry in bereft {
        let again = found.manifest.digest == entry.digest;
        if !again && !manifests.iter().any(|m| m.digest == entry.digest) {
            manifests.push(entry);
        }
    }
    let known = manifests.iter().any(|m| m.digest == found.manifest.digest);
    if !annotations.is_empty() {
        manifests.retain(|m| m.digest != found.manifest.digest || m.annotations.is_some());
    } else if !known {
        manifests.push(described(found, None));
    }
    for names in annotations {
        manifests.push(described(found, Some(names)));
    }
}

/// The index's entry of an image: its names, and what its finder says of it.
fn described(found: &Found, names: Option<BTreeMap<String, String>>) -> Descriptor {
    let said = found.manifest.annotations.iter().flatten();
    let mut annotations: BTreeMap<String, String> =
        said.map(|(key, value)| (key.clone(), value.clone())).collect();
    annotations.extend(names.unwrap_or_default());
    let annotations = Some(annotations).filter(|a| !a.is_empty());
    let config = &found.image.config;
    let platform = Platform {
        architecture: config.architecture().to_string(),
        os: config.os().to_string(),
        variant: config.variant().clone(),
        os_version: config.os_version().clone(),
    };
    Descriptor { annotations, platform: Some(platform), ..found.manifest.clone() }
}

/// The error for a file that is no image.
pub(crate) fn unknown(blobs: &Blobs, found: &str) -> Error {
    Error::UnknownFormat { archive: blobs.archive().to_owned(), found: found.into() }
}

#[cfg(test)]
mod tests;
