//! Hooks: programs of the host or of the container, told the state on stdin.
//!
//! | list | when | where |
//! |---|---|---|
//! | prestart, createRuntime | namespaces and mounts are there | runtime's namespaces |
//! | createContainer | the same moment, after those | container's namespaces, host's files |
//! | startContainer | after `start`, before the command | in the container, as a process of it |
//! | poststart | the command has begun | runtime's namespaces |
//! | poststop | everything has been removed | runtime's namespaces |
//!
//! A hook of the host has nothing of the container's in its environment, which is the caller's if
//! it has no `env`, and works in the bundle: what an image says and holds is not for the host's
//! programs (CVE-2025-23266). In a user namespace a createContainer hook is its root. A PID
//! namespace that was there before is the one namespace that it does not join.
//!
//! A hook that fails stops what is being done, and then the poststop hooks run; when they fail
//! themselves, that is a warning. What a hook says is told when it fails ([`session`]).
//! Source: runtime-spec config.md "POSIX-platform Hooks", runtime.md "Lifecycle".

pub(crate) mod contained;
mod session;

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use child::{Op, Text};
use oci::runtime::{Hook, Hooks, LinuxNamespaceType, Spec};
use oci::{State, Status, state::SPEC_VERSION};
use sys::launch::{Birth, Launched, Told};

use crate::draft::{Draft, Source};
use crate::error::{Error, Result};
use crate::notes::Notes;
use crate::plan;
use crate::store::Record;
use session::Session;

/// A list of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            List::Prestart => "prestart",
            List::CreateRuntime => "createRuntime",
            List::CreateContainer => "createContainer",
            List::StartContainer => "startContainer",
            List::Poststart => "poststart",
            List::Poststop => "poststop",
        }
    }

    #[allow(deprecated, reason = "prestart hooks are still in use and still in the specification")]
    fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            List::Prestart => hooks.prestart(),
            List::CreateRuntime => hooks.create_runtime(),
            List::CreateContainer => hooks.create_container(),
            List::StartContainer => hooks.start_container(),
            List::Poststart => hooks.poststart(),
            List::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// Whether a list has anything in it.
pub(crate) fn any(spec: &Spec, lists: &[List]) -> bool {
    spec.hooks().as_ref().is_some_and(|hooks| lists.iter().any(|list| !list.of(hooks).is_empty()))
}

/// The state that hooks are told.
pub(crate) fn state(record: &Record, status: Status, pid: i32) -> State {
    State {
        oci_version: SPEC_VERSION.to_owned(),
        id: record.id.clone(),
        status,
        pid: (pid != 0 && status != Status::Stopped).then_some(pid),
        bundle: record.bundle.clone(),
        annotations: record.annotations.clone(),
    }
}

/// The inside of a container, for the lists that run in there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inside<'a> {
    /// A process of it.
    process: BorrowedFd<'a>,
    /// CLONE_NEW* kinds to join.
    kinds: u64,
    /// It has groups of its own, which may be set.
    groups: bool,
    /// The bundle is in there, too: its mount namespace was made of the caller's.
    has_bundle: bool,
}

impl<'a> Inside<'a> {
    /// The inside of the container of `spec`, with its process of the number `pid`.
    pub(crate) fn of(spec: &Spec, process: BorrowedFd<'a>, pid: i32) -> Inside<'a> {
        let (mounts, pids) = (LinuxNamespaceType::Mount, LinuxNamespaceType::Pid);
        // Also where it is about to leave the mount namespace of its making again.
        let kinds = plan::kinds(spec) | plan::namespace_flag(mounts);
        // Others in a PID namespace that is joined could stop a program of the host or, with
        // CAP_SYS_PTRACE, be it.
        let shared = if plan::has_new(spec, pids) { 0 } else { plan::namespace_flag(pids) };
        Inside {
            process,
            kinds: kinds & !shared,
            groups: !plan::keeps_groups(spec) && !crate::idmaps::denied_to(pid),
            has_bundle: plan::has_new(spec, mounts) || plan::shares_mounts(spec),
        }
    }
}

/// Runs the hooks of a list, inside of the container where that is given.
///
/// # Errors
/// The first that fails.
pub(crate) fn run(
    spec: &Spec,
    list: List,
    state: &State,
    inside: Option<Inside<'_>>,
) -> Result<()> {
    let Some(hooks) = spec.hooks() else { return Ok(()) };
    for (index, hook) in list.of(hooks).iter().enumerate() {
        one(hook, state, inside.as_ref()).map_err(|problem| Error::Hook {
            name: list.name(),
            index,
            path: hook.path().clone(),
            problem,
        })?;
    }
    Ok(())
}

/// Runs the poststop hooks of a container whose removal has left no more than its state. All of
/// them run: "log a warning, but continue as if the hook had succeeded".
pub(crate) fn poststop(spec: &Spec, record: &Record, notes: &Notes) {
    let Some(hooks) = spec.hooks() else { return };
    let state = state(record, Status::Stopped, 0);
    for (index, hook) in List::Poststop.of(hooks).iter().enumerate() {
        if let Err(problem) = one(hook, &state, None) {
            let path = hook.path().display();
            notes.warn(&format!("error running poststop hook #{index}: {path}: {problem}"));
        }
    }
}

type Told1<T> = std::result::Result<T, String>;

fn one(hook: &Hook, state: &State, inside: Option<&Inside<'_>>) -> Told1<()> {
    let (session, stdio) = Session::begin(hook, state)?;
    // An engine may have removed it before what was in it is deleted.
    let folder = if state.bundle.is_dir() { &state.bundle } else { Path::new("/") };
    let draft = program(hook, folder, inside);
    let mut slots = Vec::new();
    for source in &draft.sources {
        slots.push(match source {
            Source::Stdio(number) => stdio[*number].as_fd(),
            _ => inside.map(|inside| inside.process).ok_or("nothing to join")?,
        });
    }
    let born = sys::launch::launch(&draft.program, &slots, &Birth::default());
    let mut launched = born.map_err(|error| error.to_string())?;
    // From now on they are the hook's alone: what it says ends with it.
    drop(stdio);
    if let Err(problem) = begun(&mut launched, &session) {
        launched.destroy();
        return Err(problem);
    }
    session.finish(&launched.pidfd)
}

/// Waits until a hook's process has executed it.
fn begun(launched: &mut Launched, session: &Session) -> Told1<()> {
    let words = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock => "did not begin in time and was killed".to_owned(),
        _ => error.to_string(),
    };
    loop {
        launched.limit_waits(session.silence_max_ms()).map_err(words)?;
        match launched.next().map_err(words)? {
            Told::Failed { errno, .. } => return Err(sys::errno::full(errno)),
            Told::Closed => return Ok(()),
            Told::Forked(pid) => launched.follow(pid).map_err(words)?,
            _ => {}
        }
    }
}

/// A program of the host in `folder`, or inside of the container.
fn program(hook: &Hook, folder: &Path, inside: Option<&Inside<'_>>) -> Draft {
    let mut draft = Draft::default();
    let first = draft.slot(Source::Stdio(0));
    draft.slot(Source::Stdio(1));
    draft.slot(Source::Stdio(2));
    draft.op(Op::Stdio { first, uid: 0 });
    let path = draft.path(folder);
    match inside {
        None => draft.op(Op::Chdir { path }),
        Some(inside) => {
            let folder = inside.has_bundle.then_some(path);
            join(&mut draft, inside, folder);
        }
    }
    draft.op(Op::CloseFrom { first: 3, keep: child::NO_SLOT });
    draft.op(Op::Signals);
    let path = hook.path().as_path();
    draft.program.argv = match hook.args() {
        Some(args) if !args.is_empty() => draft.strings(args),
        _ => draft.strings([bytes(path)]),
    };
    draft.program.envp = match hook.env() {
        Some(env) => draft.strings(env),
        None => draft.strings(own_environment()),
    };
    draft.program.candidates = draft.strings([bytes(path)]);
    draft.op(Op::Exec);
    draft
}

/// Joins a container. Nobody has a hold of the process until it executes the hook.
fn join(draft: &mut Draft, inside: &Inside<'_>, folder: Option<Text>) {
    let has = |kind| inside.kinds & plan::namespace_flag(kind) != 0;
    draft.op(Op::Hide);
    let slot = draft.slot(Source::Process);
    let kind = u32::try_from(inside.kinds).unwrap_or(0);
    draft.op(Op::Setns { slot, kind });
    if let Some(path) = folder {
        // As the caller: it may be closed to others.
        draft.op(Op::Chdir { path });
    }
    if has(LinuxNamespaceType::User) {
        draft.op(Op::BecomeRoot { groups: inside.groups });
    }
    if has(LinuxNamespaceType::Pid) {
        draft.op(Op::Fork { flags: 0 });
    }
}

fn own_environment() -> impl Iterator<Item = Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    let joined = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        [name.as_bytes(), b"=", value.as_bytes()].concat()
    };
    std::env::vars_os().map(joined)
}

fn bytes(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Red when `begun` waits for the process's next word without a limit: this test does not end.
    #[test]
    fn a_process_that_does_not_become_its_hook_is_given_up() {
        let hook = json!({"path": "/bin/true", "timeout": 1});
        let hook: Hook = serde_json::from_value(hook).unwrap();
        let state = State {
            oci_version: SPEC_VERSION.to_owned(),
            id: "c".to_owned(),
            status: Status::Creating,
            pid: None,
            bundle: "/".into(),
            annotations: Default::default(),
        };
        let (session, _stdio) = Session::begin(&hook, &state).unwrap();
        let mut draft = Draft::default();
        // For a word that nobody says: as one that somebody has stopped.
        draft.op(Op::Sync { point: 0, tell: false });
        let mut launched = sys::launch::launch(&draft.program, &[], &Birth::default()).unwrap();
        let problem = begun(&mut launched, &session).unwrap_err();
        launched.destroy();
        assert_eq!(problem, "did not begin in time and was killed");
    }
}
