//! Stages 3 and 4: who the process is and what it may do; then the command.
//!
//! Order: what needs privileges, then the filter where only root may load it, the user, the
//! capabilities, the search for the command, `start`, and the filter where anybody may load it.

use std::collections::HashMap;

use child::Op;
use oci::runtime::{
    Capability, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSeccomp, PosixRlimit,
    PosixRlimitType, Process, Spec,
};

use super::{Facts, Joining, landlock, point, schedule};
use crate::draft::{Draft, Source};
use crate::error::{Error, Result};
use crate::seccomp;

/// The search path of a process without PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the next execve finds its AppArmor profile and its SELinux label.
pub(super) const APPARMOR: &str = "/proc/thread-self/attr/apparmor/exec";
pub(super) const SELINUX: &str = "/proc/thread-self/attr/exec";
const FIRST_AFTER_STDIO: u32 = 3;
const DEFAULT_UMASK: u32 = 0o022;

/// What the process does not say.
pub(super) struct Surroundings<'a> {
    seccomp: Option<&'a LinuxSeccomp>,
    personality: Option<LinuxPersonalityDomain>,
    memory: Option<&'a LinuxMemoryPolicy>,
    keyring: bool,
    preserve_fds: u32,
    waits: bool,
    start_hooks: bool,
    groups: bool,
    landlock: Option<oci::landlock::Landlock>,
    /// The process whose cores are shared, 0 for new ones.
    cores: Option<u32>,
    /// It enters the container once it has no more rights than its own.
    pub(super) entry: Option<Entry>,
}

/// How a process enters the PID namespace of a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// It goes on as a sibling, who is born in there.
    pub(super) forks: bool,
    /// It has a terminal.
    pub(super) terminal: bool,
}

/// Goes in, with a session of its own.
pub(super) fn enter(draft: &mut Draft, entry: Entry) {
    if entry.forks {
        draft.op(Op::Fork { flags: 0 });
    }
    draft.op(Op::Session);
    if entry.terminal {
        draft.op(Op::TakeTerminal);
    }
}

/// Whether a process is the same when it enters last: scheduled alike, on the same cores; and
/// whether a filter that is loaded before lets it.
pub(super) fn may_enter_last(process: &Process, around: &Surroundings<'_>, entry: Entry) -> bool {
    let early = process.no_new_privileges() != Some(true);
    let filter = around.seccomp.filter(|_| early);
    let same = around.cores.is_none() && schedule::survives_fork(process);
    same && filter.is_none_or(|profile| !refuses_entry(profile, entry))
}

/// Whether the filter refuses, or asks about, a call of [`enter`]. Rules about arguments are taken
/// as meant for others.
fn refuses_entry(profile: &LinuxSeccomp, entry: Entry) -> bool {
    let refuses = |call| seccomp::refuses(profile, call);
    let fork = match seccomp::denies_existence(profile, "clone3") {
        true => refuses("clone"),
        false => refuses("clone3"),
    };
    let terminal = entry.terminal && refuses("ioctl");
    entry.forks && (fork || refuses("sendmsg")) || refuses("setsid") || terminal
}

impl<'a> Surroundings<'a> {
    pub(super) fn of(spec: &'a Spec, facts: &Facts<'a>, groups: bool) -> Surroundings<'a> {
        Surroundings {
            groups,
            keyring: facts.keyring,
            preserve_fds: facts.preserve_fds,
            waits: facts.waits,
            start_hooks: facts.start_hooks,
            ..Surroundings::common(spec)
        }
    }

    pub(super) fn joining(spec: &'a Spec, joining: &Joining) -> Surroundings<'a> {
        let Joining { keyring, preserve_fds, no_groups, first, .. } = *joining;
        let common = Surroundings::common(spec);
        let cores = common.cores.map(|_| first);
        let groups = common.groups && !no_groups;
        Surroundings { keyring, preserve_fds, groups, cores, ..common }
    }

    fn common(spec: &'a Spec) -> Surroundings<'a> {
        let linux = spec.linux().as_ref();
        Surroundings {
            seccomp: linux.and_then(|l| l.seccomp().as_ref()),
            personality: linux.and_then(|l| l.personality().as_ref()).map(|p| p.domain()),
            memory: linux.and_then(|l| l.memory_policy().as_ref()),
            keyring: false,
            preserve_fds: 0,
            waits: false,
            start_hooks: false,
            groups: !super::keeps_groups(spec),
            // A wrong one has been refused.
            landlock: oci::landlock::read(spec).ok().flatten(),
            cores: oci::core_scheduling::read(spec).is_ok_and(|asked| asked).then_some(0),
            entry: None,
        }
    }
}

/// Whether the parent's last word has to hold a filter.
pub(crate) fn loads_filter(spec: &Spec) -> Option<&LinuxSeccomp> {
    spec.linux().as_ref().and_then(|l| l.seccomp().as_ref())
}

/// Whether the filter has a listener.
pub(crate) fn listens(spec: &Spec) -> bool {
    let flags = loads_filter(spec).map_or(0, seccomp::load_flags);
    flags & seccomp::FLAG_NEW_LISTENER != 0
}

/// AppArmor and SELinux labels, to be taken on by exec: the host's procfs is needed.
pub(super) fn labels(draft: &mut Draft, process: &Process) {
    let apparmor = process.apparmor_profile().as_deref().filter(|name| !name.is_empty());
    let selinux = process.selinux_label().as_deref().filter(|label| !label.is_empty());
    let parts = [
        (APPARMOR, apparmor.map(|name| format!("exec {name}"))),
        (SELINUX, selinux.map(str::to_owned)),
    ];
    for (path, text) in parts {
        let Some(text) = text else { continue };
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let (path, text) = (draft.text(path), draft.text(text));
        draft.op(Op::Write { path, text, length });
    }
}

/// The process's own oom_score_adj, written by itself.
pub(super) fn own_score(draft: &mut Draft, score: i32) {
    let score = score.to_string();
    let length = u32::try_from(score.len()).unwrap_or(u32::MAX);
    let (path, text) = (draft.text("/proc/self/oom_score_adj"), draft.text(score));
    draft.op(Op::Write { path, text, length });
}

/// That a process with `preserve_fds` descriptors of its caller's can wait for `start`: the kernel
/// gives the connection the lowest free number, which has to be below the soft limit.
///
/// # Errors
/// The limit of open files is too low for it.
pub(crate) fn leave_a_descriptor(process: Option<&Process>, preserve_fds: u32) -> Result<()> {
    let limits = process.and_then(|process| process.rlimits().as_deref()).unwrap_or_default();
    let least = u64::from(FIRST_AFTER_STDIO.saturating_add(preserve_fds)) + 1;
    let too_low =
        |limit: &PosixRlimit| limit.typ() == PosixRlimitType::RlimitNofile && limit.soft() < least;
    limits.iter().position(too_low).map_or(Ok(()), |index| {
        Err(Error::NoDescriptor { index, soft: limits[index].soft(), least })
    })
}

/// Plans everything from the parent's last word to execve.
pub(super) fn plan(draft: &mut Draft, process: &Process, around: &Surroundings<'_>) {
    command(draft, process);
    draft.op(Op::Receive);
    limits(draft, process);
    if around.keyring {
        draft.op(Op::Keyring);
    }
    settings(draft, process, around);
    let keep = if around.waits { draft.slot(Source::Listener) } else { child::NO_SLOT };
    let first = FIRST_AFTER_STDIO.saturating_add(around.preserve_fds);
    draft.op(Op::CloseFrom { first, keep });
    let user = process.user();
    let cwd = draft.path(process.cwd());
    draft.op(Op::Chdir { path: cwd });
    let env = process.env().as_deref().unwrap_or_default();
    // As in runc, an empty one counts as none.
    let home = env.iter().rev().find(|variable| variable.starts_with("HOME="));
    if home.is_none_or(|home| home == "HOME=") {
        draft.op(Op::Home { uid: user.uid() });
    }
    draft.op(Op::Signals);
    let sets = process.capabilities().as_ref();
    let bits = |set: fn(&oci::runtime::LinuxCapabilities) -> &Option<_>| {
        sets.and_then(|sets| set(sets).as_ref()).map_or(0, capability_bits)
    };
    draft.op(Op::Bounding { keep: bits(|s| s.bounding()) });
    let filter = around.seccomp.map(seccomp::load_flags);
    let unprivileged = process.no_new_privileges() == Some(true);
    let early = filter.filter(|_| !unprivileged);
    // A set needs CAP_SYS_ADMIN while it may still be had, or no_new_privs.
    if let Some(asked) = around.landlock.as_ref().filter(|_| !unprivileged) {
        landlock::plan(draft, asked);
    }
    if let Some(flags) = early {
        draft.op(Op::Seccomp { flags });
    }
    draft.program.groups = user.additional_gids().clone().unwrap_or_default();
    draft.op(Op::Identity { uid: user.uid(), gid: user.gid(), groups: around.groups });
    let (permitted, inheritable) = (bits(|s| s.permitted()), bits(|s| s.inheritable()));
    // The kernel raises only what is in both; runc's own `spec` lists more.
    let ambient = bits(|s| s.ambient()) & permitted & inheritable;
    let effective = bits(|s| s.effective());
    draft.op(Op::Capabilities { effective, permitted, inheritable, ambient });
    draft.op(Op::ChdirAgain { path: cwd });
    if unprivileged {
        draft.op(Op::NoNewPrivileges);
        if let Some(asked) = &around.landlock {
            landlock::plan(draft, asked);
        }
    }
    if let Some(entry) = around.entry {
        enter(draft, entry);
    }
    let late = filter.filter(|_| unprivileged);
    begin(draft, around, late);
}

/// What a process does between the load of an early filter and its execve.
const CALLS_OF_A_WAIT: [&str; 6] =
    ["newfstatat", "faccessat", "sendmsg", "recvfrom", "accept4", "close"];

/// The end of the program. While it waits there are others of the container about, who must not get
/// hold of one without a filter: so that is loaded before, where it lets the wait itself pass. One
/// with a listener is loaded while the parent still listens.
fn begin(draft: &mut Draft, around: &Surroundings<'_>, filter: Option<u32>) {
    let listens = |flags: u32| flags & seccomp::FLAG_NEW_LISTENER != 0;
    let waits = around.start_hooks || around.waits;
    let lets_wait = |profile: &&LinuxSeccomp| {
        CALLS_OF_A_WAIT.iter().all(|call| seccomp::lets_pass(profile, call))
    };
    let early =
        filter.is_some_and(listens) || waits && around.seccomp.as_ref().is_some_and(lets_wait);
    if waits {
        draft.op(Op::Hide);
    }
    if let Some(flags) = filter.filter(|_| early) {
        draft.op(Op::Seccomp { flags });
    }
    draft.op(Op::Find);
    if around.start_hooks {
        draft.op(Op::Sync { point: point::BEGIN, tell: false });
    }
    if around.waits {
        draft.op(Op::Await);
    }
    if let Some(flags) = filter.filter(|_| !early) {
        draft.op(Op::Seccomp { flags });
    }
    draft.op(Op::Exec);
}

fn command(draft: &mut Draft, process: &Process) {
    let args = process.args().as_deref().unwrap_or_default();
    // The last of two variables of one name wins, as in runc.
    let mut last: HashMap<&str, usize> = HashMap::new();
    let env = process.env().as_deref().unwrap_or_default();
    let name = |variable: &'_ str| variable.split('=').next().map_or(0, str::len);
    for (index, variable) in env.iter().enumerate() {
        last.insert(&variable[..name(variable)], index);
    }
    let kept = env
        .iter()
        .enumerate()
        .filter(|(index, v)| last.get(&v[..name(v)]) == Some(index) && v.as_str() != "HOME=");
    draft.program.argv = draft.strings(args);
    draft.program.envp = draft.strings(kept.map(|(_, variable)| variable));
    let first = args.first().map_or("", String::as_str);
    draft.program.candidates = if first.contains('/') {
        draft.strings([first])
    } else if first.is_empty() {
        // Or the folders of PATH would be what is found.
        draft.strings([""; 0])
    } else {
        let path = last.get("PATH").and_then(|index| env[*index].strip_prefix("PATH="));
        let path = path.unwrap_or(PATH);
        let folder = |folder: &str| if folder.is_empty() { "." } else { folder }.to_owned();
        draft.strings(path.split(':').map(|f| format!("{}/{first}", folder(f))))
    };
}

fn limits(draft: &mut Draft, process: &Process) {
    for limit in process.rlimits().iter().flatten() {
        let resource = resource(limit.typ());
        draft.op(Op::Limit { resource, soft: limit.soft(), hard: limit.hard() });
    }
}

fn settings(draft: &mut Draft, process: &Process, around: &Surroundings<'_>) {
    if let Some(domain) = around.personality {
        let domain = match domain {
            LinuxPersonalityDomain::PerLinux => 0,
            LinuxPersonalityDomain::PerLinux32 => 8,
        };
        draft.op(Op::Personality { domain });
    }
    schedule::plan(draft, process);
    if let Some(of) = around.cores {
        draft.op(Op::Cores { of });
    }
    if let Some(policy) = around.memory {
        schedule::memory(draft, policy);
    }
    draft.op(Op::Umask { mask: process.user().umask().unwrap_or(DEFAULT_UMASK) });
}

/// The set as the kernel's bits.
fn capability_bits<'a>(set: impl IntoIterator<Item = &'a Capability>) -> u64 {
    // The names are the kernel's; the two crates spell them alike but for the prefix.
    let bit = |capability: &Capability| {
        let name = caps::to_canonical(&capability.to_string());
        name.parse::<caps::Capability>().map_or(0, |known| known.bitmask())
    };
    set.into_iter().fold(0, |all, capability| all | bit(capability))
}

fn resource(kind: PosixRlimitType) -> u32 {
    use PosixRlimitType as Limit;
    match kind {
        Limit::RlimitCpu => sys::abi::RLIMIT_CPU,
        Limit::RlimitFsize => sys::abi::RLIMIT_FSIZE,
        Limit::RlimitData => sys::abi::RLIMIT_DATA,
        Limit::RlimitStack => sys::abi::RLIMIT_STACK,
        Limit::RlimitCore => sys::abi::RLIMIT_CORE,
        Limit::RlimitRss => sys::abi::RLIMIT_RSS,
        Limit::RlimitNproc => sys::abi::RLIMIT_NPROC,
        Limit::RlimitNofile => sys::abi::RLIMIT_NOFILE,
        Limit::RlimitMemlock => sys::abi::RLIMIT_MEMLOCK,
        Limit::RlimitAs => sys::abi::RLIMIT_AS,
        Limit::RlimitLocks => sys::abi::RLIMIT_LOCKS,
        Limit::RlimitSigpending => sys::abi::RLIMIT_SIGPENDING,
        Limit::RlimitMsgqueue => sys::abi::RLIMIT_MSGQUEUE,
        Limit::RlimitNice => sys::abi::RLIMIT_NICE,
        Limit::RlimitRtprio => sys::abi::RLIMIT_RTPRIO,
        Limit::RlimitRttime => sys::abi::RLIMIT_RTTIME,
    }
}
