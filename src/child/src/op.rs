//! The operations, their stages, and the frames that report on them.
//!
//! Texts are offsets into the program's text. Paths named `target` are looked up beneath the
//! container's root, whatever links stand there; other paths are the host's, or the container's
//! after [`Op::Pivot`]. Slots are indices into the program's descriptors.

/// An offset into [`crate::Program::text`] of a NUL-terminated string.
pub type Text = u32;

/// No slot.
pub const NO_SLOT: u16 = u16::MAX;

/// What mount_setattr(2) changes; nothing by default.
#[allow(missing_docs, reason = "the fields are those of struct mount_attr")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
}

impl Attributes {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set | self.clear | self.propagation == 0
    }
}

/// The kernel's struct sched_attr, first version, but for its size.
#[allow(missing_docs, reason = "the fields are those of struct sched_attr")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Scheduling {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// How long what was mounted is kept open: operations on it, and on what is below it, then need no
/// second look-up of its path, which could lead elsewhere by then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Keep {
    /// Nothing follows.
    #[default]
    No,
    /// Until the next one is kept so.
    Next,
    /// To the end; so many as a container has places of its own: /proc, /sys, /dev.
    Always,
}

/// What a bind mount makes of links that its paths end in; otherwise they are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Links {
    /// A link as the source is mounted itself.
    pub source: bool,
    /// A link as the target is mounted over.
    pub target: bool,
    /// A link as the source is made anew at the target, and nothing mounted.
    pub copy: bool,
}

/// One operation of the child.
#[allow(missing_docs, reason = "the fields are those of the system call named")]
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Op {
    /// Writes "0" into `count` cgroup v1 `tasks` files from slot `first` on.
    EnterCgroups { first: u16, count: u16 },
    /// PR_SET_DUMPABLE off until the execve: who shares the PID namespace gets no hold of it.
    Hide,
    /// setns(2) on a slot; `kind` is CLONE_NEW*, several for a pidfd.
    Setns { slot: u16, kind: u32 },
    /// The same, with the rights of before a user namespace; what is forbidden now is left for the
    /// [`Op::Setns`] that follows.
    TrySetns { slot: u16, kind: u32 },
    /// unshare(2).
    Unshare { flags: u32 },
    /// Waits for any message of the parent, first telling it when `tell`.
    Sync { point: u32, tell: bool },
    /// uid 0, gid 0 and no groups of the user namespace just mapped.
    BecomeRoot { groups: bool },
    /// Goes on in a sibling made with these CLONE_NEW* flags; tells the parent its pid.
    Fork { flags: u64 },
    /// Changes the propagation of a mount of the host's tree (MS_* flags).
    Propagate { path: Text, flags: u64 },
    /// Clones the tree at `source` (or takes that of a slot) as the root, mounted on `at`. Where
    /// that is the source itself, both look-ups have to find one folder.
    RootBind { source: Text, slot: u16, at: Text },
    /// Mounts overlayfs as the root on `at`; the options' paths are relative to `folder`.
    RootOverlay { folder: Text, options: Text, at: Text, flags: u64 },
    /// After joining namespaces: the root is where it is.
    RootHere,
    /// The folder of a slot becomes "/" (chroot(2)): the container has no mount namespace to join.
    RootOf { slot: u16 },
    /// Goes back to the mount namespace of the slot. A clone of the root is "/" there, mounted
    /// nowhere: it ends with the last process that has it.
    Leave { slot: u16 },
    /// mount(2) of a file system on `target`; `firm` refuses links on the way, `inherit` gives it
    /// the mode of the folder that it covers.
    Mount {
        target: Text,
        source: Text,
        kind: Text,
        flags: u64,
        options: Text,
        firm: bool,
        inherit: bool,
        keep: Keep,
    },
    /// Clones `source` (or takes a slot's tree) onto `target`, which is made if it is missing; its
    /// attributes are set before it is attached: `own` of the mount, `deep` of all below too.
    /// `implied` are cleared as well, but where they are locked. One that is `mapped` goes to the
    /// parent before, who maps its owners. `firm` refuses links on the way to the target.
    /// On `/` it is the root from then on.
    Bind {
        target: Text,
        source: Text,
        slot: u16,
        recursive: bool,
        mapped: bool,
        firm: bool,
        links: Links,
        own: Attributes,
        implied: u64,
        deep: Attributes,
    },
    /// Takes away what is mounted at `target`, lazily; links on the way are refused.
    Unmount { target: Text },
    /// mount_setattr(2) on what is mounted at `target`.
    Change { target: Text, attributes: Attributes, recursive: bool },
    /// Gives the folder at `target` an SELinux label.
    Label { target: Text, label: Text, length: u32 },
    /// Mounts a tmpfs on `target` and copies what it covers into it.
    CopyUp { target: Text, options: Text, source: Text, flags: u64 },
    /// Makes the folder what is at `target` the working folder, for the `Here` operations.
    Enter { target: Text },
    /// mkdir(2) of `name` in the working folder, then mount(2) on it.
    MountHere { name: Text, source: Text, kind: Text, flags: u64, options: Text },
    /// Clones the host's `source` onto the new folder `name` of the working folder.
    BindHere { name: Text, source: Text, set: u64 },
    /// symlink(2) in the working folder; an existing name is fine, or replaced.
    LinkHere { name: Text, to: Text, replace: bool },
    /// A device or fifo at `target` (mode with its S_IFMT bits).
    Node { target: Text, mode: u32, device: u64, uid: u32, gid: u32 },
    /// The same in the working folder; `host` is where it has it.
    NodeHere { name: Text, host: Text, mode: u32, device: u64, uid: u32, gid: u32 },
    /// A device, bound onto a new file at `target`: `made` in the working folder, or else the
    /// host's at `source`, which must be the very one.
    NodeBind { target: Text, source: Text, made: Text, mode: u32, device: u64 },
    /// Mounts the tree of a slot over the root and makes it the working folder.
    NodesBegin { slot: u16 },
    /// Takes it away again.
    NodesEnd,
    /// Makes `target`, a folder, with all its parents.
    Folder { target: Text },
    /// A pty of the container as stdio: console bound at /dev/console when `bind`, master to the
    /// parent.
    Console { rows: u16, columns: u16, uid: u32, bind: bool },
    /// The terminal on descriptor 0 becomes that of the session.
    TakeTerminal,
    /// Hides `target` behind /dev/null or an empty read-only tmpfs; a missing one is fine.
    Mask { target: Text, options: Text },
    /// Makes `target` a read-only mount; a missing one is fine.
    ReadOnly { target: Text },
    /// Makes the root mount read-only.
    RootReadOnly,
    /// pivot_root(2) and away with the old root; `detach` first stops propagation to the host.
    Pivot { detach: bool },
    /// Takes what is mounted at `path` of the host away, or covers it: where it is locked, and with
    /// `cover`, where the host would lose its own mount, too.
    Detach { path: Text, cover: bool },
    /// MS_MOVE and chroot(2), for hosts whose root cannot be pivoted.
    MoveRoot,
    /// Sets the loopback link of its network namespace up.
    Loopback,
    /// Waits for the network namespace that the parent has made meanwhile, and joins it.
    Network,
    /// sethostname(2).
    Hostname { name: Text, length: u32 },
    /// setdomainname(2).
    Domainname { name: Text, length: u32 },
    /// Writes `text` into the host's (procfs) file at `path`.
    Write { path: Text, text: Text, length: u32 },
    /// A new session keyring, without a name by which another one could be found for it.
    Keyring,
    /// setsid(2).
    Session,
    /// Slots become descriptors 0, 1, 2; pipes are given to `uid`.
    Stdio { first: u16, uid: u32 },
    /// Pipes and terminals among 0, 1, 2 are given to `uid`.
    OwnStdio { uid: u32 },
    /// Waits for the parent's last word, whose bytes are the seccomp program.
    Receive,
    /// setrlimit(2).
    Limit { resource: u32, soft: u64, hard: u64 },
    /// personality(2).
    Personality { domain: u64 },
    /// ioprio_set(2).
    IoPriority { value: u32 },
    /// sched_setattr(2).
    Scheduler(Scheduling),
    /// PR_SCHED_CORE: a group of its own (0), or the one of the process `of`; without hyperthreads
    /// there is nothing to be apart from.
    Cores { of: u32 },
    /// sched_setaffinity(2) with the `length` bytes of the text from `mask` on.
    Affinity { mask: Text, length: u32 },
    /// set_mempolicy(2) with the `length` bytes of the text from `nodes` on.
    MemoryPolicy { mode: u32, nodes: Text, length: u32 },
    /// umask(2).
    Umask { mask: u32 },
    /// Closes every descriptor from `first` on but the report's and that of slot `keep`.
    CloseFrom { first: u32, keep: u16 },
    /// Closes every descriptor from 3 on but the report's and the slots'.
    CloseOthers,
    /// chdir(2) as root; what is forbidden now is tried again later.
    Chdir { path: Text },
    /// chdir(2) as the user, when the first try failed, and that the result is inside.
    ChdirAgain { path: Text },
    /// Looks HOME up in /etc/passwd.
    Home { uid: u32 },
    /// Default dispositions, nothing blocked.
    Signals,
    /// Drops everything but these from the bounding set, and keeps capabilities over setuid.
    Bounding { keep: u64 },
    /// setgroups(2) of the program's groups, setresgid(2), setresuid(2).
    Identity { uid: u32, gid: u32, groups: bool },
    /// capset(2) and the ambient set.
    Capabilities { effective: u64, permitted: u64, inheritable: u64, ambient: u64 },
    /// A Landlock rule set that handles these rights.
    LandlockBegin { files: u64, ports: u64, scoped: u64 },
    /// Allows rights beneath a path.
    LandlockPath { path: Text, rights: u64 },
    /// Allows rights on a TCP port.
    LandlockPort { port: u32, rights: u64 },
    /// Takes the rule set on.
    LandlockEnd,
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// Loads the received program.
    Seccomp { flags: u32 },
    /// Finds the executable among the candidates and tells the parent that all is ready.
    Find,
    /// Waits for `start` at the listening socket that was kept.
    Await,
    /// execve(2).
    Exec,
    /// Stays as the first process of a PID namespace ([`crate::pid1`]), and never ends by itself.
    Reap,
}

/// What a frame says.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The operation `index` failed with `value` as errno.
    Failed = 1,
    /// Waiting at point `value`.
    Reached = 2,
    /// Carries the pty's master.
    Master = 3,
    /// Carries the seccomp listener.
    Listener = 4,
    /// The sibling's pid is `value`.
    Forked = 5,
    /// Carries the tree whose owners are to be mapped, and waits for that.
    Tree = 6,
}

/// What the child tells: 16 bytes, native-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What it says.
    pub kind: u32,
    /// Stage of the operation, as [`stage`] gives it.
    pub stage: u32,
    /// Index of the operation.
    pub index: u32,
    /// errno, point or pid.
    pub value: i32,
}

/// Bytes of a [`Frame`].
pub const FRAME_BYTES: usize = 16;

impl Frame {
    /// As sent.
    #[must_use]
    pub fn bytes(self) -> [u8; FRAME_BYTES] {
        let mut out = [0; FRAME_BYTES];
        let words = [self.kind, self.stage, self.index, self.value as u32];
        let (chunks, _) = out.as_chunks_mut::<4>();
        for (chunk, word) in chunks.iter_mut().zip(words) {
            *chunk = word.to_ne_bytes();
        }
        out
    }

    /// As received.
    #[must_use]
    pub fn parse(bytes: &[u8; FRAME_BYTES]) -> Frame {
        let (chunks, _) = bytes.as_chunks::<4>();
        let word = |at: usize| chunks.get(at).map_or(0, |chunk| u32::from_ne_bytes(*chunk));
        Frame { kind: word(0), stage: word(1), index: word(2), value: word(3) as i32 }
    }
}

/// The stage an operation belongs to, by number: 1 namespaces, 2 root file system, 3 process,
/// 4 start.
#[must_use]
pub fn stage(op: &Op) -> u32 {
    match op {
        Op::EnterCgroups { .. }
        | Op::Hide
        | Op::CloseOthers
        | Op::Setns { .. }
        | Op::TrySetns { .. }
        | Op::Unshare { .. }
        | Op::Sync { .. }
        | Op::Network
        | Op::BecomeRoot { .. }
        | Op::Fork { .. } => 1,
        Op::Find | Op::Await | Op::Exec | Op::Reap => 4,
        Op::Session
        | Op::TakeTerminal
        | Op::Stdio { .. }
        | Op::OwnStdio { .. }
        | Op::Receive
        | Op::Limit { .. }
        | Op::Personality { .. }
        | Op::IoPriority { .. }
        | Op::Scheduler(_)
        | Op::Cores { .. }
        | Op::Affinity { .. }
        | Op::MemoryPolicy { .. }
        | Op::Umask { .. }
        | Op::CloseFrom { .. }
        | Op::Chdir { .. }
        | Op::ChdirAgain { .. }
        | Op::Home { .. }
        | Op::Signals
        | Op::Bounding { .. }
        | Op::Identity { .. }
        | Op::Capabilities { .. }
        | Op::LandlockBegin { .. }
        | Op::LandlockPath { .. }
        | Op::LandlockPort { .. }
        | Op::LandlockEnd
        | Op::NoNewPrivileges
        | Op::Seccomp { .. }
        | Op::Keyring => 3,
        _ => 2,
    }
}
