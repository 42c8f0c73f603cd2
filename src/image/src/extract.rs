//! Unpacking one layer into a folder, as overlayfs wants it.
//!
//! Invariants: every file is made by a plain name beneath the fd of its folder, and folders are
//! opened without following links (`sys::dir`), so no entry reaches outside. Owner, set-id bits,
//! attributes and times are set in the order in which none undoes another. Attributes of folders
//! wait for the end: their times change while they fill, and set-gid or a default ACL would pass
//! on to the files. The usual file costs four system calls: openat, write, utimensat, close.
//! Not here: decompression, digests, where the folder lies.

mod folders;
mod metadata;
mod name;
mod whiteout;

use std::io::{BufRead, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use sys::dir;

use crate::fault::Fault;
use crate::tarball::{Entry, Kind, Reader};
use folders::Folders;
pub(crate) use metadata::allowed;
use name::Name;

/// What an unpacked layer is made of.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Entries of all kinds.
    pub(crate) entries: u64,
    /// Bytes of file data.
    pub(crate) bytes: u64,
    /// Folders that the layer needs but does not describe: they take the attributes of the layers
    /// below. Parents come first.
    pub(crate) implied: Vec<Vec<u8>>,
}

/// A fault, and the entry that has it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) entry: String,
    pub(crate) fault: Fault,
}

struct Extractor {
    folders: Folders,
    /// The bottom layer hides nothing: its whiteouts are left out.
    bottom: bool,
}

/// Unpacks every entry of `reader` below `root`, then reads the stream to its end.
///
/// The calling thread has its own umask 0 (`sys::dir::private_umask`).
pub(crate) fn extract<R: BufRead>(
    mut reader: Reader<R>,
    root: OwnedFd,
    bottom: bool,
) -> Result<Unpacked, Failed> {
    let mut extractor = Extractor { folders: Folders::new(root), bottom };
    let mut done = Unpacked::default();
    let at_end = |last: &Option<Vec<u8>>| match last {
        Some(name) => format!("after {}", crate::fault::shown(name)),
        None => "number 1".to_owned(),
    };
    let mut last = None;
    loop {
        let entry = match reader.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(fault) => return Err(Failed { entry: at_end(&last), fault }),
        };
        done.entries += 1;
        done.bytes += entry.size;
        if let Err(fault) = extractor.entry(&mut reader, &entry) {
            return Err(Failed { entry: crate::fault::shown(&entry.path), fault });
        }
        last = Some(entry.path);
    }
    let finished = extractor.folders.finish();
    done.implied =
        finished.map_err(|(path, fault)| Failed { entry: crate::fault::shown(&path), fault })?;
    reader.drain().map_err(|fault| Failed { entry: at_end(&last), fault })?;
    Ok(done)
}

impl Extractor {
    fn entry<R: BufRead>(&mut self, reader: &mut Reader<R>, entry: &Entry) -> Result<(), Fault> {
        match Name::parse(&entry.path)? {
            Name::Root if entry.kind == Kind::Folder => self.folders.describe(b"", entry),
            Name::Root => Err(Fault::bad("the root of a layer can only be a folder")),
            Name::Ignored => Ok(()),
            Name::Opaque(folder) => self.opaque(&folder),
            Name::Whiteout(folder, hidden) => self.whiteout(&folder, &hidden),
            Name::Plain(folder, name) => self.plain(reader, entry, (&folder, &name)),
        }
    }

    fn plain<R: BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        entry: &Entry,
        (folder, name): (&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let parent = self.folders.open(folder)?;
        match entry.kind {
            Kind::Folder => return self.folder(&parent, entry, (folder, name)),
            Kind::File => {
                let make = || dir::create_file(&*parent, name, entry.mode);
                let mut file = self.anew((folder, name), &parent, "creating it", make)?;
                write_data(reader, entry, &mut file)?;
                return metadata::of_file(&file, entry);
            }
            Kind::HardLink => return self.hard_link(&parent, entry, (folder, name)),
            Kind::Link => {
                if entry.link.is_empty() {
                    return Err(Fault::bad("a symbolic link to nothing"));
                }
                let make = || dir::make_link(&*parent, name, &entry.link);
                self.anew((folder, name), &parent, "making the link", make)?;
            }
            Kind::Fifo | Kind::Char { .. } | Kind::Block { .. } => {
                let node = match entry.kind {
                    Kind::Char { major, minor } => dir::Node::Char { major, minor },
                    Kind::Block { major, minor } => dir::Node::Block { major, minor },
                    _ => dir::Node::Fifo,
                };
                let make = || dir::make_node(&*parent, name, node, entry.mode);
                self.anew((folder, name), &parent, "making the device or pipe", make)?;
            }
        }
        metadata::of_name(&parent, name, entry)
    }

    /// Makes a name; what the layer had there before is removed first.
    fn anew<T>(
        &mut self,
        (folder, name): (&[u8], &[u8]),
        parent: &OwnedFd,
        step: &'static str,
        make: impl Fn() -> std::io::Result<T>,
    ) -> Result<T, Fault> {
        match make() {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                self.folders.remove(parent, folder, name)?;
                make().map_err(Fault::os(step))
            }
            other => other.map_err(Fault::os(step)),
        }
    }

    fn folder(
        &mut self,
        parent: &Rc<OwnedFd>,
        entry: &Entry,
        (folder, name): (&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let path = name::join(folder, name);
        let step = "making the folder";
        match dir::make_folder(&**parent, name, entry.mode & 0o777) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                if dir::kind(&**parent, name).map_err(Fault::os(step))? != dir::Kind::Folder {
                    // A file or a whiteout of this layer gives way; what the layers below have
                    // under the name stays hidden.
                    dir::remove_file(&**parent, name).map_err(Fault::os(step))?;
                    dir::make_folder(&**parent, name, 0o755).map_err(Fault::os(step))?;
                    self.folders.describe(&path, entry)?;
                    return self.opaque(&path);
                }
            }
            other => other.map_err(Fault::os(step))?,
        }
        self.folders.describe(&path, entry)
    }

    fn hard_link(
        &mut self,
        parent: &Rc<OwnedFd>,
        entry: &Entry,
        (folder, name): (&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let Name::Plain(old_folder, old) = Name::parse(&entry.link)? else {
            return Err(Fault::bad("a hard link to something that can have none"));
        };
        let shown = crate::fault::shown(&entry.link);
        let missing = || Fault::bad(format!("hard link to {shown}, which the layer does not hold"));
        let from = self.folders.open_existing(&old_folder)?.ok_or_else(missing)?;
        match dir::kind(&*from, &old) {
            Ok(dir::Kind::Folder) => {
                return Err(Fault::bad(format!("hard link to folder {shown}")));
            }
            Ok(dir::Kind::Whiteout) => return Err(missing()),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
            Err(e) => return Err(Fault::os("looking at the link's other name")(e)),
        }
        if (old_folder.as_slice(), old.as_slice()) == (folder, name) {
            return Ok(());
        }
        let make = || dir::hard_link(&*from, &old, &**parent, name);
        self.anew((folder, name), parent, "linking", make)
    }
}

fn write_data<R: BufRead>(
    reader: &mut Reader<R>,
    entry: &Entry,
    file: &mut std::fs::File,
) -> Result<(), Fault> {
    let step = "writing";
    let Some(sparse) = &entry.sparse else {
        return copy(reader, entry.size, file);
    };
    // The length first: a file that cannot be so long is refused before anything is written.
    file.set_len(sparse.length).map_err(Fault::os(step))?;
    for extent in &sparse.extents {
        file.seek(SeekFrom::Start(extent.offset)).map_err(Fault::os(step))?;
        copy(reader, extent.length, file)?;
    }
    Ok(())
}

fn copy<R: BufRead>(
    reader: &mut Reader<R>,
    mut left: u64,
    file: &mut std::fs::File,
) -> Result<(), Fault> {
    while left > 0 {
        let chunk = reader.chunk()?;
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        if take == 0 {
            return Err(Fault::Truncated);
        }
        file.write_all(&chunk[..take]).map_err(Fault::os("writing"))?;
        reader.consume(take);
        left -= take as u64;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod forge;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
