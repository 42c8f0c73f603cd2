//! Launching a planned program: its slots opened, its questions answered, its end told in words.
//!
//! [`begin`] clones; [`Child::serve`] answers until the point it was asked for. A child whose
//! parent gives up is killed and reaped on drop: nothing half-made is left running.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime::{LinuxSeccomp, Process};
use sys::launch::{Birth, Launched, Told, WORD_HEADER_BYTES, above_stdio};
use sys::netns::Netns;

use crate::cgroup::Cgroup;
use crate::draft::{Deferred, Draft, Source};
use crate::error::{Error, Result};
use crate::idmaps::Known;
use crate::notes::{Notes, mask};
use crate::plan::{Birthplace, place, point, step};
use crate::seccomp;

/// Longest silence of a child, in ms: a mount may take its time, an exec has nothing slow to do.
const SILENT_MAX_MS: u64 = 120_000;
pub(crate) const EXEC_SILENT_MAX_MS: u64 = 7_000;

/// Most bytes of a filter: 4096 instructions.
const FILTER_MAX_BYTES: usize = 4096 * 8;

/// What fills the slots that the plan cannot name.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) tasks: Vec<OwnedFd>,
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) stdio: Option<[OwnedFd; 3]>,
    pub(crate) process: Option<OwnedFd>,
    /// The mount namespace, and the user namespace, that are joined one by one.
    pub(crate) mounts: Option<OwnedFd>,
    pub(crate) users: Option<OwnedFd>,
    /// Its root folder, where it shares the caller's mount namespace.
    pub(crate) root: Option<OwnedFd>,
    /// Who is told of the steps.
    pub(crate) notes: Notes,
    /// The caller lives for this child alone, and nobody else is in its cgroup.
    pub(crate) alone: bool,
    /// Another CPU has time for it.
    pub(crate) apart: bool,
}

/// A child at work.
pub(crate) struct Child {
    launched: Launched,
    draft: Draft,
    command: String,
    /// Its pty's master, once told.
    pub(crate) master: Option<OwnedFd>,
    /// Its filter's listener, once told.
    pub(crate) listener: Option<OwnedFd>,
    released: bool,
    /// It is yet to go on as another process.
    forks: bool,
    /// It goes on as another process once it has had the last word.
    forks_last: bool,
    /// It has found its command: all that it has left to tell is that it failed.
    ready: bool,
    /// Points that were reached before that was told.
    early: VecDeque<u32>,
    notes: Notes,
    /// It joins a container that is there.
    joins: bool,
    /// How many of its trees are still to be mapped, and by what some were.
    unmapped: usize,
    known: Known,
}

/// What a child has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// A point of `plan::point`.
    Point(u32),
    /// It executes its command.
    Begun,
}

/// Clones a child that works through `draft`.
pub(crate) fn begin(
    mut draft: Draft,
    given: Given,
    birth: &Birthplace,
    cgroup: Option<&Cgroup>,
    command: &str,
) -> Result<Child> {
    if draft.program.ops.iter().any(|op| matches!(op, child::Op::Seccomp { .. })) {
        draft.program.inbox_bytes = WORD_HEADER_BYTES + FILTER_MAX_BYTES;
    }
    let made = open_sources(&draft.sources, birth.user && !birth.unprivileged)?;
    let slots = fill(&draft.sources, &made, &given)?;
    let place = Birth {
        namespaces: birth.flags,
        cgroup: cgroup.and_then(Cgroup::clone_into_fd),
        cpus: birth.cpus.as_deref(),
        alone: given.alone,
        apart: given.apart,
    };
    let launched = sys::launch::launch(&draft.program, &slots, &place);
    let launched = launched.map_err(|source| match source.kind() {
        ErrorKind::TimedOut => Error::Idle,
        _ => Error::Clone { source },
    })?;
    launched.limit_waits(SILENT_MAX_MS).map_err(|source| Error::Clone { source })?;
    let (pid, flags) = (launched.pid, birth.flags);
    given.notes.tell(|| format!("nsexec container setup: process {pid}, namespaces {flags:#x}"));
    if let Some(cpus) = &birth.cpus {
        given.notes.tell(|| format!("nsexec[{pid}]: affinity: {}", mask(cpus)));
    }
    let command = command.to_owned();
    let joins = given.process.is_some();
    let unmapped = draft.maps.len();
    let is_fork = |op: &child::Op| matches!(op, child::Op::Fork { .. });
    let forks = draft.program.ops.iter().any(is_fork);
    let forks_last = forks && !before_word(&draft).any(is_fork);
    Ok(Child {
        launched,
        draft,
        command,
        master: None,
        listener: None,
        released: false,
        forks,
        forks_last,
        ready: false,
        early: VecDeque::new(),
        notes: given.notes,
        joins,
        unmapped,
        known: Known::default(),
    })
}

/// What it does before it has the parent's last word.
fn before_word(draft: &Draft) -> impl Iterator<Item = &child::Op> {
    draft.program.ops.iter().take_while(|op| !matches!(op, child::Op::Receive))
}

fn namespace(path: &Path) -> Result<OwnedFd> {
    sys::tree::namespace(path).and_then(above_stdio).map_err(Error::io("open namespace", path))
}

/// What the plan names by path; `None` for what is given.
fn open_sources(sources: &[Source], lock: bool) -> Result<Vec<Option<OwnedFd>>> {
    let trees = crate::trees::open(sources, lock)?;
    let open = |(source, tree): (&Source, Option<OwnedFd>)| match source {
        Source::Namespace { path, kind, changed_by } => {
            let file = namespace(path)?;
            refuse_own(path, file.as_fd(), *kind, changed_by.as_deref())?;
            let found = sys::tree::namespace_kind(file.as_fd());
            if found.as_ref().is_ok_and(|found| found == kind) {
                return Ok(Some(file));
            }
            let problem = std::io::Error::other("is no namespace of the type that was given");
            Err(Error::io("join", path)(problem))
        }
        Source::Nodes(nodes) => crate::nodes::make(nodes).map(Some),
        Source::OwnMounts => namespace(Path::new("/proc/self/ns/mnt")).map(Some),
        _ => Ok(tree),
    };
    sources.iter().zip(trees).map(open).collect()
}

/// Setting up a container changes the root of whoever is in its mount namespace, and names and
/// sysctls in other ones: in the caller's own they would be the host's.
fn refuse_own(
    path: &Path,
    file: BorrowedFd<'_>,
    kind: u32,
    changed_by: Option<&str>,
) -> Result<()> {
    let (name, why) = match (kind.cast_signed(), changed_by) {
        (sys::abi::CLONE_NEWNS, _) => {
            ("mnt", "mount namespace: its root would move; leave it out to share it".to_owned())
        }
        (sys::abi::CLONE_NEWNET, Some(field)) => ("net", format!("network, which {field} changes")),
        (sys::abi::CLONE_NEWIPC, Some(field)) => {
            ("ipc", format!("IPC namespace, which {field} changes"))
        }
        (sys::abi::CLONE_NEWUTS, Some(field)) => {
            ("uts", format!("UTS namespace, which {field} changes"))
        }
        _ => return Ok(()),
    };
    let own = sys::tree::namespace(Path::new(&format!("/proc/self/ns/{name}")));
    let same = own.and_then(|own| sys::tree::is_same(own.as_fd(), file));
    if !same.map_err(Error::io("open namespace", path))? {
        return Ok(());
    }
    let problem = std::io::Error::other(format!("is the caller's own {why}"));
    Err(Error::io("join", path)(problem))
}

fn fill<'a>(
    sources: &[Source],
    made: &'a [Option<OwnedFd>],
    given: &'a Given,
) -> Result<Vec<BorrowedFd<'a>>> {
    let missing = || Error::Clone { source: std::io::Error::other("a slot has no descriptor") };
    let of = |(source, made): (&Source, &'a Option<OwnedFd>)| {
        let fd = match source {
            Source::Tree { .. }
            | Source::MappedTree { .. }
            | Source::Overlay { .. }
            | Source::Namespace { .. }
            | Source::Nodes(_)
            | Source::OwnMounts => made.as_ref(),
            Source::Root => given.root.as_ref(),
            Source::Tasks(number) => given.tasks.get(*number),
            Source::Listener => given.listener.as_ref(),
            Source::Stdio(number) => given.stdio.as_ref().and_then(|all| all.get(*number)),
            Source::Process => given.process.as_ref(),
            Source::Mounts => given.mounts.as_ref(),
            Source::Users => given.users.as_ref(),
        };
        fd.map(AsFd::as_fd).ok_or_else(missing)
    };
    sources.iter().zip(made).map(of).collect()
}

impl Child {
    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        self.launched.pid
    }

    /// It has little to do, and is given up soon when it says nothing.
    pub(crate) fn hurry(&self) -> Result<()> {
        self.limit_waits(EXEC_SILENT_MAX_MS)
    }

    /// It is given up after a silence of this long.
    pub(crate) fn limit_waits(&self, ms: u64) -> Result<()> {
        self.launched.limit_waits(ms).map_err(|source| Error::Clone { source })
    }

    /// Gives it the oom_score_adj that its process is to have.
    pub(crate) fn score(&self, process: Option<&Process>) -> Result<()> {
        let Some(score) = process.and_then(Process::oom_score_adj) else { return Ok(()) };
        // The files of one that is hidden are root's: it has done it itself.
        let hides = before_word(&self.draft).any(|op| matches!(op, child::Op::Hide));
        if hides && sys::seqpacket::own_uid() != 0 {
            return Ok(());
        }
        let path = format!("/proc/{}/oom_score_adj", self.pid());
        std::fs::write(&path, score.to_string()).map_err(Error::io("write", path))
    }

    /// Its pidfd.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.launched.pidfd.as_fd()
    }

    /// Lets it go on from a point.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.say(b"g")
    }

    /// The last word: which signals are ignored here, and what its filter is, if it has one.
    pub(crate) fn last_word(&mut self, filter: Option<&seccomp::Filter>) -> Result<()> {
        let mut word = sys::launch::ignored_signals().to_ne_bytes().to_vec();
        word.extend_from_slice(filter.map_or(&[][..], |f| f.program.as_flattened()));
        if let Some(filter) = filter {
            self.notes.tell(|| format!("seccomp filter flags: {}", filter.flags));
        }
        self.raise_limits();
        self.say(&word)?;
        if self.forks_last { self.follow() } else { Ok(()) }
    }

    /// Nobody in a user namespace may raise a limit: the parent does, as far as it may itself, and
    /// what it could not do the child will tell.
    fn raise_limits(&self) {
        let ops = &self.draft.program.ops;
        if !ops.iter().any(|op| matches!(op, child::Op::BecomeRoot { .. })) {
            return;
        }
        for op in ops {
            if let child::Op::Limit { resource, soft, hard } = *op {
                sys::launch::raise_limit(self.pid(), resource, (soft, hard));
            }
        }
    }

    /// Gives it the network namespace that it waits for, or will.
    pub(crate) fn give_network(&self, made: Netns) -> Result<()> {
        let netns = made.finish().map_err(|failure| match failure.error.raw_os_error() {
            Some(errno) => Error::Step { stage: place(1), step: failure.step.to_owned(), errno },
            None => Error::Clone { source: failure.error },
        })?;
        self.launched.hand(netns.as_fd()).map_err(|source| Error::Clone { source })
    }

    fn say(&self, word: &[u8]) -> Result<()> {
        self.launched.say(word).map_err(|source| Error::Clone { source })
    }

    /// Waits for the next point, taking what is told on the way.
    pub(crate) fn next(&mut self) -> Result<Reached> {
        if let Some(point) = self.early.pop_front() {
            return Ok(Reached::Point(point));
        }
        loop {
            if let Some(reached) = self.listen()? {
                return Ok(reached);
            }
        }
    }

    /// Waits until its pid is that of the process that will be the container's: what the second of
    /// two tells may come before the first has told of it. One that becomes another only after the
    /// last word hands down what is given to it until then.
    pub(crate) fn settle(&mut self) -> Result<()> {
        if self.forks_last { Ok(()) } else { self.follow() }
    }

    fn follow(&mut self) -> Result<()> {
        while self.forks {
            match self.listen()? {
                Some(Reached::Point(point)) => self.early.push_back(point),
                Some(Reached::Begun) => return Err(Error::Vanished),
                None => {}
            }
        }
        self.notes.tell(|| format!("child process in init(): {}", self.pid()));
        Ok(())
    }

    fn listen(&mut self) -> Result<Option<Reached>> {
        let told = self.launched.next().map_err(|source| match source.kind() {
            ErrorKind::WouldBlock => Error::Silent { pid: self.launched.pid },
            _ => Error::Clone { source },
        })?;
        match told {
            Told::Failed { stage, index, errno } => {
                return Err(self.failure(stage, index, errno));
            }
            Told::Closed => return Ok(Some(Reached::Begun)),
            // Processes of the container may be about by now, and speak in its place.
            _ if self.ready && !self.forks => return Err(Error::Vanished),
            Told::Reached(point) => {
                self.ready = point == point::READY;
                return Ok(Some(Reached::Point(point)));
            }
            Told::Tree { index, tree } => self.map(index, &tree)?,
            Told::Master(master) => self.master = Some(master),
            Told::Listener(listener) => self.listener = Some(listener),
            Told::Forked(_) if !self.forks => return Err(Error::Vanished),
            Told::Forked(pid) => {
                let followed = self.launched.follow(pid);
                followed.map_err(|source| Error::Clone { source })?;
                self.forks = false;
            }
        }
        Ok(None)
    }

    /// Maps the owners of the trees that it asks for; it has gone on from the last of them then.
    pub(crate) fn map_trees(&mut self) -> Result<()> {
        self.listen_until(|child| child.unmapped == 0)
    }

    fn map(&mut self, index: u32, tree: &OwnedFd) -> Result<()> {
        let wanted = self.draft.maps.iter().find(|deferred| deferred.index == index as usize);
        let Deferred { path, map, .. } = wanted.ok_or(Error::Vanished)?;
        self.known.map(tree.as_fd(), path, map)?;
        self.unmapped = self.unmapped.saturating_sub(1);
        self.go_on()
    }

    /// Waits for a point of the plan; an end before it is a failure.
    pub(crate) fn await_point(&mut self, wanted: u32) -> Result<()> {
        match self.next()? {
            Reached::Point(point) if point == wanted => Ok(()),
            Reached::Point(_) => Err(Error::Vanished),
            Reached::Begun => Err(match self.launched.killed_by() {
                Some(signal) => Error::Killed { signal },
                None => Error::Vanished,
            }),
        }
    }

    /// Waits until its filter's listener is there.
    pub(crate) fn await_listener(&mut self) -> Result<()> {
        self.listen_until(|child| child.listener.is_some())
    }

    /// Waits until its terminal is there, which is to be the caller's, and has it send lines that
    /// end with a line feed alone: the caller's own terminal adds the rest, a file needs none.
    pub(crate) fn keep_console(&mut self) -> Result<()> {
        self.listen_until(|child| child.master.is_some())?;
        let Some(master) = &self.master else { return Ok(()) };
        sys::foreground::end_lines_plainly(master.as_fd()).map_err(|source| Error::Clone { source })
    }

    /// Listens where no point is under way.
    fn listen_until(&mut self, done: impl Fn(&Child) -> bool) -> Result<()> {
        while !done(self) {
            if let Some(Reached::Begun) = self.listen()? {
                return Err(Error::Vanished);
            }
        }
        Ok(())
    }

    /// Waits until it has found its command.
    pub(crate) fn await_ready(&mut self) -> Result<()> {
        self.await_point(point::READY)?;
        let kind = if self.joins { "setns_init" } else { "init" };
        self.notes.tell(|| format!("{kind}: about to exec {}", self.command));
        Ok(())
    }

    /// Waits for execve.
    pub(crate) fn await_begin(&mut self) -> Result<()> {
        match self.next()? {
            Reached::Begun => {
                self.notes.tell(|| "init: closing the pipe to signal completion".to_owned());
                Ok(())
            }
            Reached::Point(_) => Err(Error::Vanished),
        }
    }

    /// A failure that its process told of, in words.
    pub(crate) fn failure(&self, stage: u32, index: u32, errno: i32) -> Error {
        failure(&self.draft, &self.command, (stage, index, errno))
    }

    /// Gives the process away: it is not ended any more. Its pid, pidfd and pty.
    pub(crate) fn release(mut self) -> Result<(i32, OwnedFd, Option<OwnedFd>)> {
        let copy = self.launched.pidfd.try_clone();
        let pidfd = copy.map_err(|source| Error::Clone { source })?;
        self.released = true;
        Ok((self.launched.pid, pidfd, self.master.take()))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.released {
            self.launched.destroy();
        }
    }
}

fn failure(draft: &Draft, command: &str, (stage, index, errno): (u32, u32, i32)) -> Error {
    let op = draft.program.ops.get(index as usize);
    if matches!(op, Some(child::Op::Find | child::Op::Exec)) {
        let found = matches!(op, Some(child::Op::Exec));
        return Error::Command { command: command.to_owned(), found, errno };
    }
    let mut step = step(&draft.program, index);
    if matches!((op, errno), (Some(child::Op::Mount { firm: true, .. }), sys::abi::ELOOP)) {
        step.push_str(", which must be mounted on ordinary directory");
    }
    if let (Some(child::Op::Scheduler(_)), sys::abi::EPERM) = (op, errno) {
        step.push_str("; SCHED_DEADLINE wants all CPUs: ");
        step.push_str("process scheduler can't be used together with AllowedCPUs");
    }
    Error::Step { stage: place(stage), step, errno }
}

/// The filter of a profile, from the cache below `root` where it is there.
pub(crate) fn filter(
    root: &Path,
    profile: Option<&LinuxSeccomp>,
) -> Result<Option<seccomp::Filter>> {
    Ok(profile.map(|profile| seccomp::compile_cached(root, profile)).transpose()?)
}
