//! Snapshots: each layer unpacked once, shared by all images and containers that stand on it.
//!
//! `snapshots/<number>` is a layer's files as overlayfs wants them (short names: mount options have
//! a limit of one page), `snapshots/chains/<hex>` a link to it. The key is the chain id of
//! image-spec, config.md, "Layer ChainID": the same layer upon other layers is another snapshot,
//! since implied folders take their attributes from below. A number without a link is garbage.
//! Everything that changes names here runs under the store's lock.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sys::dir;

use crate::digest::Digest;
use crate::error::{At, Result};
use crate::staging::Staging;

const CHAINS: &str = "chains";

/// The folder of all snapshots.
pub(crate) struct Snapshots {
    path: PathBuf,
}

/// The chain id of each layer, from the bottom up.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        };
        chains.push(chain);
    }
    chains
}

impl Snapshots {
    pub(crate) fn new(path: PathBuf) -> Snapshots {
        Snapshots { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn chains(&self) -> PathBuf {
        self.path.join(CHAINS)
    }

    /// The folder of a chain, when it is unpacked.
    pub(crate) fn find(&self, chain: &Digest) -> Option<PathBuf> {
        let target = fs::read_link(self.chains().join(chain.hex())).ok()?;
        let number: u64 = target.file_name()?.to_str()?.parse().ok()?;
        let path = self.path.join(number.to_string());
        path.is_dir().then_some(path)
    }

    pub(crate) fn numbers(&self) -> Result<BTreeSet<u64>> {
        let mut numbers = BTreeSet::new();
        for entry in fs::read_dir(&self.path).at("reading", &self.path)? {
            let name = entry.at("reading", &self.path)?.file_name();
            numbers.extend(name.to_str().and_then(|n| n.parse::<u64>().ok()));
        }
        Ok(numbers)
    }

    /// Takes an unpacked layer in; one that is there already stays. Staging must have been synced.
    pub(crate) fn commit(&self, unpacked: &Path, chain: &Digest) -> Result<PathBuf> {
        if let Some(there) = self.find(chain) {
            return Ok(there);
        }
        let number = self.numbers()?.last().map_or(1, |n| n + 1);
        let path = self.path.join(number.to_string());
        fs::rename(unpacked, &path).at("moving", &path)?;
        let link = self.chains().join(chain.hex());
        match fs::remove_file(&link) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).at("removing", &link),
            _ => {}
        }
        symlink(Path::new("..").join(number.to_string()), &link).at("making", &link)?;
        Ok(path)
    }

    /// Moves every snapshot whose chain is not in `used` into `trash`.
    pub(crate) fn sweep(&self, used: &BTreeSet<Digest>, trash: &Staging) -> Result<()> {
        let mut linked = BTreeSet::new();
        let chains = self.chains();
        for entry in fs::read_dir(&chains).at("reading", &chains)? {
            let link = entry.at("reading", &chains)?.path();
            let hex = link.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number = fs::read_link(&link).ok().and_then(|t| {
                t.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<u64>().ok())
            });
            match number {
                Some(number) if used.iter().any(|d| d.hex() == hex) => {
                    linked.insert(number);
                }
                _ => trash.discard(&link)?,
            }
        }
        for number in self.numbers()?.difference(&linked) {
            trash.discard(&self.path.join(number.to_string()))?;
        }
        Ok(())
    }
}

/// Gives folders that a layer only implies the attributes they have in the layers below it.
///
/// `below` stands bottom first. Parents come before children in `implied`.
pub(crate) fn mend(layer: &Path, implied: &[Vec<u8>], below: &[PathBuf]) -> Result<()> {
    if implied.is_empty() || below.is_empty() {
        return Ok(());
    }
    let root = dir::open_root(layer).at("opening", layer)?;
    let mut roots = Vec::new();
    for lower in below.iter().rev() {
        roots.push(dir::open_root(lower).at("opening", lower)?);
    }
    for path in implied {
        for lower in &roots {
            match look(lower, path) {
                Found::Folder(from) => {
                    let to = dir::open_folder(&root, path).at("opening", layer)?;
                    copy_attributes(&from, &to).at("mending a folder of", layer)?;
                    break;
                }
                Found::Hidden => break,
                Found::Nothing => {}
            }
        }
    }
    Ok(())
}

enum Found {
    Folder(std::os::fd::OwnedFd),
    /// Something else stands here, or hides what is further below.
    Hidden,
    Nothing,
}

fn look(root: &std::os::fd::OwnedFd, path: &[u8]) -> Found {
    let mut at = match dir::open_folder(root, b"") {
        Ok(fd) => fd,
        Err(_) => return Found::Nothing,
    };
    for name in path.split(|b| *b == b'/') {
        let opaque = matches!(dir::xattr_fd(&at, b"trusted.overlay.opaque"), Ok(Some(_)));
        match dir::open_folder(&at, name) {
            Ok(next) => at = next,
            Err(e) if e.kind() == ErrorKind::NotFound && !opaque => return Found::Nothing,
            Err(_) => return Found::Hidden,
        }
    }
    Found::Folder(at)
}

pub(crate) fn copy_attributes(
    from: &std::os::fd::OwnedFd,
    to: &std::os::fd::OwnedFd,
) -> std::io::Result<()> {
    let attributes = dir::attributes(from)?;
    dir::set_owner_fd(to, attributes.uid, attributes.gid)?;
    dir::set_mode_fd(to, attributes.mode)?;
    for name in dir::xattr_names_fd(from)? {
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        if let Some(value) = dir::xattr_fd(from, &name)? {
            dir::set_xattr_fd(to, &name, &value)?;
        }
    }
    dir::set_times_fd(to, attributes.modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_follow_the_specification() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let chains = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(chains[0], a);
        assert_eq!(chains[1], Digest::of(format!("{a} {b}").as_bytes()));
    }
}
