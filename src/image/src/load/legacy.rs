//! Archives of docker before 1.10: a folder a layer with VERSION, `json` and layer.tar, named by
//! `repositories` (moby image/spec, v1). They are joined to OCI images: the chain of parents gives
//! the layers, the topmost `json` the configuration.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Found;
use super::archive::Contents;
use super::docker::compression;
use crate::blobs::{self, Blobs};
use crate::catalog;
use crate::compression::{Compression, Decoder};
use crate::digest::{Digest, Hasher};
use crate::document::{self, Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::error::{At, Error, Result};
use crate::fault::shown;

/// Repository, tag, id of the topmost layer.
type Repositories = BTreeMap<String, BTreeMap<String, String>>;

pub(super) fn images(
    repositories: &[u8],
    contents: &Contents,
    blobs: &mut Blobs,
) -> Result<Vec<Found>> {
    let named: Repositories =
        document::parse(repositories).map_err(|p| blobs.wrong("repositories", p))?;
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for (repository, tags) in named {
        for (tag, id) in tags {
            let name = format!("{repository}:{tag}").parse()?;
            if !found.contains_key(&id) {
                found.insert(id.clone(), image(&id, contents, blobs)?);
            }
            if let Some(image) = found.get_mut(&id) {
                image.names.push(name);
            }
        }
    }
    if found.is_empty() {
        return Err(blobs.wrong("repositories", "names no image".into()));
    }
    Ok(found.into_values().collect())
}

fn image(top: &str, contents: &Contents, blobs: &mut Blobs) -> Result<Found> {
    let mut facts = None;
    let mut layers = Vec::new();
    let mut next = Some(top.to_owned());
    while let Some(id) = next {
        document::check_layers(layers.len() + 1).map_err(|p| blobs.wrong("repositories", p))?;
        let json = described(&id, contents, blobs)?;
        layers.push(layer(&id, contents, blobs)?);
        next = json.get("parent").and_then(Value::as_str).filter(|p| !p.is_empty()).map(Into::into);
        facts.get_or_insert(json);
    }
    layers.reverse();
    let facts = facts.unwrap_or_default();
    let (layers, diff_ids): (Vec<Descriptor>, Vec<Digest>) = layers.into_iter().unzip();
    let mut config = Map::new();
    for (key, default) in [
        ("architecture", Some("amd64")),
        ("os", Some("linux")),
        ("created", None),
        ("config", None),
    ] {
        let value = facts.get(key).cloned().filter(|v| !v.is_null());
        config.extend(value.or(default.map(Value::from)).map(|value| (key.to_owned(), value)));
    }
    config.insert("rootfs".into(), json!({"type": "layers", "diff_ids": diff_ids}));
    let (config, config_bytes) = blobs.put_json(OCI_CONFIG, &config)?;
    let (manifest, bytes) = blobs.put_json(OCI_MANIFEST, &Manifest::new(config, layers))?;
    let image = catalog::join(&manifest, &bytes, &config_bytes)
        .map_err(|p| blobs.wrong(&format!("{top}/json"), p))?;
    Ok(Found { image, manifest, names: Vec::new() })
}

fn described(id: &str, contents: &Contents, blobs: &Blobs) -> Result<Map<String, Value>> {
    let name = format!("{id}/json");
    let (digest, size) = contents.file(&name).ok_or_else(|| missing(blobs, &name))?;
    let what = shown(name.as_bytes());
    let wanted = Descriptor::new("application/json", digest.clone(), *size);
    let bytes = blobs.document(&wanted, &what)?;
    document::parse(&bytes).map_err(|p| blobs.wrong(&what, p))
}

/// A layer's descriptor and its diff_id, which these archives do not state.
fn layer(id: &str, contents: &Contents, blobs: &Blobs) -> Result<(Descriptor, Digest)> {
    let name = format!("{id}/layer.tar");
    let (digest, size) = contents.file(&name).ok_or_else(|| missing(blobs, &name))?;
    let compression = compression(blobs, digest)?;
    let descriptor = Descriptor::new(compression.media_type(), digest.clone(), *size);
    if compression == Compression::None {
        return Ok((descriptor, digest.clone()));
    }
    let what = shown(name.as_bytes());
    let input = BufReader::new(blobs.open(&descriptor, &what)?);
    let path = Path::new(blobs.archive());
    let mut decoder = Decoder::new(input, compression).at("reading", path)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match blobs::read_some(&mut decoder, &mut buffer).at("reading", path)? {
            0 => return Ok((descriptor, hasher.finish())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn missing(blobs: &Blobs, name: &str) -> Error {
    Error::MissingBlob { archive: blobs.archive().to_owned(), blob: shown(name.as_bytes()) }
}
