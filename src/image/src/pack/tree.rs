//! Walking a folder in the order of its names, as entries of an archive.
//!
//! In an upper folder of overlayfs a device 0/0 hides a name and `trusted.overlay.opaque` hides
//! what a folder has below: a layer has `.wh.` files for both (image-spec, layer.md). Invariants:
//! folders are opened beneath the root and links not followed; one open descriptor a level.
//! Sockets are left out, as tar programs do.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::IdRange;
use sys::dir::{self, Node, Stamp};
use sys::survey::{self, Facts, Form};

use super::Times;
use super::tar::Writer;
use crate::error::{At, Error, Result};
use crate::extract::allowed;
use crate::tarball::{Entry, Kind};

const OPAQUE: &[u8] = b"trusted.overlay.opaque";
const OPAQUE_MARK: &[u8] = b".wh..wh..opq";
const CAPABILITY: &[u8] = b"security.capability";
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const EFFECTIVE: u32 = 1;
const MARK: &[u8] = b".wh.";
/// The reader's limit, too.
const DEPTH_MAX: usize = 256;
/// The rights of a new root.
pub(crate) const ROOT_MODE: u32 = 0o755;
const READ_BYTES: usize = 256 << 10;
pub(super) const WHITEOUT: Form = Form::Node(Node::Char { major: 0, minor: 0 });

/// One walk over a tree.
pub(super) struct Walk {
    /// For messages.
    path: PathBuf,
    times: Times,
    /// Whether overlayfs' marks mean something.
    upper: bool,
    /// Ids of the host that are others in the archive.
    ids: Option<IdRange>,
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

pub(super) fn is_opaque(folder: &OwnedFd) -> bool {
    dir::xattr_fd(folder, OPAQUE).is_ok_and(|value| value.as_deref() == Some(b"y"))
}

impl Walk {
    pub(super) fn of_upper(path: &Path, times: Times, ids: Option<IdRange>) -> Walk {
        Walk { upper: true, ..Walk::new(path, times, ids) }
    }

    pub(super) fn new(path: &Path, times: Times, ids: Option<IdRange>) -> Walk {
        Walk {
            path: path.to_owned(),
            times,
            upper: false,
            ids,
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
        let mut now = Rights::of(root).at("looking at", &self.path)?;
        (now.uid, now.gid) = (self.inner(now.uid), self.inner(now.gid));
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
        self.found((folder, name, &facts), path, depth, out)
    }

    /// Writes what was looked at, with all below it; by now something else may be there.
    pub(super) fn found<W: std::io::Write>(
        &mut self,
        (folder, name, facts): (&OwnedFd, &[u8], &Facts),
        path: Vec<u8>,
        depth: usize,
        out: &mut Writer<W>,
    ) -> Result<()> {
        if self.upper && facts.form == WHITEOUT {
            let parent = path.len().saturating_sub(name.len() + 1);
            return self.mark(&path[..parent], &[MARK, name].concat(), out);
        }
        let Some(mut entry) = self.described((folder, name), &path, facts)? else {
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
            let kept = found.into_iter().filter(|(key, _)| allowed(key));
            xattrs.extend(kept.map(|(key, value)| match key == CAPABILITY {
                true => (key, self.unbound(value)),
                false => (key, value),
            }));
        }
        Ok(Some(Entry {
            path: path.to_vec(),
            link,
            kind,
            mode: facts.mode,
            uid: self.inner(facts.uid),
            gid: self.inner(facts.gid),
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

    /// An id of the host as the archive has it.
    fn inner(&self, id: u32) -> u32 {
        self.ids.and_then(|ids| ids.inner(id)).unwrap_or(id)
    }

    /// Capabilities of a file that are bound to the container's root (VFS_CAP_REVISION_3 of
    /// linux/capability.h: magic, two pairs of sets, root's id) as those of any root.
    fn unbound(&self, value: Vec<u8>) -> Vec<u8> {
        let word = |at: usize| value.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        match (word(0), word(20), self.ids) {
            (Some(magic), Some(root), Some(ids))
                if magic & !EFFECTIVE == REVISION_3 && root == ids.first =>
            {
                let magic = REVISION_2 | magic & EFFECTIVE;
                [&magic.to_le_bytes()[..], &value[4..20]].concat()
            }
            _ => value,
        }
    }

    fn wrong(&self, path: &[u8], problem: String) -> Error {
        let folder = self.path.display().to_string();
        Error::Unpackable { folder, entry: crate::fault::shown(path), problem }
    }
}

pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
