//! A mount of type cgroup: what a container sees of its cgroups.
//!
//! On v1 and hybrid hosts a tmpfs with one folder a hierarchy and links for joint controllers; on
//! v2 one cgroup2 mount. With a cgroup namespace of its own the hierarchies are mounted afresh, so
//! that they begin at the container's cgroup; without one, that cgroup's folders are bound (on v2
//! in a user namespace, where nothing else is allowed).

use std::path::Path;

use child::{Attributes, Keep, NO_SLOT, Op};

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
        let own = facts.layout.hierarchies().iter().find(|hierarchy| hierarchy.v2);
        // The kernel mounts cgroup2 for who owns the cgroup namespace.
        let own = own.filter(|_| user && !facts.cgroup_namespace);
        if let Some(path) = own.and_then(|own| own.folder(facts.cgroup).ok()) {
            let source = draft.path(&path);
            let own = Attributes { set: attributes(options.flags), ..Attributes::default() };
            let (slot, deep) = (NO_SLOT, Attributes::default());
            return draft.op(Op::Bind {
                target,
                source,
                slot,
                recursive: false,
                mapped: false,
                own,
                implied: 0,
                deep,
            });
        }
        let (source, kind) = (draft.text("cgroup"), draft.text("cgroup2"));
        let (flags, data) = (options.flags, draft.text(""));
        return draft.op(Op::Mount {
            target,
            source,
            kind,
            flags,
            options: data,
            firm: true,
            inherit: false,
            keep: Keep::No,
        });
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
    } else if let Ok(path) = hierarchy.folder(facts.cgroup) {
        let source = draft.path(&path);
        draft.op(Op::BindHere { name: at, source, set: attributes(flags) });
    }
    let alone = hierarchy.controllers.len() < 2 || hierarchy.v2;
    for controller in hierarchy.controllers.iter().filter(|_| !alone) {
        let (link, to) = (draft.text(controller), draft.text(&name));
        draft.op(Op::LinkHere { name: link, to, replace: false });
    }
}
