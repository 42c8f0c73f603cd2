//! The documents of what is copied, and the blobs they name, gathered from the root down.
//!
//! Any manifest is copied, not only those of container images: an artifact has a configuration and
//! layers of its own kinds. Bounds: 4 MiB a document, 1,000 documents, four indexes deep.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;

use serde::Deserialize;

use super::{CopyOptions, Source};
use crate::digest::Digest;
use crate::document::{self, DOCUMENT_MAX, Descriptor, Index, OCI_INDEX, OCI_MANIFEST};
use crate::error::{At, Error, Result};
use crate::platform::{self, Platform};
use crate::reference::Reference;

const DEPTH_MAX: usize = 4;
const DOCUMENTS_MAX: usize = 1_000;

/// Where to begin.
pub(crate) enum Root {
    Entry(Descriptor),
    Named(Reference),
}

/// What is to be copied: documents from the leaves up, the root last.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) documents: Vec<(Descriptor, Vec<u8>)>,
    pub(crate) blobs: Vec<Descriptor>,
    /// Of each image: its digest, and those of the indexes above it that it was found by.
    pub(crate) images: Vec<Vec<Digest>>,
}

impl Tree {
    pub(crate) fn root(&self) -> Option<&(Descriptor, Vec<u8>)> {
        self.documents.last()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Any {
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    manifests: Option<serde::de::IgnoredAny>,
}

/// The media type that a document says of itself, else `usual`.
pub(crate) fn kind_of(bytes: &[u8], usual: &str) -> String {
    let said = document::parse::<Any>(bytes).ok().and_then(|any| any.media_type);
    said.unwrap_or_else(|| usual.to_owned())
}

/// The configuration that a manifest names.
pub(crate) fn config_of(bytes: &[u8]) -> std::result::Result<Option<Descriptor>, String> {
    document::parse::<Any>(bytes).map(|any| any.config)
}

/// Reads everything from the root down.
pub(crate) fn gather(source: &Source, root: Root, options: &CopyOptions) -> Result<Tree> {
    let (entry, bytes) = match root {
        Root::Entry(entry) => {
            let bytes = read(source, &entry)?;
            (entry, bytes)
        }
        Root::Named(reference) => named(source, &reference)?,
    };
    let mut tree = Tree::default();
    let mut seen = BTreeSet::new();
    descend(source, (entry, bytes), options, (&mut tree, &mut seen), &[])?;
    let mut known = BTreeSet::new();
    tree.blobs.retain(|b| known.insert(b.digest.clone()));
    Ok(tree)
}

fn named(source: &Source, reference: &Reference) -> Result<(Descriptor, Vec<u8>)> {
    let Source::Remote(remote) = source else {
        return Err(wrong(source, "manifest", "is named, not described".into()));
    };
    let asked = reference.digest().map_or(reference.tag(), Digest::as_str);
    let found = remote.manifest(asked)?;
    let digest = Digest::of(&found.bytes);
    if let Some(pinned) = reference.digest().filter(|d| **d != digest) {
        return Err(mismatch(source, pinned, &digest));
    }
    let usual = if found.media_type.is_empty() { OCI_MANIFEST } else { &found.media_type };
    let kind = kind_of(&found.bytes, usual);
    Ok((Descriptor::new(&kind, digest, found.bytes.len() as u64), found.bytes))
}

fn wrong(source: &Source, what: &str, problem: String) -> Error {
    Error::Document { archive: source.name(), document: what.into(), problem }
}

fn mismatch(source: &Source, expected: &Digest, actual: &Digest) -> Error {
    Error::DigestMismatch {
        archive: source.name(),
        blob: format!("manifest sha256:{}", expected.short()),
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

/// A document that a descriptor names, verified.
fn read(source: &Source, wanted: &Descriptor) -> Result<Vec<u8>> {
    let what = format!("manifest sha256:{}", wanted.digest.short());
    if wanted.size > DOCUMENT_MAX {
        return Err(wrong(source, &what, document::too_long(wanted.size)));
    }
    let bytes = match source {
        Source::Remote(remote) => remote.manifest(wanted.digest.as_str())?.bytes,
        Source::Blobs(folder) => {
            let path = folder.join(wanted.digest.hex());
            let mut bytes = Vec::new();
            let file = File::open(&path).at("opening", &path)?;
            file.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes).at("reading", &path)?;
            bytes
        }
    };
    let actual = Digest::of(&bytes);
    if actual != wanted.digest {
        return Err(mismatch(source, &wanted.digest, &actual));
    }
    Ok(bytes)
}

fn descend(
    source: &Source,
    (entry, bytes): (Descriptor, Vec<u8>),
    options: &CopyOptions,
    (tree, seen): (&mut Tree, &mut BTreeSet<Digest>),
    above: &[Digest],
) -> Result<()> {
    let what = format!("manifest sha256:{}", entry.digest.short());
    if above.len() > DEPTH_MAX || seen.len() >= DOCUMENTS_MAX {
        let problem = format!("lies over {DEPTH_MAX} deep, or among over {DOCUMENTS_MAX}");
        return Err(wrong(source, &what, problem));
    }
    if !seen.insert(entry.digest.clone()) {
        return Ok(());
    }
    let any: Any = document::parse(&bytes).map_err(|p| wrong(source, &what, p))?;
    let chain = [std::slice::from_ref(&entry.digest), above].concat();
    if any.manifests.is_none() {
        tree.blobs.extend(any.layers);
        tree.blobs.extend(any.config);
        tree.images.push(chain);
        tree.documents.push((entry, bytes));
        return Ok(());
    }
    let index = Index::parse(&bytes).map_err(|p| wrong(source, &what, p))?;
    if !options.all {
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let Some(chosen) = platform.choose(&index.manifests) else {
            let there = platform::listed(&index.manifests);
            let problem = format!("has no image for {platform}, only for: {there}");
            return Err(wrong(source, &what, problem));
        };
        let bytes = read(source, chosen)?;
        return descend(source, (plain(chosen), bytes), options, (tree, seen), &chain);
    }
    for child in &index.manifests {
        let read = read(source, child)?;
        descend(source, (plain(child), read), options, (&mut *tree, &mut *seen), &chain)?;
    }
    let entry = Descriptor { media_type: kind_of(&bytes, OCI_INDEX), ..entry };
    tree.documents.push((entry, bytes));
    Ok(())
}

/// A descriptor without what only its index says of it.
fn plain(entry: &Descriptor) -> Descriptor {
    Descriptor { annotations: None, ..entry.clone() }
}
