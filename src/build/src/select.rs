//! The files that COPY and ADD take: found in a tree, listed in order, hashed.
//!
//! Invariants: names are resolved with the tree's root as `/` (openat2), so no link of a context or
//! an image leads outside; below a chosen folder no link is followed. The digest is of names,
//! kinds, permission bits, owners where they count, link texts, hard links, attributes and
//! contents, not of times.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use image::{Digest, Hasher};
use sys::dir;
use sys::survey::{self, Facts, Form};

use crate::error::{At, Error, Result};
use crate::ignore::{Ignore, clean};
use crate::pattern::Pattern;

/// Folders below each other.
const DEPTH_MAX: usize = 256;

/// A tree to take files from.
pub(crate) struct Tree {
    root: OwnedFd,
    /// For messages.
    pub(crate) label: String,
    ignore: Ignore,
    /// Whether its owners are the image's; those of a context are nobody's.
    pub(crate) owners: bool,
}

/// One file below a chosen source.
pub(crate) struct Item {
    /// Below the source; empty for the source itself.
    pub(crate) path: Vec<u8>,
    pub(crate) facts: Facts,
}

/// A source that was named, with what is below it.
pub(crate) struct Chosen {
    /// Its path in the tree, without a slash in front.
    pub(crate) path: String,
    /// A folder, or a file to read.
    pub(crate) file: File,
    pub(crate) facts: Facts,
    /// What is below, parents first; nothing for a file.
    pub(crate) items: Vec<Item>,
    /// Whether it came from the web: never unpacked.
    pub(crate) fetched: bool,
}

impl Chosen {
    pub(crate) fn is_folder(&self) -> bool {
        self.facts.form == Form::Folder
    }

    /// For each item the one that is the same file by an earlier name (a hard link).
    pub(crate) fn earlier_names(&self) -> Vec<Option<usize>> {
        let mut seen = BTreeMap::new();
        let name = |(at, item): (usize, &Item)| {
            if item.facts.form != Form::File || item.facts.links < 2 {
                return None;
            }
            match seen.entry(item.facts.identity) {
                Entry::Occupied(first) => Some(*first.get()),
                Entry::Vacant(free) => {
                    free.insert(at);
                    None
                }
            }
        };
        self.items.iter().enumerate().map(name).collect()
    }

    /// The last part of its path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// The folder and the name of a path.
pub(crate) fn parted(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

impl Tree {
    pub(crate) fn open(path: &Path, label: &str, ignore: Ignore, owners: bool) -> Result<Tree> {
        let root = dir::open_root(path).at("opening", path)?;
        Ok(Tree { root, label: label.into(), ignore, owners })
    }

    /// Finds what a source names. A pattern may find several, sorted; nothing is an error.
    pub(crate) fn choose(&self, source: &str, exclude: &Ignore) -> Result<Vec<Chosen>> {
        let path = clean(source);
        let outside = source.split('/').try_fold(0i32, |depth, part| match part {
            "" | "." => Some(depth),
            ".." => (depth > 0).then_some(depth - 1),
            _ => Some(depth + 1),
        });
        if outside.is_none() {
            let problem = format!("{source} is outside of {}", self.label);
            return Err(Error::refused(problem, "name files relative to the build's folder"));
        }
        if !Pattern::is_wild(&path) {
            let Some(one) = self.one(&path, exclude)? else { return Err(self.missing(source)) };
            return Ok(vec![one]);
        }
        let wrong = |problem| Error::refused(problem, "a backslash takes a sign as it is");
        let pattern = Pattern::new(&path).map_err(wrong)?;
        let depth = path.split('/').count();
        let depth = if path.contains("**") { DEPTH_MAX } else { depth };
        let mut found = Vec::new();
        self.matching(&pattern, b"", depth, &mut found)?;
        found.sort();
        let mut all = Vec::new();
        for path in found {
            all.extend(self.one(&path, exclude)?);
        }
        if all.is_empty() { Err(self.missing(source)) } else { Ok(all) }
    }

    /// The one file at a path, whose signs all mean themselves.
    pub(crate) fn file(&self, path: &str) -> Result<Chosen> {
        self.one(path, &Ignore::default())?.ok_or_else(|| self.missing(path))
    }

    fn missing(&self, source: &str) -> Error {
        let hidden = self.ignore.hides(&clean(source));
        let hint = if hidden { "it is left out by the .dockerignore" } else { "" };
        Error::refused(format!("{source} is not in {}", self.label), hint)
    }

    fn matching(
        &self,
        pattern: &Pattern,
        folder: &[u8],
        depth: usize,
        found: &mut Vec<String>,
    ) -> Result<()> {
        let opened = dir::open_folder(&self.root, folder).at("opening", Path::new(&self.label))?;
        for name in dir::names(&opened).at("reading", Path::new(&self.label))? {
            let path = join(folder, &name);
            // A name that is no text cannot be written in a pattern.
            if let Ok(text) = std::str::from_utf8(&path)
                && pattern.matches(text)
            {
                found.push(text.to_owned());
            }
            if depth > 1 && dir::kind(&opened, &name).is_ok_and(|kind| kind == dir::Kind::Folder) {
                self.matching(pattern, &path, depth - 1, found)?;
            }
        }
        Ok(())
    }

    /// The file or folder at a path, links resolved; `None` when it is not there or left out.
    fn one(&self, path: &str, exclude: &Ignore) -> Result<Option<Chosen>> {
        let hidden = self.ignore.hides(path);
        if hidden && !self.ignore.has_exceptions() {
            return Ok(None);
        }
        let inner = if path.is_empty() { "." } else { path };
        let shown = Path::new(&self.label).join(path);
        let handle = match dir::find_in_root(&self.root, inner.as_bytes()) {
            Ok(handle) => handle,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
            Err(e) => return Err(e).at("looking at", &shown),
        };
        let facts = survey::look_fd(&handle).at("looking at", &shown)?;
        if !matches!(facts.form, Form::File | Form::Folder) {
            let problem = format!("{} is neither a file nor a folder", shown.display());
            return Err(Error::refused(problem, ""));
        }
        let file = dir::open_in_root(&self.root, inner.as_bytes()).at("opening", &shown)?;
        let mut items = Vec::new();
        if facts.form == Form::Folder {
            let seen = Seen { tree: self, above: path, exclude };
            seen.below(&file, b"", 0, &mut items)?;
            if hidden && items.is_empty() {
                return Ok(None);
            }
        } else if hidden {
            return Ok(None);
        }
        Ok(Some(Chosen { path: path.into(), file, facts, items, fetched: false }))
    }
}

/// What is seen below a chosen folder.
struct Seen<'a> {
    tree: &'a Tree,
    above: &'a str,
    exclude: &'a Ignore,
}

impl Seen<'_> {
    fn below(
        &self,
        folder: &impl AsFd,
        path: &[u8],
        depth: usize,
        items: &mut Vec<Item>,
    ) -> Result<()> {
        let shown = Path::new(&self.tree.label).join(self.above).join(text(path));
        if depth > DEPTH_MAX {
            let problem = format!("{} stands too deep", shown.display());
            return Err(Error::refused(problem, ""));
        }
        let mut names = dir::names(folder).at("reading", &shown)?;
        names.sort_unstable();
        for name in names {
            let inner = join(path, &name);
            let whole = text(&join(self.above.as_bytes(), &inner));
            let (ignore, exclude) = (&self.tree.ignore, self.exclude);
            let hidden = ignore.hides(&whole) || exclude.hides(&text(&inner));
            let again = ignore.has_exceptions() || exclude.has_exceptions();
            let facts = survey::look(folder, &name).at("looking at a file in", &shown)?;
            let is_folder = facts.form == Form::Folder;
            if hidden && !(is_folder && again) || facts.form == Form::Socket {
                continue;
            }
            let at = items.len();
            items.push(Item { path: inner.clone(), facts });
            if is_folder {
                let opened = dir::open_folder(folder, &name).at("opening a folder in", &shown)?;
                self.below(&opened, &inner, depth + 1, items)?;
                if hidden && items.len() == at + 1 {
                    items.pop();
                }
            }
        }
        Ok(())
    }
}

/// Digest of a chosen source, and of everything below it.
pub(crate) fn digest(tree: &Tree, chosen: &Chosen) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let shown = Path::new(&tree.label).join(&chosen.path);
    describe(&mut hasher, b"", &chosen.facts, tree.owners);
    if !chosen.is_folder() {
        content(&mut hasher, &chosen.file).at("reading", &shown)?;
        return Ok(hasher.finish());
    }
    for (item, earlier) in chosen.items.iter().zip(chosen.earlier_names()) {
        describe(&mut hasher, &item.path, &item.facts, tree.owners);
        if let Some(earlier) = earlier {
            hasher.update(format!("hard link {}", text(&chosen.items[earlier].path)).as_bytes());
            continue;
        }
        let (folder, name) = parted(&item.path);
        let folder = dir::open_folder(&chosen.file, folder).at("opening a folder in", &shown)?;
        match item.facts.form {
            Form::File => {
                let file = dir::open_beneath(&folder, name).at("opening a file in", &shown)?;
                content(&mut hasher, &file).at("reading", &shown)?;
            }
            Form::Link => {
                hasher.update(&dir::read_link(&folder, name).at("reading a link in", &shown)?);
            }
            form => hasher.update(format!("{form:?}").as_bytes()),
        }
        if tree.owners {
            for (key, value) in survey::xattrs(&folder, name).at("reading attributes in", &shown)? {
                hasher.update(format!("\0{}\0{}\0", text(&key), value.len()).as_bytes());
                hasher.update(&value);
            }
        }
    }
    Ok(hasher.finish())
}

/// Digest of a file's bytes alone, read from its beginning.
pub(crate) fn content_digest(mut file: &File) -> std::io::Result<Digest> {
    let mut hasher = Hasher::default();
    file.rewind()?;
    content(&mut hasher, file)?;
    Ok(hasher.finish())
}

fn describe(hasher: &mut Hasher, path: &[u8], facts: &Facts, owners: bool) {
    let (uid, gid) = if owners { (facts.uid, facts.gid) } else { (0, 0) };
    let size = if facts.form == Form::File { facts.size } else { 0 };
    let kind = match facts.form {
        Form::File => "file",
        Form::Folder => "folder",
        Form::Link => "link",
        _ => "other",
    };
    hasher.update(format!("\0{}\0", path.len()).as_bytes());
    hasher.update(path);
    hasher.update(format!("\0{kind} {:o} {uid} {gid} {size}\0", facts.mode).as_bytes());
}

fn content(hasher: &mut Hasher, file: &File) -> std::io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    let mut file = file;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
