//! docker-archives (`docker save`, `podman save`, skopeo): from manifest.json to OCI manifests.
//!
//! Source: moby image/spec, "Combined Image JSON + Filesystem Changeset Format". Layers are kept as
//! they come; configuration bytes too, so image ids stay. Archives older than Docker 1.10 have no
//! manifest.json: see `legacy.rs`.

use std::io::Read;
use std::path::Path;

use super::Found;
use super::archive::Contents;
use crate::blobs::Blobs;
use crate::catalog;
use crate::compression::Compression;
use crate::digest::Digest;
use crate::document::{self, Descriptor, DockerImage, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::error::{At, Error, Result};
use crate::fault::shown;
use crate::reference::Reference;

pub(super) fn images(
    manifest: &[u8],
    contents: &Contents,
    blobs: &mut Blobs,
) -> Result<Vec<Found>> {
    let images: Vec<DockerImage> =
        document::parse(manifest).map_err(|p| blobs.wrong("manifest.json", p))?;
    if images.is_empty() {
        return Err(blobs.wrong("manifest.json", "names no image".into()));
    }
    images.iter().map(|image| one(image, contents, blobs)).collect()
}

fn one(wanted: &DockerImage, contents: &Contents, blobs: &mut Blobs) -> Result<Found> {
    let missing = |blobs: &Blobs, name: &str| Error::MissingBlob {
        archive: blobs.archive().to_owned(),
        blob: format!("{}, named by manifest.json,", shown(name.as_bytes())),
    };
    let layers = wanted.layers.as_deref().unwrap_or(&[]);
    document::check_layers(layers.len()).map_err(|p| blobs.wrong("manifest.json", p))?;
    let config = contents.file(&wanted.config).ok_or_else(|| missing(blobs, &wanted.config))?;
    check_config_name(blobs, &wanted.config, &config.0)?;
    let mut descriptors = Vec::new();
    for name in layers {
        let (digest, size) = contents.file(name).ok_or_else(|| missing(blobs, name))?;
        let kind = compression(blobs, digest)?.media_type();
        descriptors.push(Descriptor::new(kind, digest.clone(), *size));
    }
    let config = Descriptor::new(OCI_CONFIG, config.0.clone(), config.1);
    let config_bytes = blobs.document(&config, &shown(wanted.config.as_bytes()))?;
    let manifest = Manifest::new(config, descriptors);
    let (manifest, bytes) = blobs.put_json(OCI_MANIFEST, &manifest)?;
    let image = catalog::join(&manifest, &bytes, &config_bytes)
        .map_err(|p| blobs.wrong("manifest.json", p))?;
    let mut names = Vec::new();
    for tag in wanted.repo_tags.as_deref().unwrap_or(&[]) {
        names.push(tag.parse::<Reference>()?);
    }
    Ok(Found { image, manifest, names })
}

/// A configuration is named after its digest, old (`<hex>.json`) and new (`blobs/sha256/<hex>`).
fn check_config_name(blobs: &Blobs, name: &str, actual: &Digest) -> Result<()> {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    match format!("sha256:{stem}").parse::<Digest>() {
        Ok(expected) if expected != *actual => Err(Error::DigestMismatch {
            archive: blobs.archive().to_owned(),
            blob: format!("configuration {}", shown(name.as_bytes())),
            expected: expected.to_string(),
            actual: actual.to_string(),
        }),
        _ => Ok(()),
    }
}

pub(super) fn compression(blobs: &Blobs, digest: &Digest) -> Result<Compression> {
    let path = blobs.path(digest).ok_or_else(|| Error::MissingBlob {
        archive: blobs.archive().to_owned(),
        blob: digest.to_string(),
    })?;
    let mut first = Vec::new();
    let file = std::fs::File::open(&path).at("opening", &path)?;
    file.take(4).read_to_end(&mut first).at("reading", Path::new(blobs.archive()))?;
    Ok(Compression::of(&first))
}
