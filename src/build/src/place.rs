//! Writing files into a root file system that nobody else writes to: what COPY, ADD and WORKDIR do.
//!
//! Invariants: every path of an image is resolved with its root as `/`, so that no link leads to
//! the host; files are made by plain names beneath folders that are open. Owner before mode, times
//! last.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sys::dir::{self, Stamp};
use sys::survey::{self, Facts, Form};

use crate::error::{At, Error, Result};
use crate::select::{Chosen, parted};

/// Whom files belong to and what may be done with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Owner and group; the source's when there are none.
    pub(crate) owner: Option<(u32, u32)>,
    /// Permission bits; the source's when there are none.
    pub(crate) mode: Option<u32>,
    /// The time of everything; the source's when there is none.
    pub(crate) time: Option<i64>,
}

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// What is at the end of a path.
enum Made {
    Folder(OwnedFd),
    /// A link that leads nowhere: the path that it stands for.
    Link(String),
}

/// A root file system that is written to.
pub(crate) struct Root<'a> {
    path: &'a Path,
    root: OwnedFd,
    rights: Rights,
    /// Whether sources have owners of their own.
    owners: bool,
}

fn is(error: &std::io::Error, kind: ErrorKind) -> bool {
    error.kind() == kind
}

impl<'a> Root<'a> {
    pub(crate) fn open(path: &'a Path, rights: Rights, owners: bool) -> Result<Root<'a>> {
        let root = dir::open_root(path).at("opening", path)?;
        Ok(Root { path, root, rights, owners })
    }

    /// Whether a path is a folder, links resolved.
    pub(crate) fn has_folder(&self, path: &str) -> bool {
        let found = dir::find_in_root(&self.root, path.as_bytes());
        found.and_then(survey::look_fd).is_ok_and(|facts| facts.form == Form::Folder)
    }

    /// Opens a folder, making what is missing of its path; also where a link leads that leads
    /// nowhere yet.
    pub(crate) fn folder(&self, path: &str) -> Result<OwnedFd> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            match self.made(&path)? {
                Made::Folder(folder) => return Ok(folder),
                Made::Link(onward) => path = onward,
            }
        }
        Err(Error::refused(format!("{path} leads through over {LINKS_MAX} links"), ""))
    }

    fn made(&self, path: &str) -> Result<Made> {
        let shown = Path::new(path);
        let mut have = String::from("/");
        let open = |path: &str| {
            let opened = dir::open_in_root(&self.root, path.as_bytes())?;
            dir::open_folder(&opened, b"")
        };
        let mut at = open(&have).at("opening", shown)?;
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        while let Some(part) = parts.next() {
            let whole = format!("{have}/{part}");
            let above = std::mem::replace(&mut have, whole);
            match open(&have) {
                Ok(next) => at = next,
                Err(e) if is(&e, ErrorKind::NotFound) => {
                    if let Ok(text) = dir::read_link(&at, part.as_bytes()) {
                        let text = String::from_utf8_lossy(&text).into_owned();
                        let base = if text.starts_with('/') { "" } else { above.as_str() };
                        let rest: Vec<&str> = parts.collect();
                        return Ok(Made::Link(format!("{base}/{text}/{}", rest.join("/"))));
                    }
                    at = self.make(&at, part).at("making the folder", shown)?;
                }
                Err(e) => return Err(e).at("opening the folder", shown),
            }
        }
        Ok(Made::Folder(at))
    }

    fn make(&self, at: &OwnedFd, name: &str) -> std::io::Result<OwnedFd> {
        dir::make_folder(at, name.as_bytes(), 0o755)?;
        let made = dir::open_folder(at, name.as_bytes())?;
        let (uid, gid) = self.rights.owner.unwrap_or((0, 0));
        dir::set_owner_fd(&made, uid, gid)?;
        dir::set_mode_fd(&made, 0o755)?;
        self.stamp(&made, None)?;
        Ok(made)
    }

    fn stamp(&self, fd: &impl AsFd, own: Option<Stamp>) -> std::io::Result<()> {
        let fixed = self.rights.time.map(|seconds| Stamp { seconds, nanos: 0 });
        fixed.or(own).map_or(Ok(()), |stamp| dir::set_times_fd(fd, stamp))
    }

    fn owner(&self, facts: &Facts) -> (u32, u32) {
        let own = if self.owners { (facts.uid, facts.gid) } else { (0, 0) };
        self.rights.owner.unwrap_or(own)
    }

    /// Writes a file; what had the name goes, unless it is a folder.
    pub(crate) fn file(
        &self,
        folder: &OwnedFd,
        name: &[u8],
        mut content: impl Read,
        facts: &Facts,
    ) -> Result<File> {
        let shown = self.path.join(String::from_utf8_lossy(name).as_ref());
        clear(folder, name).at("replacing", &shown)?;
        let mut file = dir::create_file(folder, name, 0o600).at("making", &shown)?;
        std::io::copy(&mut content, &mut file).at("writing", &shown)?;
        file.flush().at("writing", &shown)?;
        self.finish(&file, facts).at("setting the rights of", &shown)?;
        Ok(file)
    }

    fn finish(&self, fd: &impl AsFd, facts: &Facts) -> std::io::Result<()> {
        let (uid, gid) = self.owner(facts);
        dir::set_owner_fd(fd, uid, gid)?;
        dir::set_mode_fd(fd, self.rights.mode.unwrap_or(facts.mode))
    }

    /// Copies a chosen file under `name`, or all that is in a chosen folder, into `folder`.
    pub(crate) fn copy(&self, chosen: &Chosen, folder: &OwnedFd, name: &[u8]) -> Result<()> {
        if !chosen.is_folder() {
            let mut source = &chosen.file;
            let shown = Path::new(&chosen.path);
            source.rewind().at("reading", shown)?;
            let file = self.file(folder, name, source, &chosen.facts)?;
            if self.owners {
                for key in dir::xattr_names_fd(&chosen.file).at("reading attributes of", shown)? {
                    let value = dir::xattr_fd(&chosen.file, &key);
                    if let Some(value) = value.at("reading attributes of", shown)? {
                        keep_xattr(&key, || dir::set_xattr_fd(&file, &key, &value))
                            .at("setting attributes of", shown)?;
                    }
                }
            }
            return self.stamp(&file, Some(chosen.facts.modified)).at("stamping", shown);
        }
        for (item, earlier) in chosen.items.iter().zip(chosen.earlier_names()) {
            let shown = Path::new(&chosen.path).join(String::from_utf8_lossy(&item.path).as_ref());
            let (above, name) = parted(&item.path);
            let from = dir::open_folder(&chosen.file, above).at("opening", &shown)?;
            let to = dir::open_folder(folder, above).at("opening the target of", &shown)?;
            if let Some(earlier) = earlier {
                let (above, old) = parted(&chosen.items[earlier].path);
                let there = dir::open_folder(folder, above).at("opening the target of", &shown)?;
                clear(&to, name).at("replacing", &shown)?;
                dir::hard_link(&there, old, &to, name).at("linking", &shown)?;
                continue;
            }
            self.one((&from, &to), name, &item.facts).map_err(|error| match error {
                Error::Io { action, source, .. } => {
                    Error::Io { action, path: shown.display().to_string(), source }
                }
                other => other,
            })?;
        }
        // Folders last: filling them has changed their times.
        for item in chosen.items.iter().rev().filter(|item| item.facts.form == Form::Folder) {
            let shown = Path::new(&chosen.path);
            let to = dir::open_folder(folder, &item.path).at("opening the target of", shown)?;
            self.stamp(&to, Some(item.facts.modified)).at("stamping", shown)?;
        }
        Ok(())
    }

    fn one(&self, (from, to): (&OwnedFd, &OwnedFd), name: &[u8], facts: &Facts) -> Result<()> {
        let shown = Path::new("");
        let fixed = self.rights.time.map(|seconds| Stamp { seconds, nanos: 0 });
        let stamp = fixed.unwrap_or(facts.modified);
        match facts.form {
            Form::Folder => {
                match dir::make_folder(to, name, 0o700) {
                    Err(e) if is(&e, ErrorKind::AlreadyExists) => {
                        if dir::kind(to, name).at("looking at", shown)? != dir::Kind::Folder {
                            clear(to, name).at("replacing", shown)?;
                            dir::make_folder(to, name, 0o700).at("making", shown)?;
                        }
                    }
                    made => made.at("making", shown)?,
                }
                let made = dir::open_folder(to, name).at("opening", shown)?;
                self.finish(&made, facts).at("setting the rights of", shown)?;
            }
            Form::File => {
                let source = dir::open_beneath(from, name).at("reading", shown)?;
                let file = self.file(to, name, source, facts)?;
                self.xattrs((from, to), name)?;
                return self.stamp(&file, Some(facts.modified)).at("stamping", shown);
            }
            Form::Link => {
                let text = dir::read_link(from, name).at("reading", shown)?;
                clear(to, name).at("replacing", shown)?;
                dir::make_link(to, name, &text).at("making", shown)?;
                let (uid, gid) = self.owner(facts);
                dir::set_owner(to, name, uid, gid).at("giving an owner to", shown)?;
                dir::set_times(to, name, stamp).at("stamping", shown)?;
            }
            Form::Node(node) => {
                clear(to, name).at("replacing", shown)?;
                dir::make_node(to, name, node, 0o600).at("making", shown)?;
                let (uid, gid) = self.owner(facts);
                dir::set_owner(to, name, uid, gid).at("giving an owner to", shown)?;
                let mode = self.rights.mode.unwrap_or(facts.mode);
                dir::set_mode(to, name, mode).at("setting the rights of", shown)?;
                dir::set_times(to, name, stamp).at("stamping", shown)?;
            }
            Form::Socket => {}
        }
        self.xattrs((from, to), name)
    }

    fn xattrs(&self, (from, to): (&OwnedFd, &OwnedFd), name: &[u8]) -> Result<()> {
        if !self.owners {
            return Ok(());
        }
        let shown = Path::new("");
        for (key, value) in survey::xattrs(from, name).at("reading attributes of", shown)? {
            keep_xattr(&key, || dir::set_xattr(to, name, &key, &value))
                .at("setting attributes of", shown)?;
        }
        Ok(())
    }
}

/// Attributes that are a file's own, not the file system's or the host's policy.
fn keep_xattr(key: &[u8], set: impl Fn() -> std::io::Result<()>) -> std::io::Result<()> {
    let kept = key.starts_with(b"user.") && !key.starts_with(b"user.overlay.");
    if kept || key == b"security.capability" { set() } else { Ok(()) }
}

/// Removes what is no folder; a folder stays and is told.
fn clear(folder: &OwnedFd, name: &[u8]) -> std::io::Result<()> {
    match dir::remove_file(folder, name) {
        Err(e) if is(&e, ErrorKind::NotFound) => Ok(()),
        other => other,
    }
}
