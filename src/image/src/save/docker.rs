//! docker-archives: manifest.json for docker 1.10 and newer, `repositories` and a folder a layer
//! for older ones (moby image/spec, v1 and v1.2).
//!
//! Layers are uncompressed and verified against their diff_ids. Their length is not known before:
//! in a file the header is mended afterwards; into a pipe each layer is decompressed twice.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::archive::Archive;
use super::{Chosen, Source, each_layer, pour};
use crate::catalog::Layer;
use crate::compression::{Compression, Decoder};
use crate::digest::{Digest, Hasher};
use crate::error::{At, Result};
use crate::reference::Reference;

const READ_BYTES: usize = 128 << 10;

fn layer_name(layer: &Layer) -> String {
    format!("{}.tar", layer.unpacked.hex())
}

pub(super) fn archive(chosen: &[Chosen], source: &mut Source, out: &mut Archive) -> Result<()> {
    each_layer(
        chosen,
        |layer| layer.unpacked.clone(),
        |layer, what| {
            let name = layer_name(layer);
            if out.is_seekable() {
                return out.measured(&name, |out| source.plain(layer, what, out));
            }
            let mut counted = Counted(0);
            source.plain(layer, what, &mut counted)?;
            out.file(&name, counted.0, |out| source.plain(layer, what, out))
        },
    )?;
    let mut old = Old::default();
    for one in chosen {
        old.image(one, source)?;
    }
    for (id, (json, layer)) in &old.layers {
        out.folder(&format!("{id}/"))?;
        out.bytes(&format!("{id}/VERSION"), b"1.0")?;
        out.bytes(&format!("{id}/json"), json)?;
        out.link(&format!("{id}/layer.tar"), &format!("../{layer}"))?;
    }
    let mut configs = BTreeMap::new();
    for one in chosen {
        configs.insert(format!("{}.json", one.image.config_digest.hex()), &one.config_bytes);
    }
    for (name, bytes) in configs {
        out.bytes(&name, bytes)?;
    }
    out.bytes("repositories", &source.json("repositories", &old.repositories)?)?;
    let manifest: Vec<Value> = chosen
        .iter()
        .map(|one| {
            json!({
                "Config": format!("{}.json", one.image.config_digest.hex()),
                "RepoTags": one.names.iter().map(Reference::familiar).collect::<Vec<_>>(),
                "Layers": one.image.layers.iter().map(layer_name).collect::<Vec<_>>(),
            })
        })
        .collect();
    out.bytes("manifest.json", &source.json("manifest.json", &manifest)?)
}

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Source<'_> {
    /// Writes a layer uncompressed.
    fn plain(&mut self, layer: &Layer, what: &str, out: &mut dyn Write) -> Result<()> {
        let path = self.store.blobs().join(layer.descriptor.digest.hex());
        let blob = self.open(&layer.descriptor, what)?;
        let compression = Compression::of_media_type(&layer.media_type);
        let input = BufReader::with_capacity(READ_BYTES, blob);
        let decoder = Decoder::of_known_digest(input, compression.unwrap_or(Compression::None));
        let mut decoder = decoder.at("reading", &path)?;
        let mut hasher = Hasher::default();
        pour(&mut decoder as &mut dyn Read, &mut |bytes| {
            hasher.update(bytes);
            self.tell(bytes.len());
            out.write_all(bytes).at("writing", Path::new("the output"))
        })?;
        self.check(&hasher.finish(), &layer.unpacked, what)
    }
}

/// What docker before 1.10 reads.
#[derive(Default)]
struct Old {
    /// Id of a layer: its `json` and the file it links to.
    layers: BTreeMap<String, (Vec<u8>, String)>,
    /// Repository, tag, id of the top layer.
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl Old {
    fn image(&mut self, one: &Chosen, source: &Source) -> Result<()> {
        let config: Map<String, Value> = serde_json::from_slice(&one.config_bytes)
            .map_err(|e| source.store.wrong("configuration", e.to_string()))?;
        let mut parent: Option<String> = None;
        for (i, layer) in one.image.layers.iter().enumerate() {
            let top = i + 1 == one.image.layers.len();
            // Of the layers below and, at the top, the configuration: alike means the same image.
            let below = parent.as_deref().unwrap_or("");
            let more = if top { one.image.config_digest.hex() } else { "" };
            let id = Digest::of(format!("{below} {} {more}", layer.unpacked).as_bytes());
            let mut facts = Map::new();
            facts.insert("id".into(), id.hex().into());
            if let Some(parent) = &parent {
                facts.insert("parent".into(), parent.as_str().into());
            }
            facts.insert("created".into(), "1970-01-01T00:00:00Z".into());
            if top {
                for key in ["created", "author", "architecture", "os", "config"] {
                    facts.extend(config.get(key).map(|value| (key.to_owned(), value.clone())));
                }
            }
            let bytes = source.json("json", &facts)?;
            self.layers.insert(id.hex().to_owned(), (bytes, layer_name(layer)));
            parent = Some(id.hex().to_owned());
        }
        for (name, id) in one.names.iter().zip(parent.iter().cycle()) {
            let familiar = name.familiar();
            let repository = familiar.strip_suffix(&format!(":{}", name.tag()));
            let repository = repository.unwrap_or(&familiar).to_owned();
            let tags = self.repositories.entry(repository).or_default();
            tags.insert(name.tag().to_owned(), id.clone());
        }
        Ok(())
    }
}
