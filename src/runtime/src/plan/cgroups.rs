//! A mount of type cgroup: what a container sees of its cgroups.
//!
//! On v1 and hybrid hosts a tmpfs with one folder a hierarchy and links for joint controllers; on
//! v2 one cgroup2 mount. With a cgroup namespace of its own the hierarchies are mounted afresh, so
//! that they begin at the container's cgroup; without one, that cgroup's folders are bound: the
//! caller's, where the container has none of its own. On v2 those of a user namespace alone; else
//! the host's mount is, for its paths are those of /proc/self/cgroup.

use std::path::{Path, PathBuf};

use child::{Attributes, Keep, NO_SLOT, Op, Text};

use super::Facts;
use super::options::Options;
use crate::cgroup::{Hierarchy, Mode};
use crate::draft::Draft;

const TMPFS_FLAGS: u64 = sys::abi::MS_NOSUID | sys::abi::MS_NODEV | sys::abi::MS_NOEXEC;

/// Plans the mount.
pub(super) fn plan(
    draft: &mut Draft,
    destination: &Path,
    options: &Options,
    (facts, label, user): (&Facts<'_>, Option<&str>, bool),
) {
    let target = draft.path(destination);
    if facts.layout.mode() == Mode::V2 {
        return match facts.layout.hierarchies().iter().find(|hierarchy| hierarchy.v2) {
            Some(host) if !facts.cgroup_namespace => {
                let path = if user { folder(host, facts) } else { host.mount.clone() };
                bound(draft, target, &path, options.flags);
            }
            _ => afresh(draft, target, options.flags),
        };
    }
    let (source, kind) = (draft.text("tmpfs"), draft.text("tmpfs"));
    let data = draft.text(super::mounts::labelled("mode=755", label));
    draft.op(Op::Mount {
        target,
        source,
        kind,
        flags: TMPFS_FLAGS,
        options: data,
        firm: true,
        inherit: false,
        keep: Keep::Next,
    });
    draft.op(Op::Enter { target });
    let flags = options.flags | TMPFS_FLAGS;
    for hierarchy in facts.layout.hierarchies() {
        one(draft, hierarchy, flags, facts);
    }
    if options.flags & sys::abi::MS_RDONLY != 0 {
        let set = sys::abi::MOUNT_ATTR_RDONLY;
        let attributes = Attributes { set, ..Attributes::default() };
        draft.op(Op::Change { target, attributes, recursive: false });
    }
}

/// Made apart: where cgroup2 is mounted already, as below the host's /sys, mount(2) refuses it with
/// EBUSY, and a mount that is moved there is fine.
fn afresh(draft: &mut Draft, target: Text, flags: u64) {
    let (source, kind) = (draft.text("cgroup"), draft.text("cgroup2"));
    let (options, keep) = (draft.text(""), Keep::Next);
    let (firm, inherit) = (true, false);
    draft.op(Op::Mount { target, source, kind, flags, options, firm, inherit, keep });
}

/// Not mounted afresh: without a cgroup namespace the kernel would take the mount's options for the
/// whole host's (nsdelegate and its like), and in a user namespace it allows none.
fn bound(draft: &mut Draft, target: Text, path: &Path, flags: u64) {
    let source = draft.path(path);
    draft.op(Op::Bind {
        target,
        source,
        slot: NO_SLOT,
        recursive: false,
        mapped: false,
        own: Attributes { set: attributes(flags), ..Attributes::default() },
        implied: 0,
        deep: Attributes::default(),
    });
}

/// The folder of the container's cgroup, or of the one that it is left in.
fn folder(hierarchy: &Hierarchy, facts: &Facts<'_>) -> PathBuf {
    let own = facts.cgroup.and_then(|path| hierarchy.folder(path).ok());
    own.unwrap_or_else(|| hierarchy.own_folder())
}

/// Of a cgroup's folder that is bound.
fn attributes(flags: u64) -> u64 {
    let readonly = if flags & sys::abi::MS_RDONLY != 0 { sys::abi::MOUNT_ATTR_RDONLY } else { 0 };
    readonly
        | sys::abi::MOUNT_ATTR_NOSUID
        | sys::abi::MOUNT_ATTR_NODEV
        | sys::abi::MOUNT_ATTR_NOEXEC
}

fn one(draft: &mut Draft, hierarchy: &Hierarchy, flags: u64, facts: &Facts<'_>) {
    let named: Vec<&str> =
        hierarchy.controllers.iter().filter_map(|c| c.strip_prefix("name=")).collect();
    let joint = hierarchy.controllers.join(",");
    // The usual names, whatever the host's mount points are called.
    let name = match (hierarchy.v2, named.first()) {
        (true, _) => "unified".to_owned(),
        (false, Some(name)) => (*name).to_owned(),
        (false, None) => joint.clone(),
    };
    let at = draft.text(&name);
    if facts.cgroup_namespace {
        let source = draft.text("cgroup");
        let kind = draft.text(if hierarchy.v2 { "cgroup2" } else { "cgroup" });
        let options = match (hierarchy.v2, named.is_empty()) {
            (true, _) => String::new(),
            (false, true) => joint,
            (false, false) => format!("none,{joint}"),
        };
        let options = draft.text(options);
        draft.op(Op::MountHere { name: at, source, kind, flags, options });
    } else {
        let source = draft.path(&folder(hierarchy, facts));
        draft.op(Op::BindHere { name: at, source, set: attributes(flags) });
    }
    let alone = hierarchy.controllers.len() < 2 || hierarchy.v2;
    for controller in hierarchy.controllers.iter().filter(|_| !alone) {
        let (link, to) = (draft.text(controller), draft.text(&name));
        draft.op(Op::LinkHere { name: link, to, replace: false });
    }
}
