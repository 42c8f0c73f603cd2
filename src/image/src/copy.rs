//! Copying images between registries and OCI layouts, byte for byte.
//!
//! Documents come first, from the root down, each within bounds and with its digest verified; then
//! the blobs, three at a time, verified as they stream; then the documents are written from the
//! leaves up and the tag last, so that a reader never finds half an image. Nothing is unpacked.

mod documents;
mod layout;
mod referrers;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use registry::{Purpose, Remote, Settings, Uploaded};

use crate::digest::{Digest, Hasher};
use crate::document::Descriptor;
use crate::error::{At, Error, Result};
use crate::platform::Platform;
use crate::progress::{Event, Progress};
use crate::pull::expand;
use crate::reference::Reference;
use crate::side_by_side::{self, Told};
use crate::trust::{self, Policy, Transport};
pub(crate) use documents::{Tree, config_of, kind_of};
use layout::Layout;
pub use referrers::{Referrer, referrers};

const AT_ONCE: usize = 3;
const TELL: u64 = 1 << 20;

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A repository with tag or digest.
    Registry(String),
    /// An OCI layout folder, and the reference name in it.
    Layout(PathBuf, Option<String>),
}

impl Place {
    /// `docker://NAME` or `NAME`, and `oci:FOLDER[:NAME]`, as skopeo has them.
    #[must_use]
    pub fn parse(text: &str) -> Place {
        match text.strip_prefix("oci:") {
            Some(rest) => match rest.split_once(':') {
                Some((folder, name)) => Place::Layout(folder.into(), Some(name.into())),
                None => Place::Layout(rest.into(), None),
            },
            None => Place::Registry(text.strip_prefix("docker://").unwrap_or(text).into()),
        }
    }
}

/// How to copy.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// The whole index; else one platform's image.
    pub all: bool,
    /// Whose image; this machine's by default.
    pub platform: Option<Platform>,
    /// What is demanded of the image where it is read.
    pub policy: Policy,
}

/// A copied image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Digest of the manifest or index.
    pub digest: String,
    /// How many blobs there are.
    pub blobs: usize,
}

/// Where blobs and documents are read.
pub(crate) enum Source<'a> {
    /// A folder of files called by their digest's digits.
    Blobs(PathBuf),
    Remote(&'a Remote),
}

/// Where they are written.
pub(crate) enum Target<'a> {
    Layout(&'a Layout),
    Remote {
        remote: &'a Remote,
        /// None: under its digest alone.
        tag: Option<&'a str>,
        /// For each blob, a repository that may have it.
        mounts: Vec<Option<String>>,
    },
}

/// Copies an image from one place to another.
///
/// # Errors
/// [`Error::Registry`]; [`Error::Untrusted`]; documents and blobs that are damaged; what cannot be
/// written.
pub fn copy(
    (from, to): (&Place, &Place),
    options: &CopyOptions,
    (read, write): (&Settings, &Settings),
    progress: &mut dyn Progress,
) -> Result<Copied> {
    let source_remote = match from {
        Place::Registry(name) => Some(open(name, read, true)?),
        Place::Layout(..) => None,
    };
    let (source, root) = match (from, &source_remote) {
        (Place::Layout(folder, name), _) => {
            let root = layout::find(folder, name.as_deref())?;
            (Source::Blobs(folder.join("blobs/sha256")), documents::Root::Entry(root))
        }
        (_, Some((remote, reference))) => {
            (Source::Remote(remote), documents::Root::Named(reference.clone()))
        }
        (Place::Registry(_), None) => return Err(no_place(from)),
    };
    let tree = documents::gather(&source, root, options)?;
    may_come(&options.policy, from, source_remote.as_ref(), &tree)?;
    let digest = tree.root().map(|(d, _)| d.digest.to_string()).unwrap_or_default();
    let blobs = tree.blobs.len();
    match to {
        Place::Layout(folder, name) => {
            let layout = Layout::create(folder)?;
            transfer(&source, &Target::Layout(&layout), &tree, progress)?;
            layout.enter(&tree, name.as_deref())?;
        }
        Place::Registry(name) => {
            let (remote, reference) = open(name, write, false)?;
            let same = source_remote.as_ref().filter(|(_, r)| {
                r.registry() == reference.registry() && r.path() != reference.path()
            });
            let mounts = vec![same.map(|(_, r)| r.path().to_owned()); tree.blobs.len()];
            // A digest is no tag; the target gets it by itself.
            let tag = reference.digest().is_none().then(|| reference.tag());
            let target = Target::Remote { remote: &remote, tag, mounts };
            transfer(&source, &target, &tree, progress)?;
        }
    }
    Ok(Copied { digest, blobs })
}

/// Asks the policy about every image before anything is written.
fn may_come(
    policy: &Policy,
    from: &Place,
    remote: Option<&(Remote, Reference)>,
    tree: &Tree,
) -> Result<()> {
    if let Place::Layout(folder, _) = from {
        return trust::check_file(policy, Transport::Oci, Some(folder));
    }
    let Some((remote, reference)) = remote else { return Ok(()) };
    tree.images.iter().try_for_each(|digests| trust::check(policy, remote, reference, digests))
}

fn no_place(place: &Place) -> Error {
    Error::BadReference { name: format!("{place:?}"), problem: "no place to copy from".into() }
}

fn open(name: &str, settings: &Settings, reads: bool) -> Result<(Remote, Reference)> {
    let reference = expand(name, settings)?;
    let purpose = if reads { Purpose::Pull(reference.digest().is_some()) } else { Purpose::Push };
    let remote = Remote::new(settings, reference.registry(), reference.path(), purpose)?;
    Ok((remote, reference))
}

/// Moves the blobs of a tree, then its documents.
pub(crate) fn transfer(
    source: &Source,
    target: &Target,
    tree: &Tree,
    progress: &mut dyn Progress,
) -> Result<()> {
    let count = tree.blobs.len();
    let numbered: Vec<(usize, &Descriptor)> = tree.blobs.iter().enumerate().collect();
    side_by_side::each(&numbered, AT_ONCE, progress, |(at, blob), told| {
        let how = move_blob(source, target, (*at, blob, count), told)?;
        let (digest, total) = (blob.digest.to_string(), blob.size);
        told.on(Event::Uploaded { number: at + 1, count, digest, total, how });
        Ok(())
    })?;
    let last = tree.documents.len().saturating_sub(1);
    for (at, (descriptor, bytes)) in tree.documents.iter().enumerate() {
        match target {
            Target::Layout(layout) => layout.write(&descriptor.digest, bytes)?,
            Target::Remote { remote, tag, .. } => {
                let digest = descriptor.digest.as_str();
                let reference = tag.filter(|_| at == last).unwrap_or(digest);
                let repository = remote.registry()?;
                let kept =
                    repository.put_manifest(reference, &descriptor.media_type, bytes, digest)?;
                if !kept {
                    referrers::note(repository, descriptor, bytes)?;
                }
            }
        }
    }
    Ok(())
}

fn move_blob(
    source: &Source,
    target: &Target,
    (at, blob, count): (usize, &Descriptor, usize),
    told: &Told,
) -> Result<&'static str> {
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let take = || failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    let open = || -> io::Result<Box<dyn Read + '_>> {
        let bytes = source.open(blob).map_err(|error| {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            io::Error::other("the source has failed")
        })?;
        Ok(Box::new(Verified {
            bytes,
            blob,
            hasher: Some(Hasher::default()),
            at: 0,
            told: 0,
            failure: &failure,
            tell: Box::new(move |bytes| {
                let (digest, total) = (blob.digest.to_string(), blob.size);
                told.on(Event::Uploading { number: at + 1, count, digest, bytes, total });
                !told.is_stopped()
            }),
        }))
    };
    match target {
        Target::Layout(layout) => match layout.has(blob) {
            true => Ok("present"),
            false => {
                let copied = open().and_then(|mut bytes| layout.copy(&blob.digest, &mut *bytes));
                match take() {
                    Some(error) => Err(error),
                    None => copied.at("writing", layout.path()).map(|()| "sent"),
                }
            }
        },
        Target::Remote { remote, mounts, .. } => {
            let mount = mounts.get(at).and_then(Option::as_deref);
            let digest = blob.digest.as_str();
            let sent = remote.registry()?.upload(digest, blob.size, mount, &open);
            match (sent, take()) {
                (Ok(how), _) => Ok(match how {
                    Uploaded::Present => "present",
                    Uploaded::Mounted => "mounted",
                    Uploaded::Sent => "sent",
                }),
                (Err(_), Some(error)) => Err(error),
                (Err(error), None) => Err(error.into()),
            }
        }
    }
}

impl Source<'_> {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>> {
        match self {
            Source::Blobs(folder) => {
                let path = folder.join(blob.digest.hex());
                let file = File::open(&path).at("opening", &path)?;
                let actual = file.metadata().at("reading", &path)?.len();
                if actual != blob.size {
                    return Err(Error::SizeMismatch {
                        archive: folder.display().to_string(),
                        blob: blob.digest.to_string(),
                        expected: blob.size,
                        actual,
                    });
                }
                Ok(Box::new(file))
            }
            Source::Remote(remote) => {
                let mut bytes = remote.blob(blob.digest.as_str(), blob.size, 0);
                bytes.open()?;
                Ok(Box::new(bytes))
            }
        }
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Source::Blobs(folder) => folder.display().to_string(),
            Source::Remote(remote) => remote.name().to_owned(),
        }
    }
}

/// A blob's bytes, of which the last ones only come when the digest is right.
struct Verified<'a> {
    bytes: Box<dyn Read + 'a>,
    blob: &'a Descriptor,
    /// None once the digest has been compared.
    hasher: Option<Hasher>,
    at: u64,
    told: u64,
    failure: &'a Mutex<Option<Error>>,
    tell: Box<dyn Fn(u64) -> bool + 'a>,
}

impl Verified<'_> {
    fn fail(&self, error: Error) -> io::Error {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        io::Error::other("the source has failed")
    }

    fn compare(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let actual: Digest = hasher.finish();
        if actual == self.blob.digest {
            return Ok(());
        }
        Err(self.fail(Error::DigestMismatch {
            archive: "the source".into(),
            blob: format!("blob sha256:{}", self.blob.digest.short()),
            expected: self.blob.digest.to_string(),
            actual: actual.to_string(),
        }))
    }
}

impl Read for Verified<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer).map_err(|e| {
            let error = match e.downcast::<registry::Error>() {
                Ok(error) => Error::Registry(error),
                Err(e) => Error::io("reading", Path::new(self.blob.digest.as_str()), e),
            };
            self.fail(error)
        })?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.at += count as u64;
        if self.at >= self.blob.size {
            self.compare()?;
        }
        if self.at >= self.told + TELL {
            self.told = self.at;
            if !(self.tell)(self.at) {
                return Err(io::Error::other("another blob has failed"));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_in_skopeo() {
        let layout = |f: &str, n: Option<&str>| Place::Layout(f.into(), n.map(str::to_owned));
        assert_eq!(Place::parse("docker://r/a:1"), Place::Registry("r/a:1".into()));
        assert_eq!(Place::parse("r:5000/a:1"), Place::Registry("r:5000/a:1".into()));
        assert_eq!(Place::parse("oci:/x"), layout("/x", None));
        assert_eq!(Place::parse("oci:x:a:1"), layout("x", Some("a:1")));
    }

    #[test]
    fn the_last_bytes_only_come_when_the_digest_is_right() {
        let failure = Mutex::new(None);
        let blob = Descriptor::new("", Digest::of(b"good"), 4);
        let read = |bytes: &'static [u8]| {
            let mut verified = Verified {
                bytes: Box::new(bytes),
                blob: &blob,
                hasher: Some(Hasher::default()),
                at: 0,
                told: 0,
                failure: &failure,
                tell: Box::new(|_| true),
            };
            let mut all = Vec::new();
            verified.read_to_end(&mut all).map(|_| all)
        };
        assert_eq!(read(b"good").unwrap(), b"good");
        assert!(read(b"evil").is_err());
        assert!(matches!(*failure.lock().unwrap(), Some(Error::DigestMismatch { .. })));
    }
}
