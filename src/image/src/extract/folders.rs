//! The folders of a layer while it is unpacked: open fds of the last used ones, and the attributes
//! that wait for the end.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use sys::dir;

use super::metadata;
use super::name::{join, split};
use crate::fault::Fault;
use crate::tarball::Entry;

/// fds kept open.
const OPEN_MAX: usize = 16;
/// Most folders of one layer; each waits in memory.
const FOLDERS_MAX: usize = 250_000;

/// What is known of a folder.
#[derive(Default)]
struct Folder {
    /// Its entry, without path; `None` while it is only implied.
    described: Option<Entry>,
    opaque: bool,
}

pub(super) struct Folders {
    root: Rc<OwnedFd>,
    /// Most recently used last.
    open: Vec<(Vec<u8>, Rc<OwnedFd>)>,
    known: BTreeMap<Vec<u8>, Folder>,
}

impl Folders {
    pub(super) fn new(root: OwnedFd) -> Folders {
        Folders { root: Rc::new(root), open: Vec::new(), known: BTreeMap::new() }
    }

    fn keep(&mut self, path: &[u8], fd: OwnedFd) -> Rc<OwnedFd> {
        let fd = Rc::new(fd);
        if self.open.len() == OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push((path.to_vec(), Rc::clone(&fd)));
        fd
    }

    fn cached(&mut self, path: &[u8]) -> Option<Rc<OwnedFd>> {
        if path.is_empty() {
            return Some(Rc::clone(&self.root));
        }
        let at = self.open.iter().rposition(|(p, _)| p == path)?;
        let last = self.open.len() - 1;
        if at != last {
            let used = self.open.remove(at);
            self.open.push(used);
        }
        Some(Rc::clone(&self.open[last].1))
    }

    fn know(&mut self, path: &[u8]) -> Result<&mut Folder, Fault> {
        if self.known.len() >= FOLDERS_MAX && !self.known.contains_key(path) {
            return Err(Fault::bad(format!("a layer with more than {FOLDERS_MAX} folders")));
        }
        Ok(self.known.entry(path.to_vec()).or_default())
    }

    /// The folder at a clean path, made with its parents when the layer has none yet.
    pub(super) fn open(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Fault> {
        if let Some(fd) = self.cached(path) {
            return Ok(fd);
        }
        if let Ok(fd) = dir::open_folder(&*self.root, path) {
            return Ok(self.keep(path, fd));
        }
        let (above, name) = split(path);
        let parent = self.open(above)?;
        let step = "making the folders above";
        match dir::kind(&*parent, name) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                dir::make_folder(&*parent, name, 0o755).map_err(Fault::os(step))?;
                self.know(path)?;
            }
            Ok(dir::Kind::Whiteout) => {
                dir::remove_file(&*parent, name).map_err(Fault::os(step))?;
                dir::make_folder(&*parent, name, 0o755).map_err(Fault::os(step))?;
                let fd = dir::open_folder(&*parent, name).map_err(Fault::os(step))?;
                self.mark_opaque(path, &fd)?;
            }
            Ok(dir::Kind::Folder) => {}
            Ok(kind) => return Err(wrong_parent(path, kind)),
            Err(e) => return Err(Fault::os(step)(e)),
        }
        let fd = dir::open_folder(&*parent, name).map_err(Fault::os(step))?;
        Ok(self.keep(path, fd))
    }

    /// The folder at a clean path; `None` when the layer does not hold it.
    pub(super) fn open_existing(&mut self, path: &[u8]) -> Result<Option<Rc<OwnedFd>>, Fault> {
        if let Some(fd) = self.cached(path) {
            return Ok(Some(fd));
        }
        match dir::open_folder(&*self.root, path) {
            Ok(fd) => Ok(Some(self.keep(path, fd))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            // A link in the last place is "no folder" to the kernel, further up it is ELOOP.
            Err(e) if dir::met_a_link(&e) || e.kind() == ErrorKind::NotADirectory => {
                let (above, name) = split(path);
                let link = match self.open_existing(above)? {
                    Some(parent) => matches!(dir::kind(&*parent, name), Ok(dir::Kind::Link)),
                    None => false,
                };
                let path = crate::fault::shown(path);
                if link {
                    return Err(Fault::Escapes(format!("{path} is a symbolic link")));
                }
                Ok(None)
            }
            Err(e) => Err(Fault::os("opening a folder")(e)),
        }
    }

    /// Keeps an entry's attributes for the end. A later entry of the same folder wins.
    pub(super) fn describe(&mut self, path: &[u8], entry: &Entry) -> Result<(), Fault> {
        let described = Entry { path: Vec::new(), link: Vec::new(), ..entry.clone() };
        self.know(path)?.described = Some(described);
        Ok(())
    }

    /// Hides what the layers below have in this folder.
    pub(super) fn mark_opaque(&mut self, path: &[u8], fd: &OwnedFd) -> Result<(), Fault> {
        let folder = self.know(path)?;
        if !folder.opaque {
            folder.opaque = true;
            let done = dir::set_xattr_fd(fd, metadata::OPAQUE_KEY, b"y");
            done.map_err(Fault::os("marking the folder opaque"))?;
        }
        Ok(())
    }

    /// Removes what this layer has made under a name before, with all below.
    pub(super) fn remove(
        &mut self,
        parent: &OwnedFd,
        folder: &[u8],
        name: &[u8],
    ) -> Result<(), Fault> {
        let step = "replacing an earlier entry of the same name";
        if dir::kind(parent, name).map_err(Fault::os(step))? != dir::Kind::Folder {
            return dir::remove_file(parent, name).map_err(Fault::os(step));
        }
        let path = join(folder, name);
        let below = [path.as_slice(), b"/"].concat();
        self.open.retain(|(p, _)| *p != path && !p.starts_with(&below));
        self.known.remove(&path);
        let from = (Bound::Included(below.clone()), Bound::Unbounded);
        let gone: Vec<Vec<u8>> = self
            .known
            .range(from)
            .map(|(p, _)| p)
            .take_while(|p| p.starts_with(&below))
            .cloned()
            .collect();
        for path in gone {
            self.known.remove(&path);
        }
        remove_tree(parent, name).map_err(Fault::os(step))
    }

    /// Sets what waited. Returns the folders that are only implied, parents first: the root, whose
    /// path is empty, is there in any layer.
    pub(super) fn finish(mut self) -> Result<Vec<Vec<u8>>, (Vec<u8>, Fault)> {
        let mut implied = Vec::new();
        self.known.entry(Vec::new()).or_default();
        self.open.clear();
        // Sorted by bytes: a folder comes before what is below it.
        for (path, folder) in std::mem::take(&mut self.known) {
            match folder.described {
                Some(entry) => {
                    let fd = dir::open_folder(&*self.root, &path);
                    let fd = fd.map_err(Fault::os("opening a folder"));
                    fd.and_then(|fd| metadata::of_folder(&fd, &entry)).map_err(|f| (path, f))?;
                }
                None if folder.opaque => {}
                None => implied.push(path),
            }
        }
        Ok(implied)
    }
}

fn wrong_parent(path: &[u8], kind: dir::Kind) -> Fault {
    let path = crate::fault::shown(path);
    if kind == dir::Kind::Link {
        Fault::Escapes(format!("{path} above it is a symbolic link"))
    } else {
        Fault::bad(format!("{path} above it is no folder"))
    }
}

/// Removes a folder with all below it, by fds. Depth is bounded by the depth of names.
fn remove_tree(parent: &OwnedFd, name: &[u8]) -> std::io::Result<()> {
    let folder = dir::open_folder(parent, name)?;
    for child in dir::names(&folder)? {
        if dir::kind(&folder, &child)? == dir::Kind::Folder {
            remove_tree(&folder, &child)?;
        } else {
            dir::remove_file(&folder, &child)?;
        }
    }
    dir::remove_folder(parent, name)
}
