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
//! A hook without `env` gets the environment of where it runs: the caller's, or the process's. Its
//! working folder is the caller's, the root to come (createContainer) or the process's
//! (startContainer): as in runc.
//!
//! A hook that fails stops what is being done, but after the start (poststart: the specification's
//! "log a warning" would be lost, so it is an error told to the caller; poststop: all are run).
//! Source: runtime-spec config.md "POSIX-platform Hooks", runtime.md "Lifecycle".

pub(crate) mod contained;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use child::Op;
use oci::runtime::{Hook, Hooks, LinuxNamespaceType, Spec};
use oci::{State, Status, state::SPEC_VERSION};
use sys::launch::{Birth, Told};

use crate::draft::{Draft, Source};
use crate::error::{Error, Result};
use crate::store::Record;

/// Longest run of a hook that names no timeout: a wait without a bound is never right.
const TIMEOUT_MAX_S: u64 = 3600;

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
    pub(crate) process: BorrowedFd<'a>,
    /// CLONE_NEW* kinds to join.
    pub(crate) kinds: u64,
    /// The working folder, as a path in there.
    pub(crate) folder: &'a Path,
    /// The container's process: its environment is that of hooks that have none.
    pub(crate) env: &'a [String],
}

impl<'a> Inside<'a> {
    /// The inside of the container of `spec`.
    pub(crate) fn of(spec: &'a Spec, process: BorrowedFd<'a>, folder: &'a Path) -> Inside<'a> {
        let of = spec.process().as_ref();
        Inside {
            process,
            // Also where it is about to leave the mount namespace of its making again.
            kinds: crate::plan::kinds(spec)
                | crate::plan::namespace_flag(LinuxNamespaceType::Mount),
            folder,
            env: of.and_then(|p| p.env().as_deref()).unwrap_or_default(),
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

/// Runs them all; what failed, in words.
pub(crate) fn run_each(spec: &Spec, list: List, state: &State) -> Vec<String> {
    let Some(hooks) = spec.hooks() else { return Vec::new() };
    let mut failures = Vec::new();
    for (index, hook) in list.of(hooks).iter().enumerate() {
        if let Err(problem) = one(hook, state, None) {
            let (name, path) = (list.name(), hook.path().display());
            failures.push(format!("error running {name} hook #{index}: {path}: {problem}"));
        }
    }
    failures
}

type Told1<T> = std::result::Result<T, String>;

fn one(hook: &Hook, state: &State, inside: Option<&Inside<'_>>) -> Told1<()> {
    let words = |error: io::Error| error.to_string();
    let stdio = stdio(state)?;
    let draft = program(hook, inside);
    let mut slots = Vec::new();
    for source in &draft.sources {
        slots.push(match source {
            Source::Stdio(number) => stdio[*number].as_fd(),
            _ => inside.map(|inside| inside.process).ok_or("nothing to join")?,
        });
    }
    let born = sys::launch::launch(&draft.program, &slots, &Birth::default());
    let mut launched = born.map_err(words)?;
    let begun = loop {
        match launched.next() {
            Ok(Told::Failed { errno, .. }) => break Err(sys::errno::full(errno)),
            Ok(Told::Closed) => break Ok(()),
            Ok(Told::Forked(pid)) => match launched.follow(pid) {
                Ok(()) => {}
                Err(error) => break Err(words(error)),
            },
            Ok(_) => {}
            Err(error) => break Err(words(error)),
        }
    };
    if let Err(problem) = begun {
        launched.destroy();
        return Err(problem);
    }
    finish(&launched.pidfd, hook)
}

/// The state to read, and the caller's own output.
fn stdio(state: &State) -> Told1<[OwnedFd; 3]> {
    let words = |error: io::Error| error.to_string();
    let text = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    let input = sys::tree::memory_file(&text).map_err(words)?;
    Ok([
        OwnedFd::from(input),
        io::stdout().as_fd().try_clone_to_owned().or_else(|_| null()).map_err(words)?,
        io::stderr().as_fd().try_clone_to_owned().or_else(|_| null()).map_err(words)?,
    ])
}

/// Waits for the end of a hook that has begun, as long as it may take.
fn finish(process: &OwnedFd, hook: &Hook) -> Told1<()> {
    let words = |error: io::Error| error.to_string();
    let seconds = hook.timeout().and_then(|s| u64::try_from(s).ok()).unwrap_or(TIMEOUT_MAX_S);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let ended = sys::teardown::any_ended(std::slice::from_ref(process), deadline);
    if !ended.map_err(words)? {
        sys::launch::end(process.as_fd());
        return Err(format!("did not end within {seconds} s and was killed"));
    }
    match sys::foreground::reap(process.as_fd()).map_err(words)? {
        0 => Ok(()),
        // SIGSYS: what a filter ends by.
        159 => Err("was ended by signal 31: bad system call".to_owned()),
        code @ 129..=192 => Err(format!("was ended by signal {}", code - 128)),
        code => Err(format!("ended with exit code {code}")),
    }
}

const NEW_PID: u64 = sys::abi::CLONE_NEWPID as u64;

fn null() -> io::Result<OwnedFd> {
    sys::stdio::open_null()
}

fn program(hook: &Hook, inside: Option<&Inside<'_>>) -> Draft {
    let mut draft = Draft::default();
    let first = draft.slot(Source::Stdio(0));
    draft.slot(Source::Stdio(1));
    draft.slot(Source::Stdio(2));
    draft.op(Op::Stdio { first, uid: 0 });
    if let Some(inside) = inside {
        let slot = draft.slot(Source::Process);
        let kind = u32::try_from(inside.kinds).unwrap_or(0);
        draft.op(Op::Setns { slot, kind });
        if inside.kinds & NEW_PID != 0 {
            draft.op(Op::Fork { flags: 0 });
        }
        let path = draft.path(inside.folder);
        draft.op(Op::Chdir { path });
    }
    draft.op(Op::CloseFrom { first: 3, keep: child::NO_SLOT });
    draft.op(Op::Signals);
    let path = hook.path().as_path();
    draft.program.argv = match hook.args() {
        Some(args) if !args.is_empty() => draft.strings(args),
        _ => draft.strings([bytes(path)]),
    };
    draft.program.envp = match (hook.env(), inside) {
        (Some(env), _) => draft.strings(env),
        (None, Some(inside)) => draft.strings(inside.env),
        (None, None) => draft.strings(own_environment()),
    };
    draft.program.candidates = draft.strings([bytes(path)]);
    draft.op(Op::Exec);
    draft
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
