//! OCI image layouts, as an archive or a folder (image-spec, image-layout.md).
//!
//! The archive has docker's manifest.json beside index.json, as `docker save` has since 25.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::archive::Archive;
use super::{Chosen, Source, each_layer};
use crate::document::{Descriptor, FULL_NAME, Index, REF_NAME};
use crate::error::{At, Error, Result};
use crate::reference::Reference;

const MARK: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

fn blob_name(digest: &crate::Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The entries of index.json: one a name, one without when there is none.
fn entries(chosen: &[Chosen]) -> Vec<Descriptor> {
    let mut all = Vec::new();
    for one in chosen {
        let plain = Descriptor { annotations: None, ..one.manifest.clone() };
        for name in &one.names {
            all.push(Descriptor { annotations: Some(names(name)), ..plain.clone() });
        }
        if one.names.is_empty() {
            all.push(plain);
        }
    }
    all
}

fn names(name: &Reference) -> BTreeMap<String, String> {
    [(REF_NAME, name.familiar()), (FULL_NAME, name.to_string())]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

pub(super) fn archive(chosen: &[Chosen], source: &mut Source, out: &mut Archive) -> Result<()> {
    out.folder("blobs/")?;
    out.folder("blobs/sha256/")?;
    each_layer(
        chosen,
        |layer| layer.descriptor.digest.clone(),
        |layer, what| {
            let blob = &layer.descriptor;
            out.file(&blob_name(&blob.digest), blob.size, |out| source.copy(blob, what, out))
        },
    )?;
    let mut documents = BTreeMap::new();
    for one in chosen {
        documents.insert(blob_name(&one.image.config_digest), &one.config_bytes);
        documents.insert(blob_name(&one.manifest.digest), &one.manifest_bytes);
    }
    for (name, bytes) in documents {
        out.bytes(&name, bytes)?;
    }
    let index = Index::new(entries(chosen));
    out.bytes("index.json", &source.json("index.json", &index)?)?;
    let manifest: Vec<Value> = chosen
        .iter()
        .map(|one| {
            let layers = one.image.layers.iter().map(|l| blob_name(&l.descriptor.digest));
            json!({
                "Config": blob_name(&one.image.config_digest),
                "RepoTags": one.names.iter().map(Reference::familiar).collect::<Vec<_>>(),
                "Layers": layers.collect::<Vec<_>>(),
            })
        })
        .collect();
    out.bytes("manifest.json", &source.json("manifest.json", &manifest)?)?;
    out.bytes("oci-layout", MARK)
}

pub(super) fn folder(chosen: &[Chosen], source: &mut Source, to: &Path) -> Result<()> {
    let blobs = to.join("blobs").join("sha256");
    let mut index = begin(to)?;
    fs::create_dir_all(&blobs).at("making", &blobs)?;
    let put = |digest: &crate::Digest, write: &mut dyn FnMut(&mut File) -> Result<()>| {
        let path = blobs.join(digest.hex());
        if path.exists() { Ok(()) } else { write_whole(&path, write) }
    };
    each_layer(
        chosen,
        |layer| layer.descriptor.digest.clone(),
        |layer, what| {
            let blob = &layer.descriptor;
            put(&blob.digest, &mut |file| source.copy(blob, what, file))
        },
    )?;
    for one in chosen {
        for (digest, bytes) in [
            (&one.image.config_digest, &one.config_bytes),
            (&one.manifest.digest, &one.manifest_bytes),
        ] {
            put(digest, &mut |file| file.write_all(bytes).at("writing", to))?;
        }
    }
    let fresh = entries(chosen);
    index.manifests.retain(|old| {
        let name = |entry: &Descriptor| entry.annotation(REF_NAME).map(str::to_owned);
        !fresh.iter().any(|new| match name(new) {
            Some(new) => name(old).as_deref() == Some(&new),
            None => old.digest == new.digest && name(old).is_none(),
        })
    });
    index.manifests.extend(fresh);
    let bytes = source.json("index.json", &index)?;
    let write = |name: &str, bytes: &[u8]| {
        write_whole(&to.join(name), &mut |file| file.write_all(bytes).at("writing", to))
    };
    write("oci-layout", MARK)?;
    write("index.json", &bytes)?;
    crate::store::sync_folder(&blobs)?;
    crate::store::sync_folder(to)
}

/// The index of a layout that is there, an empty one for a new or empty folder.
fn begin(to: &Path) -> Result<Index> {
    match fs::create_dir(to) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        made => made.at("making", to)?,
    }
    let path = to.join("index.json");
    match fs::read(&path) {
        Ok(bytes) => Index::parse(&bytes).map_err(|problem| Error::Document {
            archive: to.display().to_string(),
            document: "index.json".into(),
            problem,
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            super::folder::must_be_empty(to, "an OCI layout")?;
            Ok(Index::new(Vec::new()))
        }
        Err(e) => Err(Error::io("reading", &path, e)),
    }
}

/// A file that has its name only when it is whole and on the disk.
pub(super) fn write_whole(
    path: &Path,
    write: &mut dyn FnMut(&mut File) -> Result<()>,
) -> Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let mut file = File::create(&partial).at("making", &partial)?;
    let done = write(&mut file)
        .and_then(|()| file.sync_all().at("writing to disk", path))
        .and_then(|()| fs::rename(&partial, path).at("replacing", path));
    if done.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&partial);
    }
    done
}
