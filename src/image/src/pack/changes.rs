//! What an upper folder of overlayfs, or a layer, changes of the folders below it, as a list.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sys::dir;
use sys::survey::{self, Form};

use super::tree::{WHITEOUT, is_opaque, join};
use crate::error::{At, Result};

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
