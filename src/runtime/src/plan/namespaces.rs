//! Stage 1: cgroups of v1, namespaces new and joined, the id maps' moment.
//!
//! The usual case is one clone into everything new, then setns into what is joined. With a user
//! namespace *and* a namespace to join, privileges decide the order: a new user namespace comes
//! after the joins (it has no say over them), a joined one before; what is new beside them belongs
//! to that user namespace and needs a second process.

use std::path::{Path, PathBuf};

use child::Op;
use oci::runtime::{LinuxNamespace, LinuxNamespaceType as Kind, Spec};

use super::point;
use crate::draft::{Draft, Source};

/// Where the child is to be born.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Birthplace {
    /// CLONE_NEW* flags of the clone.
    pub(crate) flags: u64,
    /// A PID namespace to be born into.
    pub(crate) pid_namespace: Option<PathBuf>,
    /// It is born into the PID namespace of the process whose namespaces it joins.
    pub(crate) joins_pid: bool,
    /// The child makes a user namespace and waits for its id maps.
    pub(crate) mapped: bool,
    /// The child is in a user namespace of any kind.
    pub(crate) user: bool,
}

/// CLONE_NEW* of a kind.
pub(crate) fn namespace_flag(kind: Kind) -> u64 {
    let flag = match kind {
        Kind::Mount => sys::abi::CLONE_NEWNS,
        Kind::Cgroup => sys::abi::CLONE_NEWCGROUP,
        Kind::Uts => sys::abi::CLONE_NEWUTS,
        Kind::Ipc => sys::abi::CLONE_NEWIPC,
        Kind::User => sys::abi::CLONE_NEWUSER,
        Kind::Pid => sys::abi::CLONE_NEWPID,
        Kind::Network => sys::abi::CLONE_NEWNET,
        Kind::Time => sys::abi::CLONE_NEWTIME,
    };
    u64::from(flag.cast_unsigned())
}

/// The document's namespaces.
pub(super) fn of(spec: &Spec) -> &[LinuxNamespace] {
    spec.linux().as_ref().and_then(|l| l.namespaces().as_deref()).unwrap_or_default()
}

fn path(namespace: &LinuxNamespace) -> Option<&Path> {
    namespace.path().as_deref().filter(|p| !p.as_os_str().is_empty())
}

/// Moves the child into the v1 hierarchies.
pub(super) fn enter_cgroups(draft: &mut Draft, tasks: usize) {
    let Ok(count @ 1..) = u16::try_from(tasks) else { return };
    let first = draft.slot(Source::Tasks(0));
    for number in 1..tasks {
        draft.slot(Source::Tasks(number));
    }
    draft.op(Op::EnterCgroups { first, count });
}

fn join(draft: &mut Draft, kind: Kind, path: &Path) {
    let flag = u32::try_from(namespace_flag(kind)).unwrap_or(0);
    let slot = draft.slot(Source::Namespace { path: path.to_owned(), kind: flag });
    draft.op(Op::Setns { slot, kind: flag });
}

/// Plans the namespaces; nothing of the root is touched.
pub(super) fn plan(draft: &mut Draft, spec: &Spec, tasks: usize) -> Birthplace {
    let all = of(spec);
    let fresh = |kind| all.iter().any(|n| n.typ() == kind && path(n).is_none());
    let joined: Vec<(Kind, &Path)> =
        all.iter().filter_map(|n| path(n).map(|p| (n.typ(), p))).collect();
    let user = joined.iter().find(|(kind, _)| *kind == Kind::User).map(|(_, p)| *p);
    let others = || joined.iter().filter(|(k, _)| !matches!(k, Kind::User | Kind::Pid));
    // A cgroup namespace shows the cgroup it was made in: after that has been entered.
    let cgroup = u32::try_from(namespace_flag(Kind::Cgroup)).unwrap_or(0);
    let new = all
        .iter()
        .filter(|n| path(n).is_none() && !matches!(n.typ(), Kind::Cgroup | Kind::User))
        .fold(0, |flags, n| flags | namespace_flag(n.typ()));
    let mut birth = Birthplace {
        pid_namespace: joined.iter().find(|(k, _)| *k == Kind::Pid).map(|(_, p)| p.to_path_buf()),
        mapped: fresh(Kind::User),
        user: fresh(Kind::User) || user.is_some(),
        ..Birthplace::default()
    };
    enter_cgroups(draft, tasks);
    let staged = user.is_some() || birth.mapped && !joined.is_empty();
    if !staged {
        birth.flags = new | if birth.mapped { namespace_flag(Kind::User) } else { 0 };
        others().for_each(|(kind, path)| join(draft, *kind, path));
        if birth.mapped {
            take_maps(draft);
        }
    } else {
        if let Some(path) = user {
            join(draft, Kind::User, path);
            draft.op(Op::BecomeRoot { groups: true });
        }
        others().for_each(|(kind, path)| join(draft, *kind, path));
        if birth.mapped {
            let flags = u32::try_from(namespace_flag(Kind::User)).unwrap_or(0);
            draft.op(Op::Unshare { flags });
            take_maps(draft);
        }
        draft.op(Op::Fork { flags: new });
    }
    if fresh(Kind::Cgroup) {
        draft.op(Op::Unshare { flags: cgroup });
    }
    birth
}

fn take_maps(draft: &mut Draft) {
    draft.op(Op::Sync { point: point::MAPS, tell: true });
    draft.op(Op::BecomeRoot { groups: true });
}
