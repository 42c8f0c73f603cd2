//! Writing images out of the store: OCI layouts, docker-archives and skopeo's `dir:` folders.
//!
//! Blobs are copied as they are, each verified against its digest on the way; a docker-archive has
//! its layers uncompressed, as its oldest readers need. The same images in the same order give the
//! same bytes. A file or folder gets its name only when it is whole. The store is held by a lease:
//! names may change meanwhile, blobs stay.

mod archive;
mod docker;
mod folder;
mod layout;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::blobs;
use crate::catalog::Image;
use crate::digest::{Digest, Hasher};
use crate::document::Descriptor;
use crate::error::{At, Error, Result};
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::Store;
use archive::Archive;

const COPY_BYTES: usize = 256 << 10;
const REPORT_BYTES: u64 = 4 << 20;

/// The form that images are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaveFormat {
    /// A tar of an OCI image layout, which docker reads as well.
    #[default]
    OciArchive,
    /// What `docker save` writes, with what docker before 1.10 needs.
    DockerArchive,
    /// An OCI image layout; a layout that is there is added to.
    OciDir,
    /// skopeo's `dir:`, one image, a manifest of docker's kind where its layers permit.
    DockerDir,
}

/// An image that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Digest of its manifest in the store.
    pub digest: String,
    /// The short names that it was written with.
    pub names: Vec<String>,
}

/// An image to write, with the documents it is made of.
struct Chosen {
    image: Image,
    manifest: Descriptor,
    manifest_bytes: Vec<u8>,
    config_bytes: Vec<u8>,
    /// The names asked for; none when asked for by digest.
    names: Vec<Reference>,
}

/// Where blobs come from, how much has gone out, and who is told.
struct Source<'a> {
    store: &'a Store,
    progress: &'a mut dyn Progress,
    done: u64,
    told: u64,
}

impl Store {
    /// Writes images to `to`; `-` is standard output, for archives only.
    ///
    /// # Errors
    /// As [`Store::resolve`]; a blob that is damaged; what cannot be written; a folder in the way.
    pub fn save(
        &self,
        images: &[String],
        format: SaveFormat,
        to: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Saved>> {
        let result = self.save_leased(images, format, to, progress);
        // Who removed an image meanwhile has left its files to this one. The next does it else.
        let _ = self.sweep();
        result
    }

    fn save_leased(
        &self,
        images: &[String],
        format: SaveFormat,
        to: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Saved>> {
        let _lease = self.lease()?;
        let chosen = self.choose(images)?;
        let mut source = Source { store: self, progress, done: 0, told: 0 };
        match format {
            SaveFormat::OciArchive => {
                Output::open(to)?.write(|out| layout::archive(&chosen, &mut source, out))?;
            }
            SaveFormat::DockerArchive => {
                Output::open(to)?.write(|out| docker::archive(&chosen, &mut source, out))?;
            }
            SaveFormat::OciDir => layout::folder(&chosen, &mut source, to)?,
            SaveFormat::DockerDir => folder::write(&chosen, &mut source, to)?,
        }
        let saved = chosen.iter().map(|one| Saved {
            digest: one.image.digest.clone(),
            names: one.names.iter().map(Reference::familiar).collect(),
        });
        Ok(saved.collect())
    }

    /// The images in the order of their first mention.
    fn choose(&self, images: &[String]) -> Result<Vec<Chosen>> {
        let mut all: Vec<Chosen> = Vec::new();
        for name in images {
            let image = self.resolve(name)?;
            let reference = name.parse::<Reference>().ok().filter(|r| r.digest().is_none());
            let named = reference.filter(|r| image.names.contains(&r.familiar()));
            if let Some(known) = all.iter_mut().find(|c| c.image.digest == image.digest) {
                known.names.extend(named.filter(|n| !known.names.contains(n)));
                continue;
            }
            let what = format!("manifest of {name}");
            let (manifest, manifest_bytes) = self.manifest_of(&image)?;
            let parsed = crate::document::Manifest::parse(&manifest_bytes)
                .map_err(|p| self.wrong(&what, p))?;
            let config_bytes =
                self.document(&parsed.config, &format!("configuration of {name}"))?;
            let names = named.into_iter().collect();
            all.push(Chosen { image, manifest, manifest_bytes, config_bytes, names });
        }
        Ok(all)
    }
}

impl Chosen {
    fn config(&self) -> Descriptor {
        let size = self.config_bytes.len() as u64;
        let kind = crate::document::OCI_CONFIG;
        Descriptor::new(kind, self.image.config_digest.clone(), size)
    }
}

impl Source<'_> {
    /// Copies a layer's blob as it is.
    fn copy(&mut self, blob: &Descriptor, what: &str, out: &mut dyn Write) -> Result<()> {
        let path = self.store.blobs().join(blob.digest.hex());
        let mut input = self.open(blob, what)?;
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let count = blobs::read_some(&mut input, &mut buffer).at("reading", &path)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            out.write_all(&buffer[..count]).at("writing", Path::new("the output"))?;
            self.tell(count);
        }
        self.check(&hasher.finish(), &blob.digest, what)
    }

    fn open(&self, blob: &Descriptor, what: &str) -> Result<File> {
        let path = self.store.blobs().join(blob.digest.hex());
        let archive = || self.store.layout().display().to_string();
        let blob_name = || format!("{what} {}", blob.digest);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::MissingBlob { archive: archive(), blob: blob_name() });
            }
            file => file.at("opening", &path)?,
        };
        let actual = file.metadata().at("reading", &path)?.len();
        if actual == blob.size {
            return Ok(file);
        }
        let (expected, blob) = (blob.size, blob_name());
        Err(Error::SizeMismatch { archive: archive(), blob, expected, actual })
    }

    fn check(&self, actual: &Digest, expected: &Digest, what: &str) -> Result<()> {
        if actual == expected {
            return Ok(());
        }
        Err(Error::DigestMismatch {
            archive: self.store.layout().display().to_string(),
            blob: what.into(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        })
    }

    fn json(&self, what: &str, value: &impl serde::Serialize) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|e| self.store.wrong(what, e.to_string()))
    }

    fn tell(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done - self.told >= REPORT_BYTES {
            self.told = self.done;
            self.progress.on(&Event::Writing { bytes: self.done });
        }
    }
}

/// Calls `each` with every layer that was not there before, and words for it.
fn each_layer<K: Ord + Clone>(
    chosen: &[Chosen],
    key: impl Fn(&crate::catalog::Layer) -> K,
    mut each: impl FnMut(&crate::catalog::Layer, &str) -> Result<()>,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for one in chosen {
        for (i, layer) in one.image.layers.iter().enumerate() {
            if seen.insert(key(layer)) {
                each(layer, &format!("layer {} of {}", i + 1, one.image.layers.len()))?;
            }
        }
    }
    Ok(())
}

/// The file that an archive goes to.
struct Output {
    file: File,
    to: PathBuf,
    kind: Kind,
}

/// What an output is until it is whole.
enum Kind {
    /// A pipe or a device: what is written is out.
    Stream,
    /// A file without a name.
    Nameless,
    /// A file of this name, where the file system knows none without.
    Partial(PathBuf),
}

impl Output {
    fn open(to: &Path) -> Result<Output> {
        if to == Path::new("-") {
            let stdout = io::stdout();
            let file = std::os::fd::AsFd::as_fd(&stdout).try_clone_to_owned();
            let file = File::from(file.at("opening", Path::new("standard output"))?);
            return Ok(Output { file, to: to.to_owned(), kind: Kind::Stream });
        }
        match fs::metadata(to) {
            Ok(found) if found.is_dir() => {
                let problem = io::Error::from(io::ErrorKind::IsADirectory);
                return Err(Error::io("writing", to, problem));
            }
            Ok(found) if !found.is_file() => {
                let file = File::options().write(true).open(to).at("opening", to)?;
                return Ok(Output { file, to: to.to_owned(), kind: Kind::Stream });
            }
            _ => {}
        }
        let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Some(file) = sys::nameless::create(folder).at("making a file in", folder)? {
            return Ok(Output { file, to: to.to_owned(), kind: Kind::Nameless });
        }
        let partial = beside(to);
        let file = File::create(&partial).at("making", &partial)?;
        Ok(Output { file, to: to.to_owned(), kind: Kind::Partial(partial) })
    }

    fn write(mut self, body: impl FnOnce(&mut Archive) -> Result<()>) -> Result<()> {
        let mut archive = Archive::new(&self.file, !matches!(self.kind, Kind::Stream));
        body(&mut archive)?;
        archive.finish()?;
        if matches!(self.kind, Kind::Stream) {
            return Ok(());
        }
        self.file.sync_all().at("writing to disk", &self.to)?;
        let replaced = match &self.kind {
            Kind::Partial(partial) => fs::rename(partial, &self.to),
            _ => sys::nameless::replace(&self.file, &self.to, &beside(&self.to)),
        };
        replaced.at("replacing", &self.to)?;
        self.kind = Kind::Nameless;
        Ok(())
    }
}

fn beside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    to.with_file_name(name)
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Kind::Partial(partial) = &self.kind {
            // The error that led here is the one to tell.
            let _ = fs::remove_file(partial);
        }
    }
}

/// Copies from a reader until its end.
fn pour(input: &mut dyn Read, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match blobs::read_some(input, &mut buffer).at("reading", Path::new("a layer"))? {
            0 => return Ok(()),
            count => out(&buffer[..count])?,
        }
    }
}
