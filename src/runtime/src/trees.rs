//! Clones of the host's mount trees for a child, its owners mapped where asked, and overlays of
//! mapped layers.
//!
//! For a child with a user namespace they are cloned where the kernel locks read-only, nosuid,
//! nodev and noexec ([`sys::locked`]): its root could take them away else.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sys::launch::above_stdio;
use sys::locked::Locked;
use sys::tree::Shape;

use crate::draft::Source;
use crate::error::{Error, Result};
use crate::idmaps::Known;

/// The trees among `sources`, `None` for all others. `lock`: for a user namespace.
///
/// # Errors
/// The path that cannot be cloned or mapped.
pub(crate) fn open(sources: &[Source], lock: bool) -> Result<Vec<Option<OwnedFd>>> {
    let wanted: Vec<(&Path, Shape)> = sources.iter().filter_map(place).collect();
    let mut trees = if lock && !wanted.is_empty() {
        locked(&wanted)?
    } else {
        wanted.iter().map(|(path, shape)| plain(path, *shape)).collect::<Result<Vec<_>>>()?
    }
    .into_iter();
    let mut known = Known::default();
    let mut fill = |source: &Source| {
        if let Source::Overlay { layers, by } = source {
            let tree = above_stdio(known.overlay(layers, by)?);
            return tree.map(Some).map_err(Error::io("open", &layers.upper));
        }
        let tree = place(source).and_then(|_| trees.next());
        if let (Some(tree), Source::MappedTree { path, map, .. }) = (&tree, source) {
            known.map(tree.as_fd(), path, map)?;
        }
        Ok(tree)
    };
    sources.iter().map(&mut fill).collect()
}

fn place(source: &Source) -> Option<(&Path, Shape)> {
    match source {
        Source::Tree { path, shape } | Source::MappedTree { path, shape, .. } => {
            Some((path, *shape))
        }
        _ => None,
    }
}

fn plain(path: &Path, shape: Shape) -> Result<OwnedFd> {
    sys::tree::clone(path, shape).and_then(above_stdio).map_err(Error::io("open", path))
}

fn locked(wanted: &[(&Path, Shape)]) -> Result<Vec<OwnedFd>> {
    let house = Locked::new().map_err(|source| Error::Clone { source })?;
    let trees = house.trees(wanted).map_err(|source| Error::Clone { source })?;
    let kept = |(tree, (path, shape)): (std::io::Result<OwnedFd>, &(&Path, Shape))| match tree {
        // What other mounts hide there is not shown to a user namespace, unless it is asked for by
        // a mount that has nothing to lock.
        Err(error) if error.kind() == ErrorKind::InvalidInput && !shape.recursive => {
            let tree = plain(path, *shape)?;
            match sys::tree::is_restricted(tree.as_fd()) {
                Ok(false) => Ok(tree),
                Ok(true) => Err(Error::io("open", path)(std::io::Error::other(
                    "has mounts below and is restricted itself: a user namespace gets it with \
                     them only (rbind)",
                ))),
                Err(error) => Err(Error::io("open", path)(error)),
            }
        }
        tree => tree.and_then(above_stdio).map_err(Error::io("open", path)),
    };
    trees.into_iter().zip(wanted).map(kept).collect()
}
