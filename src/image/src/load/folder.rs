//! A folder of an image's files: what is opened lies beneath it, without links; and skopeo's `dir:`
//! form (`podman save --format docker-dir`): manifest.json, `version`, blobs named by hex digits.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{Found, layout, unknown};
use crate::blobs::Blobs;
use crate::digest::Digest;
use crate::document::{self, Descriptor, Manifest};
use crate::error::{At, Error, Result};

/// What every `version` of the form begins with.
const VERSION: &[u8] = b"Directory Transport Version: 1.";

/// An opened folder.
pub(super) struct Folder {
    path: PathBuf,
    root: OwnedFd,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Folder> {
        let root = sys::dir::open_root(path).at("opening", path)?;
        Ok(Folder { path: path.to_owned(), root })
    }

    /// A regular file with its length; `None` when it is not there.
    fn file(&self, name: &str) -> Result<Option<(File, u64)>> {
        let path = self.path.join(name);
        let file = match sys::dir::open_beneath(&self.root, name.as_bytes()) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.at("opening", &path)?,
        };
        let found = file.metadata().at("reading", &path)?;
        Ok(found.is_file().then_some((file, found.len())))
    }

    /// A document, a byte more than the limit when it is too long.
    pub(super) fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some((file, _)) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(document::DOCUMENT_MAX + 1).read_to_end(&mut bytes);
        read.at("reading", &self.path.join(name))?;
        Ok(Some(bytes))
    }

    /// Takes a blob in. One that is not here may be in the store: [`Blobs`] tells when not.
    pub(super) fn fetch(
        &self,
        name: &str,
        blobs: &mut Blobs,
        wanted: &Descriptor,
        what: &str,
    ) -> Result<()> {
        let path = self.path.join(name);
        let (mut file, actual) = match self.file(name)? {
            Some(found) => found,
            None if std::fs::symlink_metadata(&path).is_ok() => {
                return Err(blobs.wrong(what, "is not a regular file".into()));
            }
            None => return Ok(()),
        };
        if actual != wanted.size {
            return Err(Error::SizeMismatch {
                archive: blobs.archive().to_owned(),
                blob: format!("{what} {}", wanted.digest),
                expected: wanted.size,
                actual,
            });
        }
        let what = format!("{what} (blob sha256:{})", wanted.digest.short());
        blobs.copy(&mut file, &path, &wanted.digest, &what).map(drop)
    }
}

/// Reads the image of a `dir:` folder.
pub(super) fn image(folder: &Folder, blobs: &mut Blobs) -> Result<Vec<Found>> {
    let (version, manifest) = (folder.document("version")?, folder.document("manifest.json")?);
    let (Some(version), Some(bytes)) = (version, manifest) else {
        return Err(unknown(blobs, "a folder without oci-layout and index.json"));
    };
    if !version.starts_with(VERSION) {
        let version = crate::fault::shown(version.get(..80).unwrap_or(&version));
        return Err(blobs.wrong("version", format!("is {version:?}, only 1.x is known")));
    }
    let parsed = Manifest::parse(&bytes).map_err(|p| blobs.wrong("manifest.json", p))?;
    // Which of the two kinds it is has no other place than the manifest itself.
    let guess = match parsed.config.media_type.as_str() {
        document::DOCKER_CONFIG => document::DOCKER_MANIFEST,
        _ => document::OCI_MANIFEST,
    };
    let kind = parsed.media_type.as_deref().unwrap_or(guess);
    let manifest = Descriptor::new(kind, Digest::of(&bytes), bytes.len() as u64);
    blobs.put(&bytes)?;
    let found = layout::image(manifest.clone(), blobs, &mut |blobs, wanted, what| {
        if wanted.digest == manifest.digest {
            return Ok(());
        }
        folder.fetch(wanted.digest.hex(), blobs, wanted, what)
    })?;
    Ok(vec![found])
}
