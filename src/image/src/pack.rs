//! Writing layers: a folder's tree as a tar stream, compressed and hashed in one pass.
//!
//! `tar.rs` writes entries, `tree.rs` walks a folder and says what its overlayfs marks mean,
//! `changes.rs` lists what it changes,
//! `squeeze.rs` compresses pieces side by side. Invariant: the same tree and options give the same
//! bytes, however many threads there are and in whatever order the folder lists its names.

mod changes;
mod squeeze;
mod tar;
mod tree;

use std::os::fd::OwnedFd;
use std::path::Path;

use oci::IdRange;
use sys::dir::Stamp;

use crate::blobs::Blobs;
use crate::compression::Compression;
use crate::digest::Digest;
use crate::document::Descriptor;
use crate::error::{At, Result};
pub use changes::{Change, ChangeKind};

/// What times the entries of an archive get. Whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    /// As they are.
    #[default]
    Kept,
    /// None later than this.
    NotAfter(i64),
    /// All the same.
    All(i64),
}

impl Times {
    pub(crate) fn of(self, stamp: Stamp) -> i64 {
        match self {
            Times::Kept => stamp.seconds,
            Times::NotAfter(limit) => stamp.seconds.min(limit),
            Times::All(time) => time,
        }
    }

    /// Of what has no time of its own: the mark of a deleted file.
    fn of_nothing(self) -> i64 {
        match self {
            Times::Kept => 0,
            Times::NotAfter(time) | Times::All(time) => time,
        }
    }
}

/// How a layer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// The entries' times.
    pub times: Times,
    /// The blob's compression.
    pub compression: Compression,
    /// The host's ids that are the container's own 0 and up.
    pub ids: Option<IdRange>,
}

impl Default for Packing {
    fn default() -> Packing {
        Packing { times: Times::Kept, compression: Compression::Gzip, ids: None }
    }
}

/// A layer that was written: its blob is among the new ones.
pub(crate) struct Packed {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: Digest,
    /// How many entries it has.
    pub(crate) entries: u64,
}

/// Packs the changes in `upper`, the upper folder of an overlay mount, into a blob. `below` is the
/// uppermost of its lower folders.
pub(crate) fn layer(
    upper: &Path,
    below: Option<&Path>,
    packing: Packing,
    blobs: &mut Blobs,
) -> Result<Packed> {
    let open = |path: &Path| sys::dir::open_root(path).at("opening", path);
    let (root, below) = (open(upper)?, below.map(open).transpose()?);
    squeeze::into_blob(blobs, packing.compression, |out| {
        let mut archive = tar::Writer::new(out);
        let mut walk = tree::Walk::of_upper(upper, packing.times, packing.ids);
        walk.changed_root(&root, below.as_ref(), &mut archive)?;
        walk.write(&root, &mut archive)?;
        archive.finish().at("writing the layer of", upper)?;
        Ok(walk.entries)
    })
}

/// Writes the whole tree below `root` as a tar; `path` is for messages. Nothing is a mark.
pub(crate) fn whole(
    root: &OwnedFd,
    path: &Path,
    ids: Option<IdRange>,
    out: &mut dyn std::io::Write,
) -> Result<u64> {
    let mut archive = tar::Writer::new(out);
    let mut walk = tree::Walk::new(path, Times::Kept, ids);
    walk.write(root, &mut archive)?;
    archive.finish().at("writing the tar of", path)?;
    Ok(walk.entries)
}

pub(crate) use changes::changes;
pub(crate) use tree::ROOT_MODE;

#[cfg(test)]
mod exchanged;
#[cfg(test)]
mod tests;
