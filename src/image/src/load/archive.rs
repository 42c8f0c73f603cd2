//! Reading an archive file once, from front to back: documents into memory, all else as blobs.
//!
//! One pass, so that a pipe will do. Links within the archive (docker-archives have them for
//! layers that are alike) are only names here and are resolved among its own entries.

use std::collections::BTreeMap;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use super::{Found, docker, layout, legacy, unknown};
use crate::blobs::Blobs;
use crate::compression::{Compression, Decoder};
use crate::digest::Digest;
use crate::document::DOCUMENT_MAX;
use crate::error::{At, Error, Result};
use crate::fault::{Fault, shown};
use crate::progress::{Event, Progress};
use crate::tarball::{Entry, Kind, Reader};
use crate::trust::Transport;

const DOCUMENTS: [&str; 4] = ["oci-layout", "index.json", "manifest.json", "repositories"];
const READ_BYTES: usize = 256 << 10;
/// Most entries of an archive; an image has three a layer at most.
const ENTRIES_MAX: usize = 20_000;
/// Longest chain of links.
const LINKS_MAX: usize = 8;
const REPORT_BYTES: u64 = 4 << 20;

/// What an archive holds.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) documents: BTreeMap<String, Vec<u8>>,
    files: BTreeMap<String, (Digest, u64)>,
    links: BTreeMap<String, String>,
}

impl Contents {
    /// A file by name, through links of the archive.
    pub(super) fn file(&self, name: &str) -> Option<&(Digest, u64)> {
        let mut name = clean(name)?;
        for _ in 0..LINKS_MAX {
            if let Some(file) = self.files.get(&name) {
                return Some(file);
            }
            name.clone_from(self.links.get(&name)?);
        }
        None
    }
}

/// A path within the archive: no leading `./` or `/`; `None` when it leaves the archive.
fn clean(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Reads the images of an archive.
pub(super) fn read(
    mut input: Box<dyn Read>,
    path: &Path,
    blobs: &mut Blobs,
    progress: &mut dyn Progress,
) -> Result<(Transport, Vec<Found>)> {
    let mut first = Vec::new();
    (&mut input).take(4).read_to_end(&mut first).at("reading", path)?;
    if first.is_empty() {
        return Err(unknown(blobs, "it is empty"));
    }
    let compression = Compression::of(&first);
    let input = BufReader::with_capacity(READ_BYTES, Cursor::new(first).chain(input));
    let decoder = Decoder::new(input, compression).at("reading", path)?;
    let mut reader = Reader::new(BufReader::with_capacity(READ_BYTES, decoder));
    let contents = contents(&mut reader, blobs, progress)?;
    let truncated = !reader.saw_end_marker();
    let stem = path.file_stem().and_then(|s| s.to_str()).filter(|_| path != Path::new("-"));
    let found = images(&contents, blobs, stem);
    match found {
        // Cut off exactly between two entries.
        Err(Error::MissingBlob { blob, archive }) if truncated => {
            Err(Error::Truncated { archive, entry: format!("what should hold {blob}") })
        }
        Err(Error::UnknownFormat { archive, .. }) if truncated && !contents.files.is_empty() => {
            Err(Error::Truncated { archive, entry: "what should hold its index".into() })
        }
        found => found,
    }
}

fn images(
    contents: &Contents,
    blobs: &mut Blobs,
    stem: Option<&str>,
) -> Result<(Transport, Vec<Found>)> {
    let documents = &contents.documents;
    if let (Some(_), Some(index)) = (documents.get("oci-layout"), documents.get("index.json")) {
        let found = layout::images(index, blobs, stem, &mut |_, _, _| Ok(()))?;
        return Ok((Transport::OciArchive, found));
    }
    let found = match (documents.get("manifest.json"), documents.get("repositories")) {
        (Some(manifest), _) => docker::images(manifest, contents, blobs),
        (None, Some(repositories)) => legacy::images(repositories, contents, blobs),
        (None, None) => Err(unknown(blobs, "it has neither index.json nor manifest.json")),
    };
    Ok((Transport::DockerArchive, found?))
}

fn contents<R: std::io::BufRead>(
    reader: &mut Reader<R>,
    blobs: &mut Blobs,
    progress: &mut dyn Progress,
) -> Result<Contents> {
    let mut contents = Contents::default();
    let mut bytes = 0;
    let mut told = 0;
    let mut last: Option<Vec<u8>> = None;
    for number in 0.. {
        let entry = match reader.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(fault) if number == 0 && !matches!(fault, Fault::Read(_)) => {
                return Err(unknown(blobs, &format!("not a tar archive ({fault})")));
            }
            Err(fault) => {
                let at = last.map_or("number 1".into(), |l| format!("that follows {}", shown(&l)));
                return Err(explain(blobs, at, fault));
            }
        };
        if number >= ENTRIES_MAX {
            return Err(unknown(blobs, &format!("it has more than {ENTRIES_MAX} entries")));
        }
        let name = String::from_utf8(entry.path.clone()).ok().and_then(|n| clean(&n));
        if let Some(name) = name {
            one(reader, &entry, name, blobs, &mut contents)?;
        }
        bytes += entry.size;
        if bytes - told >= REPORT_BYTES {
            told = bytes;
            progress.on(&Event::Reading { bytes, total: None });
        }
        last = Some(entry.path);
    }
    Ok(contents)
}

fn one<R: std::io::BufRead>(
    reader: &mut Reader<R>,
    entry: &Entry,
    name: String,
    blobs: &mut Blobs,
    contents: &mut Contents,
) -> Result<()> {
    match entry.kind {
        Kind::File if DOCUMENTS.contains(&name.as_str()) => {
            let bytes =
                reader.read_all(DOCUMENT_MAX).map_err(|f| explain(blobs, name.clone(), f))?;
            contents.documents.insert(name, bytes);
        }
        Kind::File => {
            let expected = digest_in(&name);
            let mut blob = blobs.begin(expected.as_ref())?;
            loop {
                let chunk = reader.chunk().map_err(|f| explain(blobs, shown(&entry.path), f))?;
                if chunk.is_empty() {
                    break;
                }
                blob.write(chunk)?;
                let used = chunk.len();
                reader.consume(used);
            }
            let file =
                blobs.end(blob, expected.as_ref(), &format!("entry {}", shown(&entry.path)))?;
            contents.files.insert(name, file);
        }
        Kind::Link | Kind::HardLink => {
            let target = String::from_utf8_lossy(&entry.link);
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let hard = entry.kind == Kind::HardLink || target.starts_with('/');
            let target = if hard { target.into_owned() } else { format!("{folder}/{target}") };
            if let Some(target) = clean(&target) {
                contents.links.insert(name, target);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The digest that a blob's name promises: `blobs/sha256/<hex>`.
fn digest_in(name: &str) -> Option<Digest> {
    let hex = name.strip_prefix("blobs/sha256/")?;
    format!("sha256:{hex}").parse().ok()
}

fn explain(blobs: &Blobs, entry: String, fault: Fault) -> Error {
    let archive = blobs.archive().to_owned();
    match fault {
        Fault::Truncated => Error::Truncated { archive, entry },
        Fault::Read(source) => Error::io("reading", Path::new(&archive), source),
        source => Error::BadArchive { archive, entry, source },
    }
}
