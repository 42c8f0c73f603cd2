//! Walking a folder in the order of its names, as entries of an archive or as a list of changes.
//!
//! In an upper folder of overlayfs a device 0/0 hides a name and `trusted.overlay.opaque` hides
//! what a folder has below: a layer has `.wh.` files for both (image-spec, layer.md). Invariants:
//! folders are opened beneath the root and links not followed; one open descriptor a level.
//! Sockets are left out, as tar programs do.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sys::dir::{self, Node, Stamp};
use sys::survey::{self, Facts, Form};

use super::Times;
use super::tar::Writer;
use crate::error::{At, Error, Result};
use crate::extract::allowed;
use crate::tarball::{Entry, Kind};

const OPAQUE: &[u8] = b"trusted.overlay.opaque";
const OPAQUE_MARK: &[u8] = b".wh..wh..opq";
const MARK: &[u8] = b".wh.";
/// The reader's limit, too.
const DEPTH_MAX: usize = 256;
/// The rights of a new root.
pub(crate) const ROOT_MODE: u32 = 0o755;
const READ_BYTES: usize = 256 << 10;
const WHITEOUT: Form = Form::Node(Node::Char { major: 0, minor: 0 });

/// One walk over a tree.
pub(super) struct Walk {
    /// For messages.
    path: PathBuf,
    times: Times,
    /// Whether overlayfs' marks mean something.
    upper: bool,
    pub(super) entries: u64,
    /// Files with several names, by identity.
    seen: BTreeMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

/// What a root is besides its files.
#[derive(PartialEq)]
struct Rights {
    mode: u32,
    uid: u32,
    gid: u32,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for Rights {
    fn default() -> Rights {
        Rights { mode: ROOT_MODE, uid: 0, gid: 0, xattrs: Vec::new() }
    }
}

impl Rights {
    fn of(folder: &OwnedFd) -> std::io::Result<Rights> {
        let found = dir::attributes(folder)?;
        let mut xattrs = Vec::new();
        for name in dir::xattr_names_fd(folder)?.into_iter().filter(|name| allowed(name)) {
            xattrs.extend(dir::xattr_fd(folder, &name)?.map(|value| (name, value)));
        }
        xattrs.sort_unstable();
        Ok(Rights { mode: found.mode, uid: found.uid, gid: found.gid, xattrs })
    }
}

fn is_opaque(folder: &OwnedFd) -> bool {
    dir::xattr_fd(folder, OPAQUE).is_ok_and(|value| value.as_deref() == Some(b"y"))
}

impl Walk {
    pub(super) fn new(path: &Path, times: Times, upper: bool) -> Walk {
        Walk {
            path: path.to_owned(),
            times,
            upper,
            entries: 0,
            seen: BTreeMap::new(),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// Writes `root` itself when its owner, rights or attributes are not those of the root `below`;
    /// without one, not those of a new root.
    pub(super) fn changed_root<W: std::io::Write>(
        &mut self,
        root: &OwnedFd,
        below: Option<&OwnedFd>,
        out: &mut Writer<W>,
    ) -> Result<()> {
        let now = Rights::of(root).at("looking at", &self.path)?;
        let before = below.map(Rights::of).transpose().at("looking below", &self.path)?;
        if now == before.unwrap_or_default() {
            return Ok(());
        }
        let modified = dir::attributes(root).at("looking at", &self.path)?.modified;
        self.entries += 1;
        self.put(
            &Entry {
                path: b".".to_vec(),
                link: Vec::new(),
                kind: Kind::Folder,
                mode: now.mode,
                uid: now.uid,
                gid: now.gid,
                modified: Stamp { seconds: self.times.of(modified), nanos: 0 },
                size: 0,
                sparse: None,
                xattrs: now.xattrs,
            },
            out,
        )
    }

    /// Writes everything below `root`, not `root` itself.
    pub(super) fn write<W: std::io::Write>(
        &mut self,
        root: &OwnedFd,
        out: &mut Writer<W>,
    ) -> Result<()> {
        self.folder(root, b"", 0, out)
    }

    fn folder<W: std::io::Write>(
        &mut self,
        folder: &OwnedFd,
        path: &[u8],
        depth: usize,
        out: &mut Writer<W>,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(self.wrong(path, format!("stands deeper than {DEPTH_MAX} folders")));
        }
        if self.upper && depth > 0 && is_opaque(folder) {
            self.mark(path, OPAQUE_MARK, out)?;
        }
        let mut names = dir::names(folder).at("reading", &self.path)?;
        names.sort_unstable();
        for name in names {
            let inner = join(path, &name);
            if self.upper && name.starts_with(MARK) {
                let problem = "cannot be in a layer, whose marks of deleted files begin so";
                return Err(self.wrong(&inner, problem.into()));
            }
            self.one((folder, &name), inner, depth, out)?;
        }
        Ok(())
    }

    fn one<W: std::io::Write>(
        &mut self,
        (folder, name): (&OwnedFd, &[u8]),
        path: Vec<u8>,
        depth: usize,
        out: &mut Writer<W>,
    ) -> Result<()> {
        let facts = match survey::look(folder, name) {
            Ok(facts) => facts,
            // A container that runs may remove it meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("looking at a file of", &self.path, e)),
        };
        if self.upper && facts.form == WHITEOUT {
            let parent = path.len().saturating_sub(name.len() + 1);
            return self.mark(&path[..parent], &[MARK, name].concat(), out);
        }
        let Some(mut entry) = self.described((folder, name), &path, &facts)? else {
            return Ok(());
        };
        self.entries += 1;
        if entry.kind == Kind::File {
            let opened = dir::open_beneath(folder, name).at("opening a file of", &self.path);
            let mut file = opened?;
            entry.size = file.metadata().at("reading", &self.path)?.len();
            self.put(&entry, out)?;
            return self.data(&mut file, out);
        }
        self.put(&entry, out)?;
        if entry.kind == Kind::Folder {
            let inner = dir::open_folder(folder, name).at("opening a folder of", &self.path)?;
            self.folder(&inner, &path, depth + 1, out)?;
        }
        Ok(())
    }

    fn described(
        &mut self,
        (folder, name): (&OwnedFd, &[u8]),
        path: &[u8],
        facts: &Facts,
    ) -> Result<Option<Entry>> {
        let mut link = Vec::new();
        let mut kind = match facts.form {
            Form::Socket => return Ok(None),
            Form::File => Kind::File,
            Form::Folder => Kind::Folder,
            Form::Node(Node::Fifo) => Kind::Fifo,
            Form::Node(Node::Char { major, minor }) => Kind::Char { major, minor },
            Form::Node(Node::Block { major, minor }) => Kind::Block { major, minor },
            Form::Link => {
                link = dir::read_link(folder, name).at("reading a link of", &self.path)?;
                Kind::Link
            }
        };
        if facts.form != Form::Folder && facts.links > 1 {
            match self.seen.get(&facts.identity) {
                Some(first) => {
                    link.clone_from(first);
                    kind = Kind::HardLink;
                }
                None => drop(self.seen.insert(facts.identity, path.to_vec())),
            }
        }
        let mut xattrs = Vec::new();
        if kind != Kind::HardLink {
            let found = survey::xattrs(folder, name).at("reading attributes in", &self.path)?;
            xattrs.extend(found.into_iter().filter(|(key, _)| allowed(key)));
        }
        Ok(Some(Entry {
            path: path.to_vec(),
            link,
            kind,
            mode: facts.mode,
            uid: facts.uid,
            gid: facts.gid,
            modified: Stamp { seconds: self.times.of(facts.modified), nanos: 0 },
            size: 0,
            sparse: None,
            xattrs,
        }))
    }

    fn mark<W: std::io::Write>(
        &mut self,
        folder: &[u8],
        name: &[u8],
        out: &mut Writer<W>,
    ) -> Result<()> {
        self.entries += 1;
        self.put(
            &Entry {
                path: join(folder, name),
                link: Vec::new(),
                kind: Kind::File,
                mode: 0o600,
                uid: 0,
                gid: 0,
                modified: Stamp { seconds: self.times.of_nothing(), nanos: 0 },
                size: 0,
                sparse: None,
                xattrs: Vec::new(),
            },
            out,
        )
    }

    fn put<W: std::io::Write>(&self, entry: &Entry, out: &mut Writer<W>) -> Result<()> {
        out.entry(entry).at("packing", &self.path)
    }

    /// As many bytes as the header says: a file that shrinks meanwhile ends in zeroes.
    fn data<W: std::io::Write>(
        &mut self,
        file: &mut std::fs::File,
        out: &mut Writer<W>,
    ) -> Result<()> {
        while out.left() > 0 {
            let most = usize::try_from(out.left()).unwrap_or(READ_BYTES).min(READ_BYTES);
            let mut count = file.read(&mut self.buffer[..most]).at("reading", &self.path)?;
            if count == 0 {
                self.buffer[..most].fill(0);
                count = most;
            }
            out.data(&self.buffer[..count]).at("packing", &self.path)?;
        }
        Ok(())
    }

    fn wrong(&self, path: &[u8], problem: String) -> Error {
        let folder = self.path.display().to_string();
        Error::Unpackable { folder, entry: crate::fault::shown(path), problem }
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// What a change did to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It was there before, and is another one now.
    Changed,
    /// It is no longer there.
    Deleted,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute, as bytes of the file system.
    pub path: Vec<u8>,
    /// How.
    pub kind: ChangeKind,
}

/// What `upper` changes of the folders below it (top first), by path.
pub(crate) fn changes(upper: &Path, lower: &[PathBuf]) -> Result<Vec<Change>> {
    let open = |path: &Path| dir::open_root(path).at("opening", path);
    let root = open(upper)?;
    let below = lower.iter().map(|path| open(path)).collect::<Result<Vec<OwnedFd>>>()?;
    let mut all = Vec::new();
    compare(&root, (upper, &below), b"", &mut all)?;
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

/// Whether a path is to be seen through the layers.
fn stands(below: &[OwnedFd], path: &[u8]) -> bool {
    for root in below {
        let (folder, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&b""[..], path),
        };
        let mut at = match dir::open_folder(root, b"") {
            Ok(fd) => fd,
            Err(_) => return false,
        };
        let mut hidden = false;
        let mut whole = true;
        for part in folder.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            hidden |= is_opaque(&at);
            match dir::open_folder(&at, part) {
                Ok(next) => at = next,
                Err(e) => {
                    hidden |= e.kind() != std::io::ErrorKind::NotFound;
                    whole = false;
                    break;
                }
            }
        }
        if whole {
            hidden |= is_opaque(&at);
            if let Ok(facts) = survey::look(&at, name) {
                return facts.form != WHITEOUT;
            }
        }
        if hidden {
            return false;
        }
    }
    false
}

fn compare(
    folder: &OwnedFd,
    (upper, below): (&Path, &[OwnedFd]),
    path: &[u8],
    all: &mut Vec<Change>,
) -> Result<()> {
    for name in dir::names(folder).at("reading", upper)? {
        let facts = survey::look(folder, &name).at("looking at a file of", upper)?;
        let inner = join(path, &name);
        let before = stands(below, &inner);
        let kind = match (facts.form == WHITEOUT, before) {
            (true, false) => None,
            (true, true) => Some(ChangeKind::Deleted),
            (false, true) => Some(ChangeKind::Changed),
            (false, false) => Some(ChangeKind::Added),
        };
        all.extend(kind.map(|kind| Change { path: [b"/", &inner[..]].concat(), kind }));
        if facts.form == Form::Folder {
            let opened = dir::open_folder(folder, &name).at("opening a folder of", upper)?;
            compare(&opened, (upper, below), &inner, all)?;
        }
    }
    Ok(())
}
