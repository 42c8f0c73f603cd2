//! An image layout as data: documents and blobs that a case bends before they are written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use image::Digest;
use serde_json::{Value, json};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layout of one image.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) mark: Vec<u8>,
    pub(crate) index: Value,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    /// Blobs as they are, by file name: layers, and what a case adds.
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// Written instead of what the values say.
    pub(crate) raw: BTreeMap<&'static str, Vec<u8>>,
    /// Names that are links, and to what.
    pub(crate) links: Vec<(String, String)>,
}

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

impl Layout {
    /// An image of these plain layers, all of it right.
    pub(crate) fn of_layers(layers: &[Vec<u8>]) -> Layout {
        let parts: Vec<(Vec<u8>, String, &str)> =
            layers.iter().map(|l| (l.clone(), Digest::of(l).to_string(), LAYER)).collect();
        Layout::of_packed(&parts)
    }

    /// The same of packed layers with their diff_ids and media types.
    pub(crate) fn of_packed(layers: &[(Vec<u8>, String, &str)]) -> Layout {
        let mut blobs = BTreeMap::new();
        let mut described = Vec::new();
        for (bytes, _, kind) in layers {
            described.push(descriptor(kind, bytes));
            blobs.insert(Digest::of(bytes).hex().to_owned(), bytes.clone());
        }
        let diff_ids: Vec<&String> = layers.iter().map(|(_, diff, _)| diff).collect();
        Layout {
            mark: b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec(),
            index: json!({"schemaVersion": 2, "manifests": []}),
            manifest: json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": null, "layers": described}),
            config: json!({"architecture": "amd64", "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": diff_ids}}),
            blobs,
            raw: BTreeMap::new(),
            links: Vec::new(),
        }
    }

    fn bytes(&self, what: &'static str, value: &Value) -> Vec<u8> {
        self.raw.get(what).cloned().unwrap_or_else(|| value.to_string().into_bytes())
    }

    /// Writes it: what a case has not set follows from the rest.
    pub(crate) fn write(&self, to: &Path) {
        let blobs = to.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8]| {
            fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
        };
        let config = self.bytes("config", &self.config);
        put(&config);
        let mut manifest = self.manifest.clone();
        if manifest["config"].is_null() {
            manifest["config"] = descriptor(CONFIG, &config);
        }
        let manifest = self.bytes("manifest", &manifest);
        put(&manifest);
        let mut index = self.index.clone();
        if let Some(entries) = index["manifests"].as_array_mut()
            && entries.is_empty()
        {
            entries.push(descriptor(MANIFEST, &manifest));
        }
        let index = self.bytes("index", &index);
        for (name, bytes) in &self.blobs {
            fs::write(blobs.join(name), bytes).unwrap();
        }
        for (name, target) in &self.links {
            let _ = fs::remove_file(to.join(name));
            std::os::unix::fs::symlink(target, to.join(name)).unwrap();
        }
        fs::write(to.join("oci-layout"), &self.mark).unwrap();
        fs::write(to.join("index.json"), index).unwrap();
    }
}
