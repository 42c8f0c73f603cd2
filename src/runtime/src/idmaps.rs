//! Id maps: those of the container's user namespace, and those of id-mapped mounts.
//!
//! The parent writes the first into the waiting child's procfs. For a mount it makes a user
//! namespace with the maps asked for, which lives as long as its descriptor, and maps the detached
//! tree before the child gets it: in a user namespace of its own the child could not.
//! Sources: user_namespaces(7), mount_setattr(2). Root writes maps as they are; setgroups stays
//! allowed.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use child::Op;
use oci::runtime::{LinuxIdMapping, Spec};
use sys::launch::{Birth, Compiled, above_stdio};

use crate::error::{Error, Result};

/// How the owners of a mount's files are mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The mounts below, too.
    pub(crate) deep: bool,
    pub(crate) by: Users,
}

/// A user namespace to map by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Users {
    /// One with these maps, as uid_map and gid_map take them.
    New { uids: String, gids: String },
    /// This one.
    Joined(PathBuf),
}

/// User namespaces that mounts have been mapped by: one serves all mounts of the same maps.
#[derive(Default)]
pub(crate) struct Known(Vec<(Users, OwnedFd)>);

impl Known {
    /// A detached clone of the tree at `path` with its owners mapped.
    pub(crate) fn tree(&mut self, path: &Path, deep: bool, map: &Mapping) -> Result<OwnedFd> {
        let tree = sys::tree::clone(path, deep).and_then(above_stdio);
        let tree = tree.map_err(Error::io("open", path))?;
        if !self.0.iter().any(|(users, _)| *users == map.by) {
            let made = match &map.by {
                Users::New { uids, gids } => namespace(uids, gids)?,
                Users::Joined(path) => {
                    sys::tree::namespace(path).map_err(Error::io("open namespace", path))?
                }
            };
            self.0.push((map.by.clone(), made));
        }
        let users = self.0.iter().find(|(users, _)| *users == map.by);
        if let Some((_, users)) = users {
            let mapped = sys::tree::map_ids(tree.as_fd(), users.as_fd(), map.deep);
            mapped.map_err(Error::io("map the ids of", path))?;
        }
        Ok(tree)
    }
}

/// A user namespace with these maps.
fn namespace(uids: &str, gids: &str) -> Result<OwnedFd> {
    let clone = |source| Error::Clone { source };
    let user = u64::from(sys::abi::CLONE_NEWUSER.cast_unsigned());
    // It has nothing to do but to be there.
    let ops = vec![Op::Sync { point: crate::plan::point::MAPS, tell: true }];
    let program = Compiled { ops, ..Compiled::default() };
    let birth = Birth { namespaces: user, ..Birth::default() };
    let holder = sys::launch::launch(&program, &[], &birth).map_err(clone)?;
    let path = PathBuf::from(format!("/proc/{}/ns/user", holder.pid));
    let found = write_both(holder.pid, uids, gids).and_then(|()| {
        let file = sys::tree::namespace(&path).and_then(above_stdio);
        file.map_err(Error::io("open namespace", path))
    });
    holder.destroy();
    found
}

/// Writes the maps of the process's user namespace.
pub(crate) fn write(spec: &Spec, pid: i32) -> Result<()> {
    let Some(linux) = spec.linux() else { return Ok(()) };
    let text = |maps: &Option<Vec<_>>| lines(maps.as_deref().unwrap_or_default());
    write_both(pid, &text(linux.uid_mappings()), &text(linux.gid_mappings()))
}

fn write_both(pid: i32, uids: &str, gids: &str) -> Result<()> {
    for (file, text) in [("uid_map", uids), ("gid_map", gids)] {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, text).map_err(Error::io("write", path))?;
    }
    Ok(())
}

/// As the kernel takes them.
pub(crate) fn lines(maps: &[LinuxIdMapping]) -> String {
    let line =
        |map: &LinuxIdMapping| format!("{} {} {}\n", map.container_id(), map.host_id(), map.size());
    maps.iter().map(line).collect()
}
