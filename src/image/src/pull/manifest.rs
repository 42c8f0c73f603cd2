//! The documents of an image at a registry: index, manifest, configuration, each within bounds.
//!
//! A document's digest is checked against whoever named it: the person's pin, the index, the
//! manifest. What a tag leads to is named by nobody; it is what the registry says.

use std::io::Read;

use registry::{Document, Remote};

use crate::blobs::Blobs;
use crate::catalog;
use crate::digest::Digest;
use crate::document::{self, CHOSEN_FROM, Descriptor, Index, Manifest};
use crate::error::{Error, Result};
use crate::load::Found;
use crate::platform::{self, Platform};
use crate::reference::Reference;

/// Indexes within indexes.
const DEPTH_MAX: usize = 4;
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// Finds the image for a platform, and takes its documents in.
pub(super) fn find(
    remote: &Remote,
    reference: &Reference,
    platform: &Platform,
    blobs: &mut Blobs,
) -> Result<Found> {
    let pinned = reference.digest();
    let asked = pinned.map_or(reference.tag(), Digest::as_str);
    let mut document = get(remote, asked, pinned, blobs)?;
    let mut outermost = None;
    for _ in 0..DEPTH_MAX {
        let digest = Digest::of(&document.bytes);
        let what = format!("sha256:{}", digest.short());
        let kind = kind(&document).map_err(|p| blobs.wrong(&what, p))?;
        let entry = Descriptor::new(&kind, digest, document.bytes.len() as u64);
        if !entry.is_index() {
            let mut found = image(remote, entry, &document.bytes, blobs)?;
            // So that the pin of an index finds the image that was taken of it.
            found.manifest.annotations =
                outermost.map(|index: Digest| [(CHOSEN_FROM.into(), index.to_string())].into());
            return Ok(found);
        }
        outermost.get_or_insert(entry.digest);
        let index = Index::parse(&document.bytes).map_err(|p| blobs.wrong(&what, p))?;
        let Some(chosen) = platform.choose(&index.manifests) else {
            let there = platform::listed(&index.manifests);
            let problem = format!("has no image for {platform}, only for: {there}");
            return Err(blobs.wrong(&format!("index {what}"), problem));
        };
        document = get(remote, chosen.digest.as_str(), Some(&chosen.digest), blobs)?;
        if document.bytes.len() as u64 != chosen.size {
            return Err(Error::SizeMismatch {
                archive: blobs.archive().to_owned(),
                blob: format!("manifest {}", chosen.digest),
                expected: chosen.size,
                actual: document.bytes.len() as u64,
            });
        }
    }
    Err(blobs.wrong("index", format!("lies over {DEPTH_MAX} indexes deep")))
}

/// The digests that an image may be signed by: its manifest's, and the index's it came of.
pub(super) fn digests(found: &Found) -> Vec<Digest> {
    let index = found.manifest.annotation(CHOSEN_FROM).and_then(|d| d.parse().ok());
    [Some(found.manifest.digest.clone()), index].into_iter().flatten().collect()
}

fn get(remote: &Remote, asked: &str, expected: Option<&Digest>, blobs: &Blobs) -> Result<Document> {
    let document = remote.manifest(asked)?;
    let actual = Digest::of(&document.bytes);
    match expected {
        Some(expected) if *expected != actual => Err(Error::DigestMismatch {
            archive: blobs.archive().to_owned(),
            blob: format!("manifest sha256:{}", expected.short()),
            expected: expected.to_string(),
            actual: actual.to_string(),
        }),
        _ => Ok(document),
    }
}

/// What a document is: by its own word first, then by the server's.
fn kind(document: &Document) -> std::result::Result<String, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Any {
        schema_version: Option<u32>,
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let any: Any = document::parse(&document.bytes)?;
    if document.media_type.starts_with(SCHEMA_1) || any.schema_version == Some(1) {
        return Err("is of docker's old schema 1, which podvisor does not take: push the image \
                    again with a docker, podman or skopeo of this decade"
            .into());
    }
    let said = any.media_type.unwrap_or_else(|| document.media_type.clone());
    let known = Descriptor::new(&said, Digest::of(b""), 0);
    if known.is_index() || known.is_manifest() {
        return Ok(said);
    }
    // Servers that keep plain files say text/plain or application/json.
    Ok(match any.manifests {
        Some(_) => document::OCI_INDEX.into(),
        None => document::OCI_MANIFEST.into(),
    })
}

fn image(remote: &Remote, manifest: Descriptor, bytes: &[u8], blobs: &mut Blobs) -> Result<Found> {
    let what = format!("manifest sha256:{}", manifest.digest.short());
    let parsed = Manifest::parse(bytes).map_err(|p| blobs.wrong(&what, p))?;
    no_urls(bytes).map_err(|p| blobs.wrong(&what, p))?;
    let config_name = format!("configuration of {what}");
    if parsed.config.size > document::DOCUMENT_MAX {
        return Err(blobs.wrong(&config_name, document::too_long(parsed.config.size)));
    }
    if blobs.path(&parsed.config.digest).is_none() {
        let mut config = Vec::new();
        let Descriptor { digest, size, .. } = &parsed.config;
        let mut blob = remote.blob(digest.as_str(), *size, 0);
        blob.read_to_end(&mut config).map_err(|e| match e.downcast::<registry::Error>() {
            Ok(error) => Error::Registry(error),
            Err(e) => Error::io("downloading", std::path::Path::new(&config_name), e),
        })?;
        let actual = Digest::of(&config);
        if actual != *digest {
            return Err(Error::DigestMismatch {
                archive: blobs.archive().to_owned(),
                blob: config_name,
                expected: digest.to_string(),
                actual: actual.to_string(),
            });
        }
        blobs.put(&config)?;
    }
    let config = blobs.document(&parsed.config, &config_name)?;
    let image = catalog::join(&manifest, bytes, &config).map_err(|p| blobs.wrong(&what, p))?;
    blobs.put(bytes)?;
    Ok(Found { image, manifest, names: Vec::new() })
}

/// Layers that are to be fetched from elsewhere, by any address that the image's author writes, are
/// not fetched (image-spec, descriptor.md, `urls`).
fn no_urls(bytes: &[u8]) -> std::result::Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Layer {
        urls: Option<Vec<String>>,
    }
    #[derive(serde::Deserialize)]
    struct Layers {
        layers: Vec<Layer>,
    }
    let all: Layers = document::parse(bytes)?;
    match all.layers.iter().position(|l| l.urls.as_ref().is_some_and(|u| !u.is_empty())) {
        Some(at) => {
            Err(format!("layer {} is to be fetched from other addresses (urls): refused", at + 1))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_say_what_they_are() {
        let of = |media_type: &str, text: &str| {
            let bytes = text.as_bytes().to_vec();
            kind(&Document { media_type: media_type.into(), bytes })
        };
        let oci = document::OCI_MANIFEST;
        assert_eq!(of(oci, "{}").unwrap(), oci);
        assert_eq!(of("text/plain", "{\"manifests\":[]}").unwrap(), document::OCI_INDEX);
        let own = format!("{{\"mediaType\":\"{}\"}}", document::DOCKER_LIST);
        assert_eq!(of(oci, &own).unwrap(), document::DOCKER_LIST);
        for (media_type, text) in [
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}"),
            (oci, "{\"schemaVersion\":1}"),
        ] {
            assert!(of(media_type, text).unwrap_err().contains("schema 1"));
        }
    }

    #[test]
    fn layers_from_elsewhere_are_refused() {
        assert!(no_urls(br#"{"layers":[{},{"urls":[]}]}"#).is_ok());
        let problem = no_urls(br#"{"layers":[{},{"urls":["https://evil.example"]}]}"#);
        assert!(problem.unwrap_err().starts_with("layer 2"));
    }
}
