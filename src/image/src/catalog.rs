//! Images as a container needs them; finding, listing and describing those of a store.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::document::{self, CHOSEN_FROM, Descriptor, FULL_NAME, Manifest, REF_NAME};
use crate::error::{Error, Result};
use crate::reference::{self, Reference};
use crate::snapshot;
use crate::store::Store;

/// What docker's images say besides (moby's image specification 1.3).
const EXTENSIONS: [&str; 3] = ["Healthcheck", "OnBuild", "Shell"];

/// Fewest hex digits that are taken for the beginning of an id.
const PREFIX_MIN: usize = 4;

/// An image of the store, with what a container needs of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of its manifest, `sha256:…`.
    pub digest: String,
    /// Its configuration, as written by its builder.
    pub config: oci::image::ImageConfiguration,
    /// Short names; none when its last name went to another image.
    pub names: Vec<String>,
    /// From the bottom up.
    pub layers: Vec<Layer>,
    pub(crate) config_digest: Digest,
    pub(crate) size: u64,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Of the packed bytes.
    pub digest: String,
    /// Of the unpacked tar.
    pub diff_id: String,
    /// As in the manifest.
    pub media_type: String,
    /// Packed, bytes.
    pub size: u64,
    pub(crate) descriptor: Descriptor,
    pub(crate) unpacked: Digest,
}

/// A line of the list of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// Short names.
    pub names: Vec<String>,
    /// Digest of the manifest.
    pub digest: String,
    /// When it was built (RFC 3339), as its builder says.
    pub created: Option<String>,
    /// Packed layers, configuration and manifest, bytes.
    pub size: u64,
    /// How many layers.
    pub layers: usize,
    /// How many containers use it.
    pub containers: usize,
}

impl Image {
    fn run(&self) -> Option<&oci::image::Config> {
        self.config.config().as_ref()
    }

    /// Default arguments.
    #[must_use]
    pub fn cmd(&self) -> &[String] {
        self.run().and_then(|c| c.cmd().as_deref()).unwrap_or(&[])
    }

    /// What the arguments are given to.
    #[must_use]
    pub fn entrypoint(&self) -> &[String] {
        self.run().and_then(|c| c.entrypoint().as_deref()).unwrap_or(&[])
    }

    /// `NAME=value` each, unchecked.
    #[must_use]
    pub fn env(&self) -> &[String] {
        self.run().and_then(|c| c.env().as_deref()).unwrap_or(&[])
    }

    /// Where the process starts.
    #[must_use]
    pub fn working_dir(&self) -> Option<&str> {
        self.run()?.working_dir().as_deref().filter(|w| !w.is_empty())
    }

    /// `user`, `uid`, `user:group` and the like; see [`crate::user::lookup`].
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.run()?.user().as_deref().filter(|u| !u.is_empty())
    }

    /// Name or number of the signal that asks it to stop.
    #[must_use]
    pub fn stop_signal(&self) -> Option<&str> {
        self.run()?.stop_signal().as_deref().filter(|s| !s.is_empty())
    }

    /// Folders that are meant to be volumes, sorted.
    #[must_use]
    pub fn volumes(&self) -> Vec<String> {
        sorted(self.run().and_then(|c| c.volumes().as_ref()))
    }

    /// Ports that it listens on, `80/tcp`, sorted.
    #[must_use]
    pub fn exposed_ports(&self) -> Vec<String> {
        sorted(self.run().and_then(|c| c.exposed_ports().as_ref()))
    }

    /// Labels, sorted.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.run().and_then(|c| c.labels().as_ref());
        labels.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    pub(crate) fn diff_ids(&self) -> Vec<Digest> {
        self.layers.iter().map(|l| l.unpacked.clone()).collect()
    }
}

fn sorted(list: Option<&Vec<String>>) -> Vec<String> {
    let mut list = list.cloned().unwrap_or_default();
    list.sort();
    list
}

/// The short name of an entry of the store's index.
pub(crate) fn name_of(entry: &Descriptor) -> Option<Reference> {
    let name = entry.annotation(FULL_NAME).or_else(|| entry.annotation(REF_NAME))?;
    name.parse().ok()
}

/// Joins a manifest and its configuration, checking that they fit.
pub(crate) fn join(
    manifest: &Descriptor,
    manifest_bytes: &[u8],
    config_bytes: &[u8],
) -> std::result::Result<Image, String> {
    let parsed = Manifest::parse(manifest_bytes)?;
    let (config, diff_ids) = document::parse_config(config_bytes)?;
    if diff_ids.len() != parsed.layers.len() {
        let (have, said) = (parsed.layers.len(), diff_ids.len());
        return Err(format!("has {have} layers, its configuration says {said}"));
    }
    let packed: u64 = parsed.layers.iter().map(|l| l.size).fold(0, u64::saturating_add);
    let layers = parsed.layers.into_iter().zip(diff_ids).map(|(descriptor, unpacked)| Layer {
        digest: descriptor.digest.to_string(),
        diff_id: unpacked.to_string(),
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
        descriptor,
        unpacked,
    });
    Ok(Image {
        digest: manifest.digest.to_string(),
        config,
        names: Vec::new(),
        layers: layers.collect(),
        config_digest: parsed.config.digest,
        size: packed
            .saturating_add(config_bytes.len() as u64)
            .saturating_add(manifest_bytes.len() as u64),
    })
}

impl Store {
    /// Reads an image by its manifest's digest. The caller holds a lock.
    pub(crate) fn image(&self, digest: &Digest) -> Result<Image> {
        let short = digest.short();
        let descriptor = Descriptor::new(document::OCI_MANIFEST, digest.clone(), 0);
        let what = format!("manifest sha256:{short}");
        let bytes = self.document(&descriptor, &what)?;
        let manifest = Manifest::parse(&bytes).map_err(|p| self.wrong(&what, p))?;
        let config =
            self.document(&manifest.config, &format!("configuration of sha256:{short}"))?;
        join(&descriptor, &bytes, &config).map_err(|p| self.wrong(&what, p))
    }

    /// Every image with its names, in the order of the index.
    pub(crate) fn named(&self) -> Result<Vec<(Digest, Vec<String>)>> {
        let mut images: Vec<(Digest, Vec<String>)> = Vec::new();
        for entry in self.read_index()?.manifests {
            let name = name_of(&entry).map(|n| n.familiar());
            match images.iter_mut().find(|(digest, _)| *digest == entry.digest) {
                Some((_, names)) => names.extend(name),
                None => images.push((entry.digest, name.into_iter().collect())),
            }
        }
        Ok(images)
    }

    /// All images of the store.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        let _lock = self.lock_reading()?;
        let users = self.users()?;
        let mut all = Vec::new();
        for (digest, names) in self.named()? {
            let image = self.image(&digest)?;
            all.push(ImageSummary {
                names,
                digest: image.digest,
                created: image.config.created().clone(),
                size: image.size,
                layers: image.layers.len(),
                containers: users.values().filter(|d| **d == digest).count(),
            });
        }
        Ok(all)
    }

    /// Finds an image by name, digest, or the beginning of its id (four digits or more; of the
    /// manifest or of the configuration, as docker counts).
    ///
    /// # Errors
    /// [`Error::MissingImage`] with near names, [`Error::AmbiguousId`], [`Error::BadReference`].
    pub fn resolve(&self, name: &str) -> Result<Image> {
        let _lock = self.lock_reading()?;
        let images = self.named()?;
        let (digest, names) = self.find(name, &images)?;
        let mut image = self.image(digest)?;
        image.names.clone_from(names);
        Ok(image)
    }

    pub(crate) fn find<'a>(
        &self,
        name: &str,
        images: &'a [(Digest, Vec<String>)],
    ) -> Result<&'a (Digest, Vec<String>)> {
        let reference = name.parse::<Reference>();
        let wanted = match &reference {
            Ok(reference) => reference.digest().cloned(),
            Err(_) => name.parse::<Digest>().ok(),
        };
        if let Ok(reference) = &reference
            && wanted.is_none()
        {
            let familiar = reference.familiar();
            if let Some(found) = images.iter().find(|(_, names)| names.contains(&familiar)) {
                return Ok(found);
            }
        }
        let digits =
            wanted.as_ref().map_or(name.strip_prefix("sha256:").unwrap_or(name), Digest::hex);
        let hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && digits.len() >= PREFIX_MIN {
            let mut matches = Vec::new();
            for image in images {
                let config = self.image(&image.0).map(|i| i.config_digest);
                let by_config = config.is_ok_and(|c| c.hex().starts_with(digits));
                if image.0.hex().starts_with(digits) || by_config {
                    matches.push(image);
                }
            }
            match matches.as_slice() {
                [] => {}
                [one] => return Ok(one),
                many => {
                    let matches = many.iter().map(|i| i.0.to_string()).collect();
                    return Err(Error::AmbiguousId { name: name.into(), matches });
                }
            }
        }
        if let Some(index) = &wanted {
            let entries = self.read_index()?.manifests;
            let of = |d: &&Descriptor| d.annotation(CHOSEN_FROM) == Some(index.as_str());
            let chosen = entries.iter().find(of).map(|d| &d.digest);
            if let Some(found) = images.iter().find(|(digest, _)| Some(digest) == chosen) {
                return Ok(found);
            }
        }
        let reference = match (reference, wanted) {
            (Err(error), None) => return Err(error),
            (reference, _) => reference.map_or(name.to_owned(), |r| r.familiar()),
        };
        let names = images.iter().flat_map(|(_, names)| names.iter().map(String::as_str));
        let near = reference::near(&reference, names);
        Err(Error::MissingImage { name: name.into(), near })
    }

    /// Everything about an image, for people and programs.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn inspect(&self, name: &str) -> Result<Value> {
        let image = self.resolve(name)?;
        let _lock = self.lock_reading()?;
        let mut config = serde_json::to_value(&image.config)
            .map_err(|e| self.wrong("configuration", e.to_string()))?;
        self.add_extensions(&image, &mut config)?;
        let snapshots = self.snapshots();
        let chains = snapshot::chain_ids(&image.diff_ids());
        let layers: Vec<Value> = image
            .layers
            .iter()
            .zip(&chains)
            .map(|(layer, chain)| {
                json!({
                    "digest": layer.digest,
                    "diffId": layer.diff_id,
                    "mediaType": layer.media_type,
                    "size": layer.size,
                    "snapshot": snapshots.find(chain),
                })
            })
            .collect();
        let digest: Digest = image.digest.parse().map_err(|p| self.wrong("manifest", p))?;
        let users = self.users()?;
        let users: Vec<&String> =
            users.iter().filter(|(_, d)| **d == digest).map(|(id, _)| id).collect();
        Ok(json!({
            "digest": image.digest,
            "id": image.config_digest,
            "names": image.names,
            "size": image.size,
            "layers": layers,
            "containers": users,
            "image": config,
        }))
    }

    /// Adds to a configuration what OCI's has no fields for, where it says something.
    fn add_extensions(&self, image: &Image, config: &mut Value) -> Result<()> {
        let described = Descriptor::new(document::OCI_CONFIG, image.config_digest.clone(), 0);
        let bytes = self.document(&described, "configuration")?;
        let whole: Value = document::parse(&bytes).map_err(|p| self.wrong("configuration", p))?;
        for field in EXTENSIONS {
            let value = &whole["config"][field];
            let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            if !is_empty {
                config["config"][field] = value.clone();
            }
        }
        Ok(())
    }
}
