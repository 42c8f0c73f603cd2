//! The JSON documents of an image, read within limits of bytes and depth.
//!
//! Only the fields that podvisor acts on are modelled; unknown ones are let be, since the bytes are
//! kept as they came. serde_json stops at a depth of 128; a key that stands twice is an error.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::compression::Compression;
use crate::digest::Digest;

/// Most bytes of a manifest, index or configuration (as distribution's and containerd's limit).
pub(crate) const DOCUMENT_MAX: u64 = 4 << 20;
/// Most layers of an image: overlayfs takes 500 below one mount.
const LAYERS_MAX: usize = 500;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The annotation of an index's entry that names it (image-spec, annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd's annotation with the full name.
pub(crate) const FULL_NAME: &str = "io.containerd.image.name";

/// Our annotation with the digest of the index that an image was chosen from.
pub(crate) const CHOSEN_FROM: &str = "org.podvisor.image.index";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub(crate) os_version: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    /// Only to be refused: a document that is both kinds (CVE-2021-41190).
    #[serde(default, skip_serializing)]
    manifests: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing)]
    config: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayoutMark {
    pub(crate) image_layout_version: String,
}

/// An entry of a docker-archive's manifest.json.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerImage {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.into(),
            digest,
            size,
            annotations: None,
            platform: None,
        }
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    pub(crate) fn is_index(&self) -> bool {
        self.media_type == OCI_INDEX || self.media_type == DOCKER_LIST
    }

    pub(crate) fn is_manifest(&self) -> bool {
        self.media_type == OCI_MANIFEST || self.media_type == DOCKER_MANIFEST
    }
}

/// Parses a document; the error says what is wrong and where.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.len() as u64 > DOCUMENT_MAX {
        return Err(too_long(bytes.len() as u64));
    }
    serde_json::from_slice(bytes).map_err(|e| crate::fault::shown(e.to_string().as_bytes()))
}

pub(crate) fn too_long(bytes: u64) -> String {
    format!("is {bytes} bytes long, over the limit of {DOCUMENT_MAX}")
}

impl Index {
    pub(crate) fn new(manifests: Vec<Descriptor>) -> Index {
        let media_type = Some(OCI_INDEX.to_owned());
        Index { schema_version: 2, media_type, manifests, layers: None, config: None }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Index, String> {
        let index: Index = parse(bytes)?;
        if index.layers.is_some() || index.config.is_some() {
            return Err("has both manifests and layers: it is neither index nor manifest".into());
        }
        check_kind(index.schema_version, index.media_type.as_deref(), &[OCI_INDEX, DOCKER_LIST])?;
        Ok(index)
    }
}

impl Manifest {
    pub(crate) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        let media_type = Some(OCI_MANIFEST.to_owned());
        Manifest { schema_version: 2, media_type, config, layers, manifests: None }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Manifest, String> {
        let manifest: Manifest = parse(bytes)?;
        if manifest.manifests.is_some() {
            return Err("has both manifests and layers: it is neither index nor manifest".into());
        }
        let kinds = [OCI_MANIFEST, DOCKER_MANIFEST];
        check_kind(manifest.schema_version, manifest.media_type.as_deref(), &kinds)?;
        let config = manifest.config.media_type.as_str();
        if config != OCI_CONFIG && config != DOCKER_CONFIG {
            let config = crate::fault::shown(config.as_bytes());
            return Err(format!("is no container image: its configuration is of type {config}"));
        }
        check_layers(manifest.layers.len())?;
        for (i, layer) in manifest.layers.iter().enumerate() {
            if Compression::of_media_type(&layer.media_type).is_none() {
                let kind = crate::fault::shown(layer.media_type.as_bytes());
                return Err(format!("layer {} is of the unknown media type {kind}", i + 1));
            }
        }
        Ok(manifest)
    }
}

pub(crate) fn check_layers(count: usize) -> Result<(), String> {
    if count > LAYERS_MAX {
        return Err(format!("has {count} layers, over the {LAYERS_MAX} that overlayfs stacks"));
    }
    Ok(())
}

fn check_kind(version: u32, media_type: Option<&str>, kinds: &[&str]) -> Result<(), String> {
    if version != 2 {
        return Err(format!("has schema version {version}, only 2 is known"));
    }
    match media_type {
        Some(kind) if !kinds.contains(&kind) => {
            Err(format!("says it is {}", crate::fault::shown(kind.as_bytes())))
        }
        _ => Ok(()),
    }
}

/// An image configuration; its layers' digests are checked too.
pub(crate) fn parse_config(
    bytes: &[u8],
) -> Result<(oci::image::ImageConfiguration, Vec<Digest>), String> {
    let config: oci::image::ImageConfiguration = parse(bytes)?;
    let rootfs = config.rootfs();
    if rootfs.typ() != "layers" {
        return Err(format!("rootfs.type is {:?}, not \"layers\"", rootfs.typ()));
    }
    let digests: Result<Vec<Digest>, String> = rootfs
        .diff_ids()
        .iter()
        .enumerate()
        .map(|(i, d)| d.parse().map_err(|e| format!("rootfs.diff_ids[{i}]: {e}")))
        .collect();
    Ok((config, digests?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_documents_are_refused() {
        let digest = Digest::of(b"");
        let layer = Compression::Gzip.media_type();
        let manifest = |config: &str, layers: &str, more: &str| {
            format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}",
                "size":2}},"layers":[{layers}]{more}}}"#
            )
        };
        let one = format!(r#"{{"mediaType":"{layer}","digest":"{digest}","size":1}}"#);
        assert!(Manifest::parse(manifest(OCI_CONFIG, &one, "").as_bytes()).is_ok());
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        // What is not modelled is skipped without recursion.
        assert!(
            Manifest::parse(manifest(OCI_CONFIG, "", &format!(",\"x\":{deep}")).as_bytes()).is_ok()
        );
        let negative = one.replace(":1}", ":-1}");
        let huge = one.replace(":1}", ":99999999999999999999}");
        for (case, text, words) in [
            ("both", manifest(OCI_CONFIG, "", ",\"manifests\":[]"), "both"),
            ("deep", manifest(OCI_CONFIG, &deep, ""), "invalid type"),
            ("long", manifest(OCI_CONFIG, "", &" ".repeat(5 << 20)), "limit"),
            ("twice", manifest(OCI_CONFIG, "", ",\"layers\":[]"), "duplicate"),
            ("artifact", manifest("application/x", "", ""), "no container image"),
            ("negative", manifest(OCI_CONFIG, &negative, ""), "invalid"),
            ("huge", manifest(OCI_CONFIG, &huge, ""), "invalid"),
            ("type", manifest(OCI_CONFIG, &one.replace(layer, "a/b"), ""), "media type a/b"),
            ("kind", manifest(OCI_CONFIG, "", &format!(",\"mediaType\":\"{OCI_INDEX}\"")), "says"),
            ("version", manifest(OCI_CONFIG, "", "").replace(":2,\"c", ":1,\"c"), "version 1"),
            ("many", manifest(OCI_CONFIG, &vec![one.clone(); 501].join(","), ""), "501 layers"),
            ("cut", "{\"schemaVersion\":2".into(), "EOF"),
        ] {
            let problem = Manifest::parse(text.as_bytes()).unwrap_err();
            assert!(problem.contains(words), "{case}: {problem}");
        }
    }

    #[test]
    fn configurations_are_checked() {
        let config = |diff: &str| {
            format!(
                r#"{{"architecture":"amd64","os":"linux","config":{{"Env":null,"Cmd":["a"],
                "ExposedPorts":{{"80/tcp":{{}}}},"User":"1000"}},
                "rootfs":{{"type":"layers","diff_ids":[{diff}]}}}}"#
            )
        };
        let (parsed, digests) = parse_config(config("").as_bytes()).unwrap();
        assert!(digests.is_empty());
        assert_eq!(parsed.config().as_ref().unwrap().user().as_deref(), Some("1000"));
        let problem = parse_config(config("\"sha512:00\"").as_bytes()).unwrap_err();
        assert!(problem.contains("diff_ids[0]"), "{problem}");
    }
}
