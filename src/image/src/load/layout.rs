//! OCI image layouts: from index.json to the images (image-spec, image-layout.md).
//!
//! An entry of index.json is an image, or an index of one image for several platforms, of which
//! the host's is taken. Nothing is followed by path but the folder's own blobs, opened beneath it
//! without links.

use std::path::Path;

use super::Found;
use super::folder::Folder;
use crate::blobs::Blobs;
use crate::catalog;
use crate::document::{self, Descriptor, FULL_NAME, Index, LayoutMark, Manifest, REF_NAME};
use crate::error::Result;
use crate::platform::{self, Platform};
use crate::reference::Reference;
use crate::trust::Transport;

/// Indexes within indexes.
const DEPTH_MAX: usize = 4;
/// Images of one index, and entries looked at.
const ENTRIES_MAX: usize = 10_000;

/// Brings a blob within reach of [`Blobs`].
pub(super) type Fetch<'a> = dyn FnMut(&mut Blobs, &Descriptor, &str) -> Result<()> + 'a;

/// Reads the images of a layout folder, or of another kind of folder.
pub(super) fn from_folder(path: &Path, blobs: &mut Blobs) -> Result<(Transport, Vec<Found>)> {
    let folder = Folder::open(path)?;
    let (Some(mark), Some(index)) =
        (folder.document("oci-layout")?, folder.document("index.json")?)
    else {
        return Ok((Transport::Dir, super::folder::image(&folder, blobs)?));
    };
    let mark: LayoutMark = document::parse(&mark).map_err(|p| blobs.wrong("oci-layout", p))?;
    if mark.image_layout_version != "1.0.0" {
        let problem = format!("version {:?}, only 1.0.0 is known", mark.image_layout_version);
        return Err(blobs.wrong("oci-layout", problem));
    }
    let stem = path.file_name().and_then(|s| s.to_str());
    let found = images(&index, blobs, stem, &mut |blobs, wanted, what| {
        folder.fetch(&format!("blobs/sha256/{}", wanted.digest.hex()), blobs, wanted, what)
    })?;
    Ok((Transport::Oci, found))
}

/// Reads the images that an index.json names.
pub(super) fn images(
    index: &[u8],
    blobs: &mut Blobs,
    stem: Option<&str>,
    fetch: &mut Fetch,
) -> Result<Vec<Found>> {
    let index = Index::parse(index).map_err(|p| blobs.wrong("index.json", p))?;
    if index.manifests.len() > ENTRIES_MAX {
        let problem = format!("names {} images, over {ENTRIES_MAX}", index.manifests.len());
        return Err(blobs.wrong("index.json", problem));
    }
    let mut found: Vec<Found> = Vec::new();
    for entry in &index.manifests {
        let foreign = entry.platform.as_ref().is_some_and(|p| p.os == "unknown");
        if foreign || !(entry.is_index() || entry.is_manifest()) {
            continue;
        }
        let manifest = choose(entry, blobs, fetch, 0)?;
        let name = name(entry, stem);
        match found.iter_mut().find(|f| f.manifest.digest == manifest.digest) {
            Some(known) => known.names.extend(name),
            None => {
                let mut one = image(manifest, blobs, fetch)?;
                one.names.extend(name);
                found.push(one);
            }
        }
    }
    if found.is_empty() {
        return Err(blobs.wrong("index.json", "names no image".into()));
    }
    Ok(found)
}

/// Full names as they are; a bare word is a tag, as in skopeo's `oci:web:1`: of the folder's name.
fn name(entry: &Descriptor, stem: Option<&str>) -> Option<Reference> {
    let full = entry.annotation(FULL_NAME).and_then(|n| n.parse().ok());
    full.or_else(|| {
        let text = entry.annotation(REF_NAME)?;
        if text.contains([':', '/']) {
            return text.parse().ok();
        }
        let stem = stem.map(|s| s.strip_suffix(".tar").unwrap_or(s).to_lowercase());
        format!("{}:{text}", stem?).parse().ok()
    })
}

/// The manifest for this machine, through indexes.
fn choose(
    entry: &Descriptor,
    blobs: &mut Blobs,
    fetch: &mut Fetch,
    depth: usize,
) -> Result<Descriptor> {
    if !entry.is_index() {
        return Ok(entry.clone());
    }
    let what = format!("index sha256:{}", entry.digest.short());
    if depth >= DEPTH_MAX {
        return Err(blobs.wrong(&what, format!("lies over {DEPTH_MAX} indexes deep")));
    }
    fetch(blobs, entry, &what)?;
    let bytes = blobs.document(entry, &what)?;
    let index = Index::parse(&bytes).map_err(|p| blobs.wrong(&what, p))?;
    let host = Platform::host();
    let Some(chosen) = host.choose(&index.manifests) else {
        let there = platform::listed(&index.manifests);
        return Err(blobs.wrong(&what, format!("has no image for {host}, only for: {there}")));
    };
    choose(chosen, blobs, fetch, depth + 1)
}

/// An image by its manifest's descriptor.
pub(super) fn image(manifest: Descriptor, blobs: &mut Blobs, fetch: &mut Fetch) -> Result<Found> {
    let what = format!("manifest sha256:{}", manifest.digest.short());
    fetch(blobs, &manifest, &what)?;
    let bytes = blobs.document(&manifest, &what)?;
    let parsed = Manifest::parse(&bytes).map_err(|p| blobs.wrong(&what, p))?;
    let config_name = format!("configuration of {what}");
    fetch(blobs, &parsed.config, &config_name)?;
    let config = blobs.document(&parsed.config, &config_name)?;
    let image = catalog::join(&manifest, &bytes, &config).map_err(|p| blobs.wrong(&what, p))?;
    for (i, layer) in image.layers.iter().enumerate() {
        fetch(blobs, &layer.descriptor, &format!("layer {} of {}", i + 1, image.layers.len()))?;
    }
    let (kind, digest) = (manifest.media_type.as_str(), manifest.digest.clone());
    let manifest = Descriptor::new(kind, digest, manifest.size);
    Ok(Found { image, manifest, names: Vec::new() })
}
