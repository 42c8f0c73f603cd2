//! An OCI layout folder as the end of a copy.
//!
//! Blobs are written beside their place and renamed when their digest is right; index.json is
//! replaced last.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::Tree;
use crate::digest::Digest;
use crate::document::{self, DOCUMENT_MAX, Descriptor, Index, LayoutMark, REF_NAME};
use crate::error::{At, Error, Result};

/// A folder that is written to.
pub(crate) struct Layout {
    path: PathBuf,
}

/// The entry of a layout's index that is meant: by its name, or the only one.
pub(super) fn find(folder: &Path, name: Option<&str>) -> Result<Descriptor> {
    let index = read_index(folder)?.ok_or_else(|| Error::UnknownFormat {
        archive: folder.display().to_string(),
        found: "a folder without index.json".into(),
    })?;
    let named = |d: &&Descriptor| d.annotation(REF_NAME) == name;
    let found = match (name, index.manifests.as_slice()) {
        (None, [one]) => Some(one),
        (None, _) => None,
        (Some(_), all) => all.iter().find(named),
    };
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> =
            index.manifests.iter().filter_map(|d| d.annotation(REF_NAME)).take(20).collect();
        let names = crate::fault::shown(names.join(", ").as_bytes());
        let problem = match name {
            Some(name) => format!("has no image {name:?}, only: {names}"),
            None => format!("holds {} images: name one of: {names}", index.manifests.len()),
        };
        let archive = folder.display().to_string();
        Error::Document { archive, document: "index.json".into(), problem }
    })
}

fn read_index(folder: &Path) -> Result<Option<Index>> {
    let path = folder.join("index.json");
    let file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.at("opening", &path)?,
    };
    let mut bytes = Vec::new();
    file.take(DOCUMENT_MAX + 1).read_to_end(&mut bytes).at("reading", &path)?;
    let index = Index::parse(&bytes).map_err(|problem| Error::Document {
        archive: folder.display().to_string(),
        document: "index.json".into(),
        problem,
    })?;
    Ok(Some(index))
}

impl Layout {
    /// Makes the folder, or takes the one that is there.
    pub(super) fn create(path: &Path) -> Result<Layout> {
        let blobs = path.join("blobs/sha256");
        fs::create_dir_all(&blobs).at("making", &blobs)?;
        let layout = Layout { path: path.to_owned() };
        let mark = path.join("oci-layout");
        if !mark.exists() {
            let version = LayoutMark { image_layout_version: "1.0.0".into() };
            layout.replace("oci-layout", &version)?;
        }
        Ok(layout)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    /// Whether a blob of that size is there.
    pub(super) fn has(&self, blob: &Descriptor) -> bool {
        fs::metadata(self.blob(&blob.digest)).is_ok_and(|m| m.is_file() && m.len() == blob.size)
    }

    pub(super) fn copy(&self, digest: &Digest, bytes: &mut dyn Read) -> io::Result<()> {
        let to = self.blob(digest);
        let fresh = to.with_extension(format!("{}.new", std::process::id()));
        let copied = (|| {
            let mut file = File::create(&fresh)?;
            io::copy(bytes, &mut file)?;
            fs::rename(&fresh, &to)
        })();
        if copied.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        copied
    }

    pub(super) fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        self.copy(digest, &mut &bytes[..]).at("writing", &self.blob(digest))
    }

    /// Enters the root of a tree into the index; a name that another entry had moves.
    pub(super) fn enter(&self, tree: &Tree, name: Option<&str>) -> Result<()> {
        let Some((root, _)) = tree.root() else { return Ok(()) };
        let mut index = read_index(&self.path)?.unwrap_or_else(|| Index::new(Vec::new()));
        index.manifests.retain(|d| match name {
            Some(name) => d.annotation(REF_NAME) != Some(name),
            None => d.digest != root.digest || d.annotation(REF_NAME).is_some(),
        });
        let names = name.map(|n| BTreeMap::from([(REF_NAME.to_owned(), n.to_owned())]));
        index.manifests.push(Descriptor { annotations: names, ..root.clone() });
        sys::dir::sync_file_system(&File::open(&self.path).at("opening", &self.path)?)
            .at("writing to disk", &self.path)?;
        self.replace("index.json", &index)
    }

    fn replace(&self, name: &str, value: &impl serde::Serialize) -> Result<()> {
        let path = self.path.join(name);
        let bytes = serde_json::to_vec(value).map_err(|e| Error::Document {
            archive: self.path.display().to_string(),
            document: name.into(),
            problem: e.to_string(),
        })?;
        debug_assert!(document::parse::<serde_json::Value>(&bytes).is_ok());
        let fresh = self.path.join(format!("{name}.{}.new", std::process::id()));
        let written = (|| {
            let mut file = File::create(&fresh)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        })();
        written.at("writing", &path)
    }
}
