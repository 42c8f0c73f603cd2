//! From config.json and what the caller wants to the child's program. Pure.
//!
//! [`container`] is the whole of `create` and `run`; [`joined`] that of `exec`. The parts in the
//! order of the program: `namespaces` (stage 1), `root`, `mounts`, `cgroups`, `devices` (stage 2),
//! `process` (stages 3 and 4). `options` reads fstab-style words, `words` tells what an operation
//! is about when it has failed.
//!
//! Invariants: everything that needs the host's view of files stands before the pivot; the command
//! is looked for as the user it will be, and before a filter may forbid looking.

mod cgroups;
mod devices;
mod landlock;
mod mounts;
mod namespaces;
mod options;
mod process;
mod root;
mod schedule;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci::runtime::{LinuxNamespaceType, Mount, Process, Spec};

use crate::cgroup::Layout;
use crate::draft::{Draft, Source};
use crate::idmaps::Users;
use crate::readiness;

pub(crate) use cgroups::folders as cgroup_folders;
pub(crate) use devices::bound as bound_devices;
pub(crate) use mounts::{absolute, is_bind};
pub(crate) use namespaces::{Birthplace, namespace_flag, network_may_be_late};
pub(crate) use options::{known as mount_options, unknown as unknown_options};
pub(crate) use process::{leave_a_descriptor, listens, loads_filter};
pub(crate) use words::{place, step};

/// crun's annotation; podman's `--group-add keep-groups` writes it.
pub(crate) const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// Points at which the child waits for the parent, as [`child::Op::Sync`] tells them.
pub(crate) mod point {
    /// `find` has found the command.
    pub(crate) const READY: u32 = 0;
    /// The user namespace is there: its id maps can be written.
    pub(crate) const MAPS: u32 = 1;
    /// The network namespace is there: links can be moved into it.
    pub(crate) const LINKS: u32 = 4;
    /// The namespaces and the root are there: hooks can run.
    pub(crate) const HOOKS: u32 = 2;
    /// All but the command: what precedes it can run.
    pub(crate) const BEGIN: u32 = 3;
    /// The mounts of a container that lives are as they were asked for.
    pub(crate) const MOUNTED: u32 = 5;
}

/// Where the root file system comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rootfs {
    /// `root.path` of config.json.
    #[default]
    Bundle,
    /// An overlay, mounted in the container's own mount namespace only.
    Overlay {
        /// Read-only layers, top first.
        lower: Vec<PathBuf>,
        /// Writable layer.
        upper: PathBuf,
        /// Overlay's work folder.
        work: PathBuf,
        /// Mount it read-only.
        readonly: bool,
    },
}

/// How stdio is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// The caller's own descriptors 0 to 2.
    Inherit,
    /// Three slots.
    Given,
    /// A new pty.
    Terminal,
}

/// What the document does not say.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) bundle: &'a Path,
    pub(crate) rootfs: &'a Rootfs,
    pub(crate) layout: &'a Layout,
    /// Number of v1 hierarchies.
    pub(crate) tasks: usize,
    /// The container's own cgroup, as a path below each hierarchy's root.
    pub(crate) cgroup: Option<&'a str>,
    /// The container has a cgroup namespace, its own or a joined one.
    pub(crate) cgroup_namespace: bool,
    pub(crate) streams: Streams,
    /// The command waits for `start`.
    pub(crate) waits: bool,
    /// Hooks of before the pivot.
    pub(crate) hooks: bool,
    /// Hooks of before the command, in a container that does not wait.
    pub(crate) start_hooks: bool,
    pub(crate) preserve_fds: u32,
    pub(crate) listen_fds: u32,
    /// The folder with the socket to say that the container is ready, and its place in there.
    pub(crate) notify: Option<(&'a Path, &'a Path)>,
    pub(crate) pivot: bool,
    /// What would stay below a root that is moved, and would let a container mount another one of
    /// its kind without what is masked in its own: procfs and sysfs of the host.
    pub(crate) revealing: Vec<PathBuf>,
    /// A new session keyring, else the caller's.
    pub(crate) keyring: bool,
    /// The caller is not root.
    pub(crate) unprivileged: bool,
    /// setgroups(2) is forbidden to the caller.
    pub(crate) no_groups: bool,
    /// The network namespace is made beside the child.
    pub(crate) late_network: bool,
    /// The mount whose propagation must end at the root (`rootfsPropagation: shared`).
    pub(crate) root_parent: Option<&'a Path>,
}

/// The program of a new container.
pub(crate) fn container(spec: &Spec, facts: &Facts<'_>) -> (Draft, Birthplace) {
    let mut draft = Draft::default();
    let mut process = spec.process().clone().unwrap_or_default();
    let mut told = Vec::new();
    if facts.listen_fds > 0 {
        // The first process of its PID namespace, as runc and crun have it.
        told.extend([format!("LISTEN_FDS={}", facts.listen_fds), "LISTEN_PID=1".to_owned()]);
    }
    if let Some((_, place)) = facts.notify {
        told.push(format!("NOTIFY_SOCKET={}", readiness::socket(place).display()));
    }
    if !told.is_empty() {
        process.set_env(Some(process.env().iter().flatten().cloned().chain(told).collect()));
    }
    process::labels(&mut draft, &process);
    if hides(spec, facts) == Some(Hiding::AtOnce) {
        hide(&mut draft, &process, facts.unprivileged);
    }
    let birth = namespaces::plan(&mut draft, spec, facts);
    root::plan(&mut draft, spec, facts, &birth);
    process::plan(&mut draft, &process, &process::Surroundings::of(spec, facts, !birth.no_groups));
    (draft, birth)
}

/// What `exec` knows of the container it goes into.
#[derive(Debug)]
pub(crate) struct Joining {
    /// As in [`Facts`].
    pub(crate) keyring: bool,
    pub(crate) tasks: usize,
    pub(crate) streams: Streams,
    pub(crate) preserve_fds: u32,
    /// The caller is not root: what it may not join, the child joins, and goes on as a second.
    pub(crate) unprivileged: bool,
    /// setgroups(2) is forbidden in the container.
    pub(crate) no_groups: bool,
    /// The container's first process by its number in there, where cores are shared with it.
    pub(crate) first: u32,
}

/// The program of one more process in a container that was made from `spec`.
pub(crate) fn joined(spec: &Spec, process: &Process, joining: &Joining) -> (Draft, Birthplace) {
    let mut draft = Draft::default();
    process::labels(&mut draft, process);
    hide(&mut draft, process, joining.unprivileged);
    namespaces::enter_cgroups(&mut draft, joining.tasks);
    let birth = Birthplace {
        cpus: spec.process().as_ref().and_then(|p| schedule::affinity(&mut draft, process, p)),
        ..Birthplace::default()
    };
    let kind = u32::try_from(kinds(spec)).unwrap_or(0);
    if kind != 0 {
        let slot = draft.slot(Source::Process);
        draft.op(child::Op::Setns { slot, kind });
    }
    if shares_mounts(spec) {
        let slot = draft.slot(Source::Root);
        draft.op(child::Op::RootOf { slot });
    }
    if has_user_namespace(spec) {
        let groups = !joining.no_groups && !keeps_groups(spec);
        draft.op(child::Op::BecomeRoot { groups });
    }
    draft.op(child::Op::RootHere);
    root::streams(&mut draft, process, joining.streams, false);
    // The clone itself is never in the PID namespace: until its execve it has the runtime's program
    // and memory (CVE-2019-5736).
    let pid = namespace_flag(LinuxNamespaceType::Pid);
    let entry = process::Entry {
        forks: kinds(spec) & pid != 0 || joining.unprivileged,
        terminal: joining.streams == Streams::Terminal,
    };
    let mut around = process::Surroundings::joining(spec, joining);
    if traces(spec) && process::may_enter_last(process, &around, entry) {
        around.entry = Some(entry);
    } else {
        process::enter(&mut draft, entry);
    }
    process::plan(&mut draft, process, &around);
    (draft, birth)
}

/// Mounts that come to a container that lives, or go.
#[derive(Clone, Copy)]
pub(crate) enum Live<'a> {
    /// Bind mounts; relative sources are below the folder.
    Add(&'a [Mount], &'a Path),
    /// What is mounted at their destinations.
    Remove(&'a [Mount]),
}

/// The program that changes the mounts of a container with a user namespace at `users`, if it has
/// one. It joins what mounts are of and no more: in the PID namespace, or the cgroup, the
/// container's processes could get hold of it; and it has nothing of its caller's open, should a
/// file system of the container's never let go of it.
pub(crate) fn live(users: Option<PathBuf>, change: Live<'_>) -> (Draft, Birthplace) {
    let mut draft = Draft::default();
    let user = users.is_some();
    let birth = Birthplace { user, users: users.map(Users::Joined), ..Birthplace::default() };
    hide(&mut draft, &Process::default(), false);
    draft.op(child::Op::CloseOthers);
    root::streams(&mut draft, &Process::default(), Streams::Given, false);
    let mut join = |kind: LinuxNamespaceType, source| {
        let (slot, kind) = (draft.slot(source), u32::try_from(namespace_flag(kind)).unwrap_or(0));
        draft.op(child::Op::Setns { slot, kind });
    };
    if user {
        join(LinuxNamespaceType::User, Source::Users);
    }
    join(LinuxNamespaceType::Mount, Source::Mounts);
    if user {
        draft.op(child::Op::BecomeRoot { groups: false });
    }
    draft.op(child::Op::RootHere);
    match change {
        Live::Add(mounts, bundle) => mounts::live(&mut draft, mounts, bundle, &birth),
        Live::Remove(mounts) => {
            for mount in mounts.iter().rev() {
                let destination: PathBuf = absolute(mount.destination()).components().collect();
                let target = draft.path(&destination);
                draft.op(child::Op::Unmount { target });
            }
        }
    }
    draft.op(child::Op::Sync { point: point::MOUNTED, tell: true });
    (draft, birth)
}

/// Whether processes of the container may take hold of any that is in its PID namespace, undumpable
/// or not. In a user namespace they may not: one that comes from outside has its memory from there.
fn traces(spec: &Spec) -> bool {
    let sets = spec.process().as_ref().and_then(|p| p.capabilities().as_ref());
    let bounding = sets.and_then(|sets| sets.bounding().as_ref());
    let has = bounding.is_some_and(|set| set.contains(&oci::runtime::Capability::SysPtrace));
    has && !has_user_namespace(spec)
}

/// Among processes of the container, one that is not yet its own is out of their reach: they could
/// take hold of it as soon as it has no more capabilities than they, with all that it has open.
fn hide(draft: &mut Draft, process: &Process, unprivileged: bool) {
    if let Some(score) = process.oom_score_adj().filter(|_| unprivileged) {
        process::own_score(draft, score);
    }
    draft.op(child::Op::Hide);
}

/// When a new container's process becomes undumpable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hiding {
    AtOnce,
    /// Before it gives its capabilities up: until then it has more than whoever it is among.
    AfterHooks,
}

/// See [`hide`]. An unprivileged caller needs hold of the process: to write its maps, and to join
/// its namespaces for a hook. Who is hidden is joined by whoever has CAP_SYS_PTRACE over the user
/// namespace of its execve: in that of the host the caller has not, and over one that is shared
/// those have it, too, that the process is hidden from.
fn hides(spec: &Spec, facts: &Facts<'_>) -> Option<Hiding> {
    let started = spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_deref());
    let held = facts.unprivileged && started.is_some_and(|hooks| !hooks.is_empty());
    let when = if facts.unprivileged { Hiding::AfterHooks } else { Hiding::AtOnce };
    (shares_pids(spec) && !held).then_some(when)
}

/// Whether other processes are in the container's PID namespace before it is.
fn shares_pids(spec: &Spec) -> bool {
    let own = |n: &oci::runtime::LinuxNamespace| {
        n.typ() == LinuxNamespaceType::Pid
            && n.path().as_deref().is_none_or(|path| path.as_os_str().is_empty())
    };
    !namespaces::of(spec).iter().any(own)
}

/// Whether the container has no mount namespace, its own or a joined one: it gets its mounts in one
/// of its own, which it then leaves for the caller's, whose table of mounts stays as it is.
pub(crate) fn shares_mounts(spec: &Spec) -> bool {
    kinds(spec) & namespace_flag(LinuxNamespaceType::Mount) == 0
}

/// Whether its processes keep the caller's groups, as crun's annotation asks.
pub(crate) fn keeps_groups(spec: &Spec) -> bool {
    let of = |all: &HashMap<String, String>| all.get(KEEP_GROUPS).is_some_and(|said| said == "1");
    spec.annotations().as_ref().is_some_and(of)
}

/// CLONE_NEW* flags of every namespace the container does not share with the host.
pub(crate) fn kinds(spec: &Spec) -> u64 {
    namespaces::of(spec).iter().fold(0, |all, n| all | namespace_flag(n.typ()))
}

/// Whether the container gets a new namespace of a type.
pub(crate) fn has_new(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let new = |path: &Option<PathBuf>| path.as_ref().is_none_or(|p| p.as_os_str().is_empty());
    namespaces::of(spec).iter().any(|n| n.typ() == kind && new(n.path()))
}

/// Whether the container has a user namespace of its own, or joins one.
pub(crate) fn has_user_namespace(spec: &Spec) -> bool {
    namespaces::of(spec).iter().any(|n| n.typ() == LinuxNamespaceType::User)
}

/// Namespaces of the document that are joined by path.
pub(crate) fn joined_namespaces(spec: &Spec) -> Vec<(LinuxNamespaceType, PathBuf)> {
    let joined = namespaces::of(spec).iter().filter_map(|n| {
        let path = n.path().clone().filter(|path| !path.as_os_str().is_empty())?;
        Some((n.typ(), path))
    });
    joined.collect()
}

/// The name of a kind of namespace below /proc/PID/ns.
pub(crate) fn namespace_name(kind: LinuxNamespaceType) -> &'static str {
    match kind {
        LinuxNamespaceType::Mount => "mnt",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Time => "time",
    }
}
