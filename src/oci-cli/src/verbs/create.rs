//! `create` and `run`: a container from a bundle.

use std::os::fd::AsFd;
use std::path::PathBuf;

use runtime::{Bundle, Console, CreateOptions, Created, Readiness, Runtime};
use sys::foreground::Signals;

use super::{Verb, id, open};
use crate::args::{Flag, Given, Words};
use crate::help;
use crate::readiness::{Awaited, Manager, wait};
use crate::report::{Failure, log};

pub(super) const BUNDLE: Flag =
    Flag::value("bundle", b'b', "DIR", "the bundle's folder (default: the current one)");
pub(super) const CONSOLE: Flag =
    Flag::value("console-socket", 0, "SOCKET", "unix socket that gets the pty's master");
pub(super) const PID_FILE: Flag =
    Flag::value("pid-file", 0, "FILE", "write the process's pid to FILE");
pub(super) const NO_PIVOT: Flag = Flag::switch("no-pivot", 0, "change the root without pivot_root");
const NO_KEYRING: Flag = Flag::switch("no-new-keyring", 0, "keep the caller's session keyring");
pub(super) const PIDFD: Flag =
    Flag::value("pidfd-socket", 0, "SOCKET", "unix socket that gets the process's pidfd");
const CONFIG: Flag = Flag::value("config", b'f', "FILE", "another document than config.json");
pub(super) const NO_SUBREAPER: Flag =
    Flag::switch("no-subreaper", 0, "accepted for runc's callers; there is no subreaper");
/// Most sockets that a service manager passes.
const LISTEN_FDS_MAX: u32 = 1024;

const PRESERVE: Flag = Flag::value("preserve-fds", 0, "N", "pass N descriptors from 3 on");

/// Options of both.
const SHARED: [Flag; 9] =
    [BUNDLE, CONFIG, CONSOLE, PID_FILE, PIDFD, NO_PIVOT, NO_KEYRING, PRESERVE, NO_SUBREAPER];

/// Those, and two of `run` alone.
const RUN_FLAGS: [Flag; SHARED.len() + 2] = {
    let mut all = [Flag::switch("detach", b'd', "do not wait"); SHARED.len() + 2];
    let mut at = 0;
    while at < SHARED.len() {
        all[at] = SHARED[at];
        at += 1;
    }
    all[at] = Flag::switch("keep", 0, "do not delete it at its end");
    all
};

/// `create ID`.
pub(super) const CREATE: Verb = Verb {
    name: "create",
    help: "make a container; its process waits for start",
    arguments: "ID",
    flags: &SHARED,
    words: Words::Anywhere,
    least: 1,
    most: 1,
    hidden: false,
    examples: ["create --bundle /containers/web web", "create web --pid-file /run/web.pid"],
    run: |globals, given| {
        create(globals, given).map_err(|f| f.within(&format!("{} create failed", help::name())))
    },
};

/// `run ID`.
pub(super) const RUN: Verb = Verb {
    name: "run",
    help: "make and start a container, and wait for its end",
    flags: &RUN_FLAGS,
    examples: ["run --bundle /containers/web web", "run --detach --pid-file /run/web.pid web"],
    run: |globals, given| {
        run(globals, given).map_err(|f| f.within(&format!("{} run failed", help::name())))
    },
    ..CREATE
};

fn options(
    given: &Given,
    console: Console,
    manager: Option<&Manager>,
) -> Result<CreateOptions, Failure> {
    Ok(CreateOptions {
        console,
        preserve_fds: given.number("preserve-fds")?.unwrap_or(0),
        listen_fds: listen_fds(),
        notify: manager.map(Manager::place),
        no_pivot: given.has("no-pivot"),
        no_new_keyring: given.has("no-new-keyring"),
        pid_file: given.path("pid-file"),
        pidfd_socket: given.path("pidfd-socket"),
        ..CreateOptions::default()
    })
}

/// How many listening sockets the service manager has passed, for the container: sd_listen_fds(3).
fn listen_fds() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    // Another process's are none of ours; engines leave out whose they are, as their pid is no use.
    let foreign = number("LISTEN_PID").is_some_and(|pid| pid != std::process::id());
    if foreign { 0 } else { number("LISTEN_FDS").filter(|n| *n <= LISTEN_FDS_MAX).unwrap_or(0) }
}

/// The bundle, and whether its process wants a terminal: that decides where the master goes.
pub(super) fn bundle(given: &Given) -> Result<(Bundle, bool), Failure> {
    let path = given.path("bundle").unwrap_or_else(|| PathBuf::from("."));
    let bundle = match given.path("config") {
        Some(config) => Bundle::load_with(&path, &config)?,
        None => Bundle::load(&path)?,
    };
    bundle.warnings().iter().for_each(|words| log().warn(words));
    let terminal = bundle.spec().process().as_ref().and_then(|p| p.terminal()) == Some(true);
    Ok((bundle, terminal))
}

/// runc's rules on who gets the master of the pty.
pub(super) fn console(
    terminal: bool,
    socket: Option<PathBuf>,
    detach: bool,
) -> Result<Console, Failure> {
    match (terminal, socket, detach) {
        (true, Some(socket), true) => Ok(Console::Socket(socket)),
        (true, None, true) => Err(Failure::new(
            "cannot allocate tty if podvisor-oci will detach without setting console socket",
        )),
        (true, None, false) => Ok(Console::Keep),
        (_, Some(_), _) => Err(Failure::new(
            "cannot use console socket if podvisor-oci will not detach or allocate tty",
        )),
        (false, None, _) => Ok(Console::None),
    }
}

fn create(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let ((bundle, terminal), id) = (bundle(given)?, id(given)?);
    let console = console(terminal, given.path("console-socket"), true)?;
    let manager = Manager::of_caller();
    open(globals)?.create(id, &bundle, options(given, console, manager.as_ref())?)?;
    Ok(0)
}

fn run(globals: &Given, given: &Given) -> Result<u8, Failure> {
    let ((bundle, terminal), id, detach) = (bundle(given)?, id(given)?, given.has("detach"));
    let console = console(terminal, given.path("console-socket"), detach)?;
    let runtime = open(globals)?;
    // Blocked before the container exists, so that a signal meant for it is never lost.
    let signals = if detach { None } else { Some(block()?) };
    let manager = Manager::of_caller();
    let mut created = runtime.run(id, &bundle, options(given, console, manager.as_ref())?)?;
    let socket = created.readiness.take();
    let Some(signals) = signals else {
        let Created { pid, pidfd: process, .. } = created;
        let started = socket.map(|socket| Readiness { socket, pid, process });
        return await_ready(manager, started);
    };
    let awaited = Awaited::of(manager, socket);
    stay(&runtime, (id, given.has("keep")), (created, awaited), &signals)
}

/// Waits for a started container to be ready, where somebody is to be told.
pub(super) fn await_ready(
    manager: Option<Manager>,
    started: Option<Readiness>,
) -> Result<u8, Failure> {
    let waited = manager.zip(started).map_or(Ok(()), |(manager, started)| wait(manager, started));
    waited.map_err(|e| Failure::new(format!("wait for readiness: {e}")))?;
    Ok(0)
}

/// Stays with a container until its end, and deletes it then unless it is to be kept.
pub(super) fn stay(
    runtime: &Runtime,
    (id, keep): (&str, bool),
    (created, awaited): (Created, Option<Awaited>),
    signals: &Signals,
) -> Result<u8, Failure> {
    let pass = |signal| pass_on(runtime, id, signal);
    let (process, console) = (created.pidfd.as_fd(), created.console);
    let code = crate::foreground::wait(signals, process, console, awaited, pass);
    if !keep {
        runtime.delete(id, true)?;
    }
    code.map_err(|e| Failure::new(format!("wait for container {id}: {e}")))
}

/// Signals as a descriptor.
pub(super) fn block() -> Result<Signals, Failure> {
    Signals::block().map_err(|e| Failure::new(format!("block signals: {e}")))
}

fn pass_on(runtime: &Runtime, id: &str, signal: i32) {
    // The process may end just now; its exit is what counts then.
    let _ = runtime.kill(id, signal, false);
}
