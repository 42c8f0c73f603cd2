//! Blobs on their way into the store: hashed while they are written, found by digest.
//!
//! New blobs lie in a staging folder until the store takes them in; a blob that the store has is
//! verified and not written again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::budget::Budget;
use crate::digest::Digest;
use crate::document::{self, Descriptor};
use crate::error::{At, Error, Result};
use crate::side_hasher::SideHasher;
use crate::staging::Staging;

/// The blobs of one operation.
pub(crate) struct Blobs<'a> {
    staging: &'a Staging,
    /// `store/blobs/sha256`.
    store: PathBuf,
    /// For messages: the file or folder that is read.
    archive: String,
    fresh: BTreeMap<Digest, u64>,
}

/// A blob that is being written.
pub(crate) struct NewBlob {
    path: PathBuf,
    file: Option<File>,
    hasher: SideHasher,
    size: u64,
    budget: Arc<Budget>,
}

impl NewBlob {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        match &mut self.file {
            Some(file) => {
                self.budget.take(bytes.len() as u64)?;
                file.write_all(bytes).at("writing", &self.path)
            }
            None => Ok(()),
        }
    }
}

impl<'a> Blobs<'a> {
    pub(crate) fn new(staging: &'a Staging, store: PathBuf, archive: String) -> Blobs<'a> {
        Blobs { staging, store, archive, fresh: BTreeMap::new() }
    }

    pub(crate) fn archive(&self) -> &str {
        &self.archive
    }

    pub(crate) fn staging(&self) -> &Staging {
        self.staging
    }

    /// Begins a blob. With `expected` in the store already, it is only hashed.
    pub(crate) fn begin(&self, expected: Option<&Digest>) -> Result<NewBlob> {
        let path = self.staging.path().join("blob");
        let budget = Arc::clone(self.staging.budget());
        let known = expected.is_some_and(|d| self.path(d).is_some());
        let file = if known { None } else { Some(File::create(&path).at("making", &path)?) };
        Ok(NewBlob { path, file, hasher: SideHasher::default(), size: 0, budget })
    }

    /// Ends a blob; `what` names it in the error when it does not have the digest `expected`.
    pub(crate) fn end(
        &mut self,
        blob: NewBlob,
        expected: Option<&Digest>,
        what: &str,
    ) -> Result<(Digest, u64)> {
        let (digest, size) = (blob.hasher.finish(), blob.size);
        if let Some(expected) = expected.filter(|e| **e != digest) {
            return Err(Error::DigestMismatch {
                archive: self.archive.clone(),
                blob: what.into(),
                expected: expected.to_string(),
                actual: digest.to_string(),
            });
        }
        if let Some(file) = &blob.file
            && !self.fresh.contains_key(&digest)
        {
            // The disk has work while layers are unpacked; the sync at the end is the one that
            // counts.
            let _ = sys::dir::begin_write_back(file);
            let to = self.staging.path().join(digest.hex());
            fs::rename(&blob.path, &to).at("moving", &to)?;
            self.fresh.insert(digest.clone(), size);
        }
        Ok((digest, size))
    }

    /// Takes a whole stream in.
    pub(crate) fn copy(
        &mut self,
        input: &mut dyn Read,
        from: &Path,
        expected: &Digest,
        what: &str,
    ) -> Result<u64> {
        let mut blob = self.begin(Some(expected))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match read_some(input, &mut buffer).at("reading", from)? {
                0 => break,
                count => blob.write(&buffer[..count])?,
            }
        }
        self.end(blob, Some(expected), what).map(|(_, size)| size)
    }

    /// Takes in what lies in the staging folder under its digest's digits already, verified.
    pub(crate) fn adopt(&mut self, digest: &Digest, size: u64) {
        self.fresh.insert(digest.clone(), size);
    }

    /// Takes bytes in.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<Digest> {
        let mut blob = self.begin(Some(&Digest::of(bytes)))?;
        blob.write(bytes)?;
        self.end(blob, None, "a document").map(|(digest, _)| digest)
    }

    /// Takes a document of our own in.
    pub(crate) fn put_json(
        &mut self,
        media_type: &str,
        value: &impl serde::Serialize,
    ) -> Result<(Descriptor, Vec<u8>)> {
        let bytes = serde_json::to_vec(value).map_err(|e| self.wrong(media_type, e.to_string()))?;
        let descriptor = Descriptor::new(media_type, self.put(&bytes)?, bytes.len() as u64);
        Ok((descriptor, bytes))
    }

    /// Where a blob lies, in staging or in the store.
    pub(crate) fn path(&self, digest: &Digest) -> Option<PathBuf> {
        if self.fresh.contains_key(digest) {
            return Some(self.staging.path().join(digest.hex()));
        }
        let stored = self.store.join(digest.hex());
        stored.is_file().then_some(stored)
    }

    /// Opens a blob and checks its size against its descriptor.
    pub(crate) fn open(&self, wanted: &Descriptor, what: &str) -> Result<File> {
        let path = self.path(&wanted.digest).ok_or_else(|| Error::MissingBlob {
            archive: self.archive.clone(),
            blob: format!("{what} {}", wanted.digest),
        })?;
        let file = File::open(&path).at("opening", &path)?;
        let actual = file.metadata().at("reading", &path)?.len();
        if actual != wanted.size {
            return Err(Error::SizeMismatch {
                archive: self.archive.clone(),
                blob: format!("{what} {}", wanted.digest),
                expected: wanted.size,
                actual,
            });
        }
        Ok(file)
    }

    /// A document's bytes, within the limit.
    pub(crate) fn document(&self, wanted: &Descriptor, what: &str) -> Result<Vec<u8>> {
        if wanted.size > document::DOCUMENT_MAX {
            return Err(self.wrong(what, document::too_long(wanted.size)));
        }
        let mut bytes = Vec::new();
        let mut file = self.open(wanted, what)?;
        file.read_to_end(&mut bytes).at("reading", Path::new(&self.archive))?;
        Ok(bytes)
    }

    /// The error for a document that is not valid.
    pub(crate) fn wrong(&self, what: &str, problem: String) -> Error {
        Error::Document { archive: self.archive.clone(), document: what.into(), problem }
    }

    /// Moves a new blob into the store. Staging must have been synced.
    pub(crate) fn commit(&self, digest: &Digest) -> Result<()> {
        if self.fresh.contains_key(digest) {
            let to = self.store.join(digest.hex());
            let from = self.staging.path().join(digest.hex());
            match fs::rename(&from, &to) {
                // Another image of the same archive had it too.
                Err(e) if e.kind() == io::ErrorKind::NotFound && to.is_file() => {}
                other => other.at("moving", &to)?,
            }
        }
        Ok(())
    }

    /// How many blobs are new.
    pub(crate) fn any_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }
}

/// One read(2) that a signal does not end; 0 is the end.
pub(crate) fn read_some(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
