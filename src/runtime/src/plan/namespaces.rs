//! Stage 1: cgroups of v1, namespaces new and joined, the id maps' moment.
//!
//! The usual case is one clone into everything new, then setns into what is joined. With a user
//! namespace *and* a namespace to join, privileges decide the order: a new user namespace comes
//! after the joins (it has no say over them), a joined one before; what is new beside them belongs
//! to that user namespace and needs a second process. So does a time namespace with offsets: they
//! are written before anybody is in it. A PID namespace is joined by the parent, or by the first
//! of two processes, whose numbers are the parent's.

use std::path::Path;

use child::Op;
use oci::runtime::{LinuxNamespace, LinuxNamespaceType as Kind, LinuxTimeOffset, Spec};

use super::{Facts, point};
use crate::draft::{Draft, Source};
use crate::idmaps::{Users, lines};

/// Where the child is to be born.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Birthplace {
    /// CLONE_NEW* flags of the clone.
    pub(crate) flags: u64,
    /// The child makes a user namespace and waits for its id maps.
    pub(crate) mapped: bool,
    /// The child is in a user namespace of any kind.
    pub(crate) user: bool,
    /// The CPUs that it may use at first, a bit each.
    pub(crate) cpus: Option<Vec<u8>>,
    /// The caller may not clone trees for the child, nor enter namespaces before it.
    pub(crate) unprivileged: bool,
    /// setgroups(2) is forbidden in the user namespace.
    pub(crate) no_groups: bool,
    /// How the user namespace maps ids.
    pub(crate) users: Option<Users>,
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

fn join(draft: &mut Draft, spec: &Spec, kind: Kind, path: &Path) {
    let (slot, kind) = slot(draft, spec, kind, path);
    draft.op(Op::Setns { slot, kind });
}

fn slot(draft: &mut Draft, spec: &Spec, kind: Kind, path: &Path) -> (u16, u32) {
    let (path, changed_by) = (path.to_owned(), changed_by(spec, kind));
    let kind = flag(kind);
    (draft.slot(Source::Namespace { path, kind, changed_by }), kind)
}

/// The field that would change a namespace which is joined.
fn changed_by(spec: &Spec, kind: Kind) -> Option<String> {
    let named = |field: &str, name: &Option<String>| {
        let given = kind == Kind::Uts && name.as_ref().is_some_and(|name| !name.is_empty());
        given.then(|| field.to_owned())
    };
    let sysctls = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let keys = sysctls.into_iter().flatten().map(|(key, _)| key);
    let of_kind = |key: &&String| oci::validate::sysctl_namespace(key) == Some(kind);
    let sysctl = keys.filter(of_kind).min().map(|key| format!("linux.sysctl[{key:?}]"));
    sysctl
        .or_else(|| named("hostname", spec.hostname()))
        .or_else(|| named("domainname", spec.domainname()))
}

/// Whether the child may join a network namespace that is made beside it, and have the caller's
/// until then. It has to be the caller's user namespace's own, and nobody may see the child by whom
/// it could be taken while it is in the host's network.
pub(crate) fn network_may_be_late(spec: &Spec, unprivileged: bool) -> bool {
    let new = |kind| super::has_new(spec, kind);
    let alone = new(Kind::Pid) && !super::has_user_namespace(spec) && offsets(spec).is_none();
    alone && new(Kind::Network) && !unprivileged
}

/// Plans the namespaces; nothing of the root is touched.
pub(super) fn plan(draft: &mut Draft, spec: &Spec, facts: &Facts<'_>) -> Birthplace {
    let Facts { tasks, unprivileged, late_network: late, .. } = *facts;
    let all = of(spec);
    let fresh = |kind| all.iter().any(|n| n.typ() == kind && path(n).is_none());
    let joined: Vec<(Kind, &Path)> =
        all.iter().filter_map(|n| path(n).map(|p| (n.typ(), p))).collect();
    let by_path = |kind| joined.iter().find(|(k, _)| *k == kind).map(|(_, p)| *p);
    let offsets = offsets(spec).filter(|_| fresh(Kind::Time));
    let mut birth = Birthplace {
        mapped: fresh(Kind::User),
        unprivileged,
        no_groups: super::keeps_groups(spec) || facts.no_groups,
        user: fresh(Kind::User) || by_path(Kind::User).is_some(),
        users: match by_path(Kind::User) {
            Some(path) => Some(Users::Joined(path.to_path_buf())),
            None => fresh(Kind::User).then(|| own_users(spec)),
        },
        ..Birthplace::default()
    };
    let new = all
        .iter()
        .filter(|n| path(n).is_none() && !matches!(n.typ(), Kind::Cgroup | Kind::User))
        .filter(|n| n.typ() != Kind::Time || offsets.is_none())
        .filter(|n| n.typ() != Kind::Network || !late)
        .fold(0, |flags, n| flags | namespace_flag(n.typ()));
    // For the time in which the root is set up.
    let new = if super::shares_mounts(spec) { new | namespace_flag(Kind::Mount) } else { new };
    enter_cgroups(draft, tasks);
    let in_user = birth.user && !joined.is_empty();
    // Who is born into a PID namespace that has others in it is seen by them before its execve,
    // with the runtime's program and memory (CVE-2019-5736): it enters with a second clone.
    if in_user || offsets.is_some() || by_path(Kind::Pid).is_some() {
        staged(draft, spec, (&joined, &birth), offsets.as_deref());
        draft.op(Op::Fork { flags: new });
    } else {
        birth.flags = new | if birth.mapped { namespace_flag(Kind::User) } else { 0 };
        joined.iter().for_each(|(kind, path)| join(draft, spec, *kind, path));
        if birth.mapped {
            take_maps(draft, &birth);
        }
    }
    if fresh(Kind::Cgroup) {
        // It shows the cgroup it was made in: after that has been entered.
        draft.op(Op::Unshare { flags: flag(Kind::Cgroup) });
    }
    if late {
        draft.join_network_late();
    } else if fresh(Kind::Network) {
        draft.op(Op::Loopback);
    }
    if !crate::netdevices::of(spec).is_empty() {
        draft.op(Op::Sync { point: point::LINKS, tell: true });
    }
    birth
}

/// What the first of two processes does.
fn staged(
    draft: &mut Draft,
    spec: &Spec,
    (joined, birth): (&[(Kind, &Path)], &Birthplace),
    offsets: Option<&str>,
) {
    let mapped = birth.mapped;
    let first = |kind: Kind| joined.iter().filter(move |(k, _)| *k == kind);
    // With the privileges of the caller, which a user namespace would take away.
    first(Kind::Pid).for_each(|(kind, path)| join(draft, spec, *kind, path));
    if let Some(offsets) = offsets.filter(|_| !mapped) {
        new_time(draft, offsets);
    }
    // Not each has to be of the user namespace that is joined.
    if joined.iter().any(|(kind, _)| *kind == Kind::User) {
        let early = |kind: &Kind| !matches!(kind, Kind::Pid | Kind::User | Kind::Mount);
        for (kind, path) in joined.iter().filter(|(kind, _)| early(kind)) {
            let (slot, kind) = slot(draft, spec, *kind, path);
            draft.op(Op::TrySetns { slot, kind });
        }
    }
    for (kind, path) in first(Kind::User) {
        join(draft, spec, *kind, path);
        draft.op(Op::BecomeRoot { groups: !birth.no_groups });
    }
    let others = joined.iter().filter(|(kind, _)| !matches!(kind, Kind::Pid | Kind::User));
    others.for_each(|(kind, path)| join(draft, spec, *kind, path));
    if mapped {
        draft.op(Op::Unshare { flags: flag(Kind::User) });
        // Before the change of ids closes the process's own procfs to it.
        if let Some(offsets) = offsets {
            new_time(draft, offsets);
        }
        take_maps(draft, birth);
    }
}

/// The next process will be in a time namespace of these offsets.
fn new_time(draft: &mut Draft, offsets: &str) {
    draft.op(Op::Unshare { flags: flag(Kind::Time) });
    let length = u32::try_from(offsets.len()).unwrap_or(u32::MAX);
    let (path, text) = (draft.text("/proc/self/timens_offsets"), draft.text(offsets));
    draft.op(Op::Write { path, text, length });
}

/// The lines of timens_offsets; none when no clock is moved.
fn offsets(spec: &Spec) -> Option<String> {
    let offsets = spec.linux().as_ref()?.time_offsets().as_ref()?;
    let mut moved: Vec<(&String, i64, u32)> = offsets
        .iter()
        .map(|(clock, offset): (_, &LinuxTimeOffset)| {
            (clock, offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0))
        })
        .filter(|(_, seconds, nanoseconds)| (*seconds, *nanoseconds) != (0, 0))
        .collect();
    moved.sort();
    let lines = moved.iter().map(|(clock, s, ns)| format!("{clock} {s} {ns}\n"));
    Some(lines.collect()).filter(|text: &String| !text.is_empty())
}

/// The maps of a new user namespace.
fn own_users(spec: &Spec) -> Users {
    let linux = spec.linux().as_ref();
    let uids = linux.and_then(|l| l.uid_mappings().as_deref()).unwrap_or_default();
    let gids = linux.and_then(|l| l.gid_mappings().as_deref()).unwrap_or_default();
    Users::New { uids: lines(uids), gids: lines(gids) }
}

fn flag(kind: Kind) -> u32 {
    u32::try_from(namespace_flag(kind)).unwrap_or(0)
}

fn take_maps(draft: &mut Draft, birth: &Birthplace) {
    draft.op(Op::Sync { point: point::MAPS, tell: true });
    draft.op(Op::BecomeRoot { groups: !birth.no_groups });
}
