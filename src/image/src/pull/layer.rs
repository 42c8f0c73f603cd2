//! One layer of a pull: from the socket to the blob's file, the hasher and the unpacker at once.
//!
//! The packed bytes' digest is the judge: while it is not right, whatever the unpacker says is of
//! no account. A blob whose digest is wrong is downloaded once more, from its beginning.

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry::Remote;

use super::assembled::Assembled;
use super::chunked::{From, Local, Table};
use super::partial::Partial;
use super::stream::Stream;
use crate::budget::Budget;
use crate::digest::{Digest, Hasher};
use crate::document::Descriptor;
use crate::error::{At, Error, Result};
use crate::extract::Unpacked;
use crate::fault::Fault;
use crate::load::make_layer_root;
use crate::progress::Event;
use crate::side_by_side::Told;
use crate::unpack::{self, Job};

const READ_BYTES: usize = 128 << 10;

/// A blob that is needed, and the layers of the image that it is.
pub(super) struct Wanted {
    pub(super) descriptor: Descriptor,
    /// Its first layer's number, from 1.
    pub(super) number: usize,
    /// Where to unpack it; none when only the blob is missing.
    pub(super) targets: Vec<Target>,
}

/// A layer to unpack.
pub(super) struct Target {
    /// From 1.
    pub(super) number: usize,
    pub(super) diff_id: Digest,
    /// An empty folder of ours.
    pub(super) path: PathBuf,
}

/// What all layers of a pull share.
pub(super) struct Context<'a> {
    pub(super) remote: &'a Remote,
    /// The image's name, for messages.
    pub(super) name: &'a str,
    pub(super) count: usize,
    pub(super) staging: &'a Path,
    pub(super) budget: &'a Arc<Budget>,
    /// `store/blobs/sha256`.
    pub(super) stored: &'a Path,
    pub(super) partial: &'a Path,
    /// What local zstd:chunked layers have.
    pub(super) local: &'a Local,
}

/// A layer that is unpacked: its number and what was made.
pub(super) type Done = (usize, Unpacked);

/// Where bytes are and how many of them, and where the others are to be taken from.
struct Source<'a> {
    path: &'a Path,
    file: &'a File,
    kept: u64,
    plan: Option<&'a [From]>,
}

impl Context<'_> {
    /// Brings a blob into the staging folder, unless the store has it, and unpacks its layers.
    pub(super) fn fetch(&self, wanted: &Wanted, told: &Told) -> Result<Vec<Done>> {
        let digest = &wanted.descriptor.digest;
        let stored = self.stored.join(digest.hex());
        if !stored.is_file() {
            let (number, count, digest_text) = (wanted.number, self.count, digest.to_string());
            let waiting = || {
                let digest = digest_text.clone();
                told.on(Event::LayerAwaited { number, count, digest });
            };
            let partial = Partial::open(self.partial, digest, waiting)?;
            // Another process may have brought it in meanwhile.
            if !stored.is_file() {
                return self.download(wanted, &partial, told);
            }
        }
        let file = File::open(&stored).at("opening", &stored)?;
        let source =
            Source { path: &stored, file: &file, kept: wanted.descriptor.size, plan: None };
        self.each(wanted, &wanted.targets, &source, told)
    }

    fn download(&self, wanted: &Wanted, partial: &Partial, told: &Told) -> Result<Vec<Done>> {
        let Partial { path, file } = partial;
        let size = wanted.descriptor.size;
        let mut kept = file.metadata().at("reading", path)?.len();
        let plan = if kept < size { self.plan(&wanted.descriptor) } else { None };
        let mut last = false;
        loop {
            if kept > size || last {
                file.set_len(0).at("emptying", path)?;
                kept = 0;
            }
            let first = wanted.targets.first();
            let plan = plan.as_deref().filter(|_| !last);
            let source = Source { path, file, kept, plan };
            match self.one(wanted, first, &source, told) {
                Err(Error::DigestMismatch { .. }) if !last => last = true,
                Err(error) => {
                    if matches!(error, Error::DigestMismatch { .. }) {
                        file.set_len(0).at("emptying", path)?;
                    }
                    return Err(error);
                }
                Ok(done) => {
                    // The disk has work while others are unpacked; the sync at the end counts.
                    let _ = sys::dir::begin_write_back(file);
                    let to = self.staging.join(wanted.descriptor.digest.hex());
                    fs::hard_link(path, &to).at("linking", &to)?;
                    let source = Source { path, file, kept: size, plan: None };
                    let rest = wanted.targets.get(1..).unwrap_or_default();
                    let mut all: Vec<Done> = done.into_iter().collect();
                    all.extend(self.each(wanted, rest, &source, told)?);
                    return Ok(all);
                }
            }
        }
    }

    fn each(
        &self,
        wanted: &Wanted,
        targets: &[Target],
        source: &Source,
        told: &Told,
    ) -> Result<Vec<Done>> {
        let mut all = Vec::new();
        for target in targets {
            all.extend(self.one(wanted, Some(target), source, told)?);
        }
        Ok(all)
    }

    /// All of a blob through the hasher, the file, and the unpacker where there is a target.
    fn one(
        &self,
        wanted: &Wanted,
        target: Option<&Target>,
        source: &Source,
        told: &Told,
    ) -> Result<Option<Done>> {
        let Descriptor { digest, size, .. } = &wanted.descriptor;
        let (number, count) = (target.map_or(wanted.number, |t| t.number), self.count);
        let (path, mut file) = (source.path, source.file);
        file.seek(SeekFrom::Start(0)).at("reading", path)?;
        let blob = if source.kept < *size { Some(self.open(wanted, source)?) } else { None };
        let digest_text = digest.to_string();
        let downloads = blob.is_some();
        let tell = |bytes| {
            if downloads {
                let digest = digest_text.clone();
                let event = Event::Downloading { number, count, digest, bytes, total: *size };
                told.on(event);
            }
            !told.is_stopped()
        };
        tell(source.kept);
        let mut stream = Stream {
            file,
            path,
            kept: source.kept,
            blob,
            at: 0,
            hasher: Hasher::default(),
            failure: None,
            told: source.kept,
            tell: &tell,
        };
        let unpacked = target.map(|target| self.unpack(wanted, target, source, &mut stream));
        let actual = stream.drain()?;
        if actual != *digest {
            let digest = digest.short();
            return Err(Error::DigestMismatch {
                archive: self.name.to_owned(),
                blob: format!("layer {number} of {count} (sha256:{digest})"),
                expected: wanted.descriptor.digest.to_string(),
                actual: actual.to_string(),
            });
        }
        let Some(done) = unpacked.transpose()? else { return Ok(None) };
        let (entries, bytes) = (done.entries, done.bytes);
        let event = Event::LayerDone { number, count, digest: digest_text, entries, bytes };
        told.on(event);
        Ok(Some((number, done)))
    }

    /// The bytes that are not kept.
    fn open(&self, wanted: &Wanted, source: &Source) -> Result<Box<dyn Read + Send + '_>> {
        let Descriptor { digest, size, .. } = &wanted.descriptor;
        if let Some(runs) = source.plan {
            let blob = (digest.as_str(), *size);
            return Ok(Box::new(Assembled::new(self.remote, blob, runs, source.kept)));
        }
        let mut blob = self.remote.blob(digest.as_str(), *size, source.kept);
        blob.open()?;
        Ok(Box::new(blob))
    }

    /// How to put a blob together, when local layers have some of it. Without ranges at the server
    /// there is no plan.
    fn plan(&self, layer: &Descriptor) -> Option<Vec<From>> {
        let table = Table::of(layer).filter(|_| !self.local.is_empty())?;
        let mut packed = Vec::new();
        let part = (table.offset, table.offset + table.packed);
        let mut bytes = self.remote.part(layer.digest.as_str(), layer.size, part);
        // What cannot be had is done without.
        bytes.read_to_end(&mut packed).ok()?;
        let plan = self.local.plan(&table.read(&packed), layer.size);
        plan.iter().any(|run| matches!(run, From::Local { .. })).then_some(plan)
    }

    fn unpack(
        &self,
        wanted: &Wanted,
        target: &Target,
        source: &Source,
        stream: &mut Stream,
    ) -> Result<Unpacked> {
        match fs::remove_dir_all(&target.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.at("removing", &target.path)?,
        }
        make_layer_root(&target.path)?;
        let job = Job {
            number: target.number,
            count: self.count,
            descriptor: wanted.descriptor.clone(),
            diff_id: target.diff_id.clone(),
            blob: source.file.try_clone().at("opening", source.path)?,
            target: target.path.clone(),
            budget: Arc::clone(self.budget),
        };
        let mut first = Vec::new();
        let stopped = |e| Error::Layer {
            archive: self.name.to_owned(),
            layer: job.label(),
            entry: "(all)".into(),
            source: Fault::reading(e),
        };
        stream.by_ref().take(4).read_to_end(&mut first).map_err(stopped)?;
        let compression = unpack::declared(self.name, &job, &first)?;
        let input = Cursor::new(first).chain(BufReader::with_capacity(READ_BYTES, stream));
        unpack::from_stream(self.name, &job, input, compression)
    }
}
