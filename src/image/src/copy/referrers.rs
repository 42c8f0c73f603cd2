//! Manifests with a `subject` at registries that do not keep track of them: the index under the tag
//! `sha256-HEX` does (distribution-spec, referrers tag schema).

use registry::{Remote, Repository};
use serde_json::{Map, Value, json};

use crate::digest::Digest;
use crate::document::{self, Descriptor, OCI_INDEX};
use crate::error::{Error, Result};

/// What refers to a manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// What it is; may be empty.
    #[serde(default)]
    pub artifact_type: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of its manifest.
    pub size: u64,
}

#[derive(serde::Deserialize)]
struct List {
    manifests: Vec<Referrer>,
}

/// What refers to a manifest, given by tag or digest: by the registry's word, else by the index
/// under the tag of its digest.
///
/// # Errors
/// [`Error::Registry`]; an index that is not valid.
pub fn referrers(remote: &Remote, reference: &str) -> Result<Vec<Referrer>> {
    let repository = remote.registry()?;
    let digest: Digest = match reference.parse() {
        Ok(digest) => digest,
        Err(_) => Digest::of(&remote.manifest(reference)?.bytes),
    };
    let tag = format!("sha256-{}", digest.hex());
    let index = match repository.referrers(digest.as_str())? {
        Some(index) => index,
        None => match repository.manifest(&tag) {
            Ok(index) => index,
            Err(registry::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        },
    };
    let mut list: List = document::parse(&index.bytes).map_err(|p| wrong(repository, &tag, p))?;
    // Only what can be asked for again.
    list.manifests.retain(|one| one.digest.parse::<Digest>().is_ok());
    for one in &mut list.manifests {
        one.artifact_type = crate::fault::shown(one.artifact_type.as_bytes());
    }
    Ok(list.manifests)
}

/// Enters a manifest into the index of its subject, if it has one.
pub(super) fn note(repository: &Repository, entry: &Descriptor, bytes: &[u8]) -> Result<()> {
    let manifest: Map<String, Value> = document::parse(bytes).unwrap_or_default();
    let subject = manifest.get("subject").and_then(|s| s.get("digest")).and_then(Value::as_str);
    let Some(subject) = subject.and_then(|d| d.parse::<Digest>().ok()) else { return Ok(()) };
    let tag = format!("sha256-{}", subject.hex());
    let mut index = match repository.manifest(&tag) {
        Ok(found) => document::parse::<Map<String, Value>>(&found.bytes)
            .map_err(|problem| wrong(repository, &tag, problem))?,
        Err(registry::Error::NotFound { .. }) => Map::new(),
        Err(error) => return Err(error.into()),
    };
    let mut fresh = json!({
        "mediaType": entry.media_type, "digest": entry.digest, "size": entry.size,
    });
    let kind = manifest
        .get("artifactType")
        .or_else(|| manifest.get("config").and_then(|c| c.get("mediaType")));
    for (key, value) in [("artifactType", kind), ("annotations", manifest.get("annotations"))] {
        if let (Some(value), Some(fresh)) = (value, fresh.as_object_mut()) {
            fresh.insert(key.into(), value.clone());
        }
    }
    index.insert("schemaVersion".into(), json!(2));
    index.insert("mediaType".into(), json!(OCI_INDEX));
    let list = index.entry("manifests").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else {
        return Err(wrong(repository, &tag, "manifests is no list".into()));
    };
    let digest = json!(entry.digest);
    if list.iter().any(|known| known.get("digest") == Some(&digest)) {
        return Ok(());
    }
    list.push(fresh);
    let bytes = serde_json::to_vec(&index).map_err(|e| wrong(repository, &tag, e.to_string()))?;
    let digest = Digest::of(&bytes);
    repository.put_manifest(&tag, OCI_INDEX, &bytes, digest.as_str())?;
    Ok(())
}

fn wrong(repository: &Repository, tag: &str, problem: String) -> Error {
    let archive = format!("{}/{}", repository.server(), repository.name());
    Error::Document { archive, document: format!("referrers of {tag}"), problem }
}
