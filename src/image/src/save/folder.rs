//! skopeo's `dir:` form (`podman save --format docker-dir`): one image, its blobs named by their
//! hex digits beside manifest.json and `version` (containers/image, directory transport).
//!
//! The manifest is docker's schema 2; zstd layers, which that does not have, leave it as it is.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::layout::write_whole;
use super::{Chosen, Source, each_layer};
use crate::compression::Compression;
use crate::document::{DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, Manifest};
use crate::error::{At, Error, Result};

const VERSION: &[u8] = b"Directory Transport Version: 1.1\n";

pub(super) fn write(chosen: &[Chosen], source: &mut Source, to: &Path) -> Result<()> {
    let [one] = chosen else {
        let problem = format!("holds one image, not {}", chosen.len());
        return Err(blocked(to, problem));
    };
    match fs::create_dir(to) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => must_be_empty(to, "a folder of blobs")?,
        made => made.at("making", to)?,
    }
    each_layer(
        chosen,
        |layer| layer.descriptor.digest.clone(),
        |layer, what| {
            let blob = &layer.descriptor;
            write_whole(&to.join(blob.digest.hex()), &mut |f| source.copy(blob, what, f))
        },
    )?;
    let manifest = match docker_manifest(one) {
        Some(manifest) => source.json("manifest.json", &manifest)?,
        None => one.manifest_bytes.clone(),
    };
    for (name, bytes) in [
        (one.image.config_digest.hex(), one.config_bytes.as_slice()),
        ("version", VERSION),
        ("manifest.json", &manifest),
    ] {
        write_whole(&to.join(name), &mut |file| file.write_all(bytes).at("writing", to))?;
    }
    crate::store::sync_folder(to)
}

fn docker_manifest(one: &Chosen) -> Option<Manifest> {
    let config = Descriptor { media_type: DOCKER_CONFIG.into(), ..one.config() };
    let layers: Option<Vec<Descriptor>> = one
        .image
        .layers
        .iter()
        .map(|layer| {
            let kind = match Compression::of_media_type(&layer.media_type)? {
                Compression::Gzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Compression::None => "application/vnd.docker.image.rootfs.diff.tar",
                Compression::Zstd => return None,
            };
            Some(Descriptor::new(kind, layer.descriptor.digest.clone(), layer.size))
        })
        .collect();
    let mut manifest = Manifest::new(config, layers?);
    manifest.media_type = Some(DOCKER_MANIFEST.into());
    Some(manifest)
}

/// The error for a folder that cannot be written to.
fn blocked(to: &Path, problem: String) -> Error {
    Error::Target { path: to.display().to_string(), problem }
}

pub(super) fn must_be_empty(to: &Path, what: &str) -> Result<()> {
    let mut entries = fs::read_dir(to).at("reading", to)?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(blocked(to, format!("is not empty and not {what}"))),
    }
}
