//! A mount of type cgroup: what a container sees of its cgroups.
//!
//! On v1 and hybrid hosts a tmpfs with one folder a hierarchy and links for joint controllers; on
//! v2 one cgroup2 mount. With a cgroup namespace of its own the hierarchies are mounted afresh, so
//! that they begin at the container's cgroup; without one, that cgroup's folders are bound: the
//! caller's, where the container has none of its own. On v2 those of a user namespace alone; else
//! the host's mount is, for its paths are those of /proc/self/cgroup.

use std::path::{Path, PathBuf};

use child::{Attributes, Keep, Links, NO_SLOT, Op, Text};
use oci::runtime::{LinuxNamespaceType, Mount, Spec};

use super::options::Options;
use super::{Facts, absolute};
use crate::cgroup::{Hierarchy, Layout, Mode};
use crate::draft::Draft;

const TMPFS_FLAGS: u64 = sys::abi::MS_NOSUID | sys::abi::MS_NODEV | sys::abi::MS_NOEXEC;

/// Whether the mount shows cgroups.
pub(super) fn is_cgroup(mount: &Mount) -> bool {
    matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"))
}

/// The folders that such mounts bind: where, and which. None with a cgroup namespace.
pub(crate) fn folders(
    spec: &Spec,
    layout: &Layout,
    cgroup: Option<&str>,
) -> Vec<(PathBuf, PathBuf)> {
    if super::kinds(spec) & super::namespace_flag(LinuxNamespaceType::Cgroup) != 0 {
        return Vec::new();
    }
    let v2 = layout.mode() == Mode::V2;
    let user = super::has_user_namespace(spec);
    let of = |mount: &Mount| {
        let place = absolute(mount.destination());
        let one = |hierarchy: &Hierarchy| match v2 {
            true => (place.clone(), whole(hierarchy, cgroup, user)),
            false => (place.join(name(hierarchy)), folder(hierarchy, cgroup)),
        };
        layout.hierarchies().iter().map(one).collect::<Vec<_>>()
    };
    spec.mounts().iter().flatten().filter(|mount| is_cgroup(mount)).flat_map(of).collect()
}

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
                bound(draft, target, &whole(host, facts.cgroup, user), options.flags);
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
        firm: false,
        target,
        source,
        slot: NO_SLOT,
        recursive: false,
        mapped: false,
        links: Links::default(),
        own: Attributes { set: attributes(flags), ..Attributes::default() },
        implied: 0,
        deep: Attributes::default(),
    });
}

/// What stands for all of v2.
fn whole(host: &Hierarchy, cgroup: Option<&str>, user: bool) -> PathBuf {
    if user { folder(host, cgroup) } else { host.mount.clone() }
}

/// The folder of the container's cgroup, or of the one that it is left in.
fn folder(hierarchy: &Hierarchy, cgroup: Option<&str>) -> PathBuf {
    let own = cgroup.and_then(|path| hierarchy.folder(path).ok());
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

/// The usual names, whatever the host's mount points are called.
fn name(hierarchy: &Hierarchy) -> String {
    let named = hierarchy.controllers.iter().find_map(|c| c.strip_prefix("name="));
    match (hierarchy.v2, named) {
        (true, _) => "unified".to_owned(),
        (false, Some(name)) => name.to_owned(),
        (false, None) => hierarchy.controllers.join(","),
    }
}

fn one(draft: &mut Draft, hierarchy: &Hierarchy, flags: u64, facts: &Facts<'_>) {
    let joint = hierarchy.controllers.join(",");
    let name = name(hierarchy);
    let at = draft.text(&name);
    if facts.cgroup_namespace {
        let source = draft.text("cgroup");
        let kind = draft.text(if hierarchy.v2 { "cgroup2" } else { "cgroup" });
        let named = joint.contains("name=");
        let options = match (hierarchy.v2, named) {
            (true, _) => String::new(),
            (false, false) => joint,
            (false, true) => format!("none,{joint}"),
        };
        let options = draft.text(options);
        draft.op(Op::MountHere { name: at, source, kind, flags, options });
    } else {
        let source = draft.path(&folder(hierarchy, facts.cgroup));
        draft.op(Op::BindHere { name: at, source, set: attributes(flags) });
    }
    let alone = hierarchy.controllers.len() < 2 || hierarchy.v2;
    for controller in hierarchy.controllers.iter().filter(|_| !alone) {
        let (link, to) = (draft.text(controller), draft.text(&name));
        draft.op(Op::LinkHere { name: link, to, replace: false });
    }
}
