//! Id maps: those of the container's user namespace, and those of id-mapped mounts.
//!
//! The parent writes the first into the waiting child's procfs. For a mount it makes a user
//! namespace with the maps asked for, which lives as long as its descriptor, and maps the detached
//! tree before the child gets it: in a user namespace of its own the child could not.
//! Sources: user_namespaces(7), mount_setattr(2). Root writes maps as they are; setgroups stays
//! allowed. Others map their own id, or what newuidmap(1) lets them.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use child::Op;
use oci::Finding;
use oci::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Process, Spec};
use sys::launch::{Birth, Compiled, above_stdio};
use sys::overlay::Unmade;

use crate::draft::Layers;
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
    /// Maps the owners of a detached tree, cloned from `path`.
    pub(crate) fn map(&mut self, tree: BorrowedFd<'_>, path: &Path, map: &Mapping) -> Result<()> {
        let users = self.namespace(&map.by)?;
        sys::tree::map_ids(tree, users, map.deep).map_err(unmapped(path))
    }

    /// An overlay whose layers' owners are mapped, attached nowhere.
    pub(crate) fn overlay(&mut self, layers: &Layers, by: &Users) -> Result<OwnedFd> {
        let users = self.namespace(by)?;
        let Layers { lower, upper, work } = layers;
        let upper = sys::overlay::Upper { changes: upper, work };
        sys::overlay::mapped(lower, upper, users).map_err(|failed| match failed {
            Unmade::Layer(path, source) => unmapped(&path)(source),
            Unmade::Overlay(source) => Error::io("mount the overlay of", upper.changes)(source),
        })
    }

    fn namespace(&mut self, by: &Users) -> Result<BorrowedFd<'_>> {
        let known = self.0.iter().position(|(users, _)| users == by);
        let at = match known {
            Some(at) => at,
            None => {
                let made = match by {
                    Users::New { uids, gids } => namespace(uids, gids)?,
                    Users::Joined(path) => {
                        sys::tree::namespace(path).map_err(Error::io("open namespace", path))?
                    }
                };
                self.0.push((by.clone(), made));
                self.0.len() - 1
            }
        };
        let (_, users) = &self.0[at];
        Ok(users.as_fd())
    }
}

/// mount_setattr(2) says EINVAL alone for a file system that cannot do it.
fn unmapped(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let failed = Error::io("map the ids of", path);
    move |source| match source.kind() {
        ErrorKind::InvalidInput => failed(io::Error::other(
            "its file system has no id-mapped mounts (ext4, xfs and btrfs have, tmpfs from Linux \
             6.3 on, overlayfs has not)",
        )),
        _ => failed(source),
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
    if sys::seqpacket::own_uid() != 0 {
        return write_own(linux, pid);
    }
    write_both(pid, &text(linux.uid_mappings()), &text(linux.gid_mappings()))
}

/// Without privileges: the caller's own id by itself, more of them by the programs that check
/// /etc/subuid and /etc/subgid.
fn write_own(linux: &Linux, pid: i32) -> Result<()> {
    let kinds = [
        ("uid_map", "newuidmap", linux.uid_mappings(), sys::seqpacket::own_uid()),
        ("gid_map", "newgidmap", linux.gid_mappings(), sys::foreground::own_gid()),
    ];
    for (file, program, maps, own) in kinds {
        let maps = maps.as_deref().unwrap_or_default();
        let path = format!("/proc/{pid}/{file}");
        if !matches!(maps, [map] if map.size() == 1 && map.host_id() == own) {
            map_by(program, pid, maps)?;
            continue;
        }
        if file == "gid_map" {
            let path = format!("/proc/{pid}/setgroups");
            fs::write(&path, "deny").map_err(Error::io("write", path))?;
        }
        fs::write(&path, lines(maps)).map_err(Error::io("write", path))?;
    }
    Ok(())
}

fn map_by(program: &'static str, pid: i32, maps: &[LinuxIdMapping]) -> Result<()> {
    let numbers = maps.iter().flat_map(|map| [map.container_id(), map.host_id(), map.size()]);
    let mut command = Command::new(program);
    command.arg(pid.to_string()).args(numbers.map(|number| number.to_string()));
    let out = command.output().map_err(Error::io("run", program))?;
    if out.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    Err(Error::io("run", program)(io::Error::other(words)))
}

/// Whether setgroups(2) is forbidden: to the caller, or because it has no privileges to write these
/// maps otherwise.
pub(crate) fn denies_groups(spec: &Spec) -> bool {
    if sys::seqpacket::own_uid() == 0 {
        // Not asked of procfs where the answer is no, as it nearly always is.
        return !sys::machine::may_set_groups() && denied_to("self");
    }
    let new = crate::plan::has_new(spec, LinuxNamespaceType::User);
    let maps = spec.linux().as_ref().and_then(|linux| linux.gid_mappings().as_deref());
    new && matches!(maps, Some([map]) if map.size() == 1)
}

/// Whether it is forbidden in a process's user namespace.
pub(crate) fn denied_to(pid: impl std::fmt::Display) -> bool {
    let said = sys::kernel_file::read(format!("/proc/{pid}/setgroups"));
    said.is_ok_and(|text| text.trim() == "deny")
}

/// Groups that nobody may set are refused, not left out.
pub(crate) fn refuse_groups(process: Option<&Process>) -> Result<()> {
    let groups = process.and_then(|process| process.user().additional_gids().as_deref());
    if groups.unwrap_or_default().is_empty() {
        return Ok(());
    }
    let path = "process.user.additionalGids".to_owned();
    let problem = "cannot be set by an unprivileged user with a single group: map more, which \
                   newgidmap does"
        .to_owned();
    Err(Error::Invalid { what: "user".to_owned(), findings: vec![Finding { path, problem }] })
}

pub(crate) fn write_both(pid: i32, uids: &str, gids: &str) -> Result<()> {
    for (file, text) in [("uid_map", uids), ("gid_map", gids)] {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, text).map_err(Error::io("write", path))?;
    }
    Ok(())
}

/// The host's id of one in the user namespace of these maps.
pub(crate) fn host_id(maps: &[LinuxIdMapping], id: u32) -> Option<u32> {
    maps.iter().find_map(|map| {
        let at = id.checked_sub(map.container_id()).filter(|at| *at < map.size())?;
        map.host_id().checked_add(at)
    })
}

/// As the kernel takes them.
pub(crate) fn lines(maps: &[LinuxIdMapping]) -> String {
    let line =
        |map: &LinuxIdMapping| format!("{} {} {}\n", map.container_id(), map.host_id(), map.size());
    maps.iter().map(line).collect()
}
