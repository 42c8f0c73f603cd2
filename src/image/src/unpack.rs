//! Unpacking the layers of an image side by side, each verified against its diff_id.
//!
//! Two layers at a time; each is decompressed, hashed and made into files by three threads. The
//! first failure stops all. Where the layers go, and keeping them, is the caller's.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::budget::{Budget, Counted};
use crate::compression::{Compression, Decoder};
use crate::digest::Digest;
use crate::document::Descriptor;
use crate::error::{At, Error, Result};
use crate::extract::{self, Failed, Unpacked};
use crate::fault::Fault;
use crate::pipeline;
use crate::progress::{Event, Progress};
use crate::side_by_side::{Told, each_then};
use crate::tarball::Reader;

/// Layers unpacked at the same time.
const AT_ONCE: usize = 2;
const READ_BYTES: usize = 128 << 10;

/// One layer to unpack.
pub(crate) struct Job {
    /// Its number in the image, from 1.
    pub(crate) number: usize,
    /// How many layers the image has.
    pub(crate) count: usize,
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: Digest,
    pub(crate) blob: File,
    /// An empty folder of ours.
    pub(crate) target: PathBuf,
    /// What it may take.
    pub(crate) budget: Arc<Budget>,
}

impl Job {
    pub(crate) fn label(&self) -> String {
        let digest = self.descriptor.digest.short();
        format!("layer {} of {} (sha256:{digest})", self.number, self.count)
    }

    fn digest(&self) -> String {
        self.descriptor.digest.to_string()
    }
}

/// Unpacks all; the answers stand in the order of the jobs.
pub(crate) fn unpack_all(
    archive: &str,
    jobs: &[Job],
    progress: &mut dyn Progress,
) -> Result<Vec<Unpacked>> {
    let work = |job: &Job, told: &Told<'_>| one(archive, job, told);
    each_then(jobs, AT_ONCE, progress, work, |at| write_back(jobs, at))
}

/// What a worker without work does for the others: the disk gets what is there so far, so that the
/// sync of the whole waits for less. That one tells what went wrong, not this.
fn write_back(jobs: &[Job], at: usize) {
    // The last worker to come here has nobody to help.
    if at + 1 < jobs.len() + AT_ONCE.min(jobs.len())
        && let Some(folder) = jobs.first().and_then(|job| File::open(&job.target).ok())
    {
        let _ = sys::dir::sync_file_system(&folder);
    }
}

fn one(archive: &str, job: &Job, told: &Told<'_>) -> Result<Unpacked> {
    let (number, count) = (job.number, job.count);
    let started =
        Event::LayerStarted { number, count, digest: job.digest(), size: job.descriptor.size };
    told.on(started);
    let compression = compression(archive, job)?;
    let blob = job.blob.try_clone().at("opening", &job.target)?;
    let input = BufReader::with_capacity(READ_BYTES, blob);
    let done = from_stream(archive, job, input, compression)?;
    let (entries, bytes) = (done.entries, done.bytes);
    told.on(Event::LayerDone { number, count, digest: job.digest(), entries, bytes });
    Ok(done)
}

/// Unpacks a job's layer from a stream of its packed bytes, which the caller verifies; the unpacked
/// ones are verified here.
pub(crate) fn from_stream(
    archive: &str,
    job: &Job,
    input: impl BufRead + Send,
    compression: Compression,
) -> Result<Unpacked> {
    sys::dir::private_umask().at("preparing a thread for", &job.target)?;
    let root = sys::dir::open_root(&job.target).at("opening", &job.target)?;
    let (writer, digester, output) = pipeline::new();
    let (extracted, hashed) = std::thread::scope(|threads| {
        threads.spawn(move || {
            if let Ok(input) = Decoder::of_known_digest(input, compression) {
                writer.pump(Counted { input, budget: &job.budget });
            }
        });
        let hashed = threads.spawn(move || digester.digest());
        let extracted = extract::extract(Reader::new(output), root, job.number == 1);
        (extracted, hashed.join().unwrap_or(None))
    });
    let done = extracted.map_err(|failed| explain(archive, job, failed))?;
    let actual = hashed.map(|(digest, _)| digest);
    if actual.as_ref() != Some(&job.diff_id) {
        let actual = actual.map_or("none".into(), |d| d.to_string());
        let source = Fault::DiffId { expected: job.diff_id.to_string(), actual };
        return Err(Error::Layer {
            archive: archive.into(),
            layer: job.label(),
            entry: "(all)".into(),
            source,
        });
    }
    Ok(done)
}

/// The plain bytes of an archive that is no layer, from its beginning.
fn plain(mut file: File, shown: &Path) -> Result<Decoder<BufReader<File>>> {
    let mut first = Vec::new();
    file.seek(SeekFrom::Start(0)).at("reading", shown)?;
    (&mut file).take(6).read_to_end(&mut first).at("reading", shown)?;
    file.seek(SeekFrom::Start(0)).at("reading", shown)?;
    let input = BufReader::with_capacity(READ_BYTES, file);
    Decoder::of_archive(input, &first).at("reading", shown)
}

/// Whether a file is a tar, of whatever compression: whether it begins with an entry.
pub(crate) fn is_archive(file: &File, shown: &Path) -> Result<bool> {
    let decoder = plain(file.try_clone().at("opening", shown)?, shown)?;
    let mut reader = Reader::new(BufReader::new(decoder));
    Ok(matches!(reader.next(), Ok(Some(_))))
}

/// Unpacks a tar, of whatever compression, into a folder that may hold files already.
pub(crate) fn into_folder(archive: &Path, folder: &Path) -> Result<()> {
    let shown = archive.display().to_string();
    let file = File::open(archive).at("opening", archive)?;
    let decoder = plain(file, archive)?;
    let root = sys::dir::open_root(folder).at("opening", folder)?;
    let extracted = std::thread::scope(|threads| {
        let worker = threads.spawn(|| {
            sys::dir::private_umask().at("preparing a thread for", folder)?;
            let input = BufReader::with_capacity(READ_BYTES, decoder);
            let extracted = extract::extract(Reader::new(input), root, true);
            extracted.map_err(|Failed { entry, fault: source }| Error::BadArchive {
                archive: shown,
                entry,
                source,
            })
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    extracted.map(|_| ())
}

/// What the bytes of a job's file are; they must be what the media type says.
fn compression(archive: &str, job: &Job) -> Result<Compression> {
    let mut first = Vec::new();
    let mut blob = &job.blob;
    let path = Path::new(archive);
    blob.seek(SeekFrom::Start(0)).at("reading", path)?;
    blob.take(4).read_to_end(&mut first).at("reading", path)?;
    blob.seek(SeekFrom::Start(0)).at("reading", path)?;
    declared(archive, job, &first)
}

/// What the first bytes are, if that is what the media type says.
pub(crate) fn declared(archive: &str, job: &Job, first: &[u8]) -> Result<Compression> {
    let found = Compression::of(first);
    let declared = &job.descriptor.media_type;
    if Compression::of_media_type(declared) == Some(found) {
        return Ok(found);
    }
    Err(Error::MediaType {
        archive: archive.into(),
        layer: job.label(),
        declared: crate::fault::shown(declared.as_bytes()),
        found: format!("{} data", found.name()),
    })
}

fn explain(archive: &str, job: &Job, Failed { entry, fault }: Failed) -> Error {
    let (archive, layer) = (archive.to_owned(), job.label());
    match fault {
        Fault::Escapes(why) => Error::EscapesRoot { archive, layer, entry, why },
        Fault::Read(source) => match source.downcast::<Error>() {
            Ok(error) => error,
            Err(source) => Error::Layer { archive, layer, entry, source: Fault::Read(source) },
        },
        Fault::Truncated => Error::Truncated { archive, entry: format!("{layer}, entry {entry}") },
        Fault::Os { step, source } => {
            match Error::io(&format!("unpacking {layer} of {archive}"), &job.target, source) {
                Error::Io { source, .. } => {
                    Error::Layer { archive, layer, entry, source: Fault::Os { step, source } }
                }
                full_or_read_only => full_or_read_only,
            }
        }
        source => Error::Layer { archive, layer, entry, source },
    }
}
