//! A person's terminal, or a pipe, and a process in a container.
//!
//! It talks to the pod's monitor itself, so a session goes on when the supervisor dies. An exec
//! with a terminal gets the pty's master and copies bytes here; everything else hands its own
//! stdio over and only waits. Invariant: the terminal's mode found is the mode left.

mod copy;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use monitor::Client;
use monitor::protocol::{ErrorKind, ExitRecord, Request, Response};
use oci::runtime::Process;
use sys::foreground::{RawMode, window_size};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::OWN_FAILURE;
use crate::failure::Failure;
use crate::readiness::wait_on;

/// Exit code of a command that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a command that does not exist.
const NOT_FOUND: u8 = 127;

/// What to try when a command did not start, by the exit code that says so.
pub(crate) fn hint_for(code: u8) -> Option<&'static str> {
    match code {
        NOT_FOUND => Some("is it in the image? its PATH is what is searched"),
        NOT_EXECUTABLE => Some("is it a program, and may this user execute it?"),
        _ => None,
    }
}

/// What of a person's stdio takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Standard input is passed on.
    pub interactive: bool,
    /// The process has a terminal.
    pub terminal: bool,
}

/// A connection to a monitor that can be waited for beside signals.
struct Line {
    client: Client,
    ready: AsyncFd<OwnedFd>,
    what: String,
}

impl Line {
    fn connect(socket: &Path, what: &str) -> Result<Line, Failure> {
        let client = Client::connect(socket).map_err(|error| {
            Failure::of(what, &error).hint_maybe(error.hint()).code(OWN_FAILURE)
        })?;
        let fd = client.as_fd().try_clone_to_owned();
        let ready = fd.and_then(wait_on);
        let ready = ready.map_err(|error| Failure::of(what, &error).code(OWN_FAILURE))?;
        Ok(Line { client, ready, what: what.to_owned() })
    }

    fn ask(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Response, Vec<OwnedFd>), Failure> {
        let answer = self.client.call(request, fds);
        match answer.map_err(|error| self.broken(&error))? {
            (Response::Error { kind, message, hint }, _) => Err(self.refused(kind, message, hint)),
            answer => Ok(answer),
        }
    }

    fn broken(&self, error: &monitor::ClientError) -> Failure {
        Failure::of(&self.what, error).hint_maybe(error.hint()).code(OWN_FAILURE)
    }

    fn refused(&self, kind: ErrorKind, message: String, hint: Option<String>) -> Failure {
        let code = match kind {
            ErrorKind::NotFound => NOT_FOUND,
            ErrorKind::NotExecutable => NOT_EXECUTABLE,
            ErrorKind::Runtime
            | ErrorKind::NoSuchContainer
            | ErrorKind::BadRequest
            | ErrorKind::Busy => OWN_FAILURE,
        };
        let hint = hint.or(hint_for(code).map(str::to_owned));
        Failure::new(&self.what, message).hint_maybe(hint).code(code)
    }

    /// Waits for the end that was promised; answers to signals and sizes come before it.
    async fn end(&mut self) -> Result<ExitRecord, Failure> {
        loop {
            let mut guard = self
                .ready
                .readable()
                .await
                .map_err(|error| Failure::of(&self.what, &error).code(OWN_FAILURE))?;
            let waiting = sys::seqpacket::is_readable(self.client.as_fd()).unwrap_or(true);
            if !waiting {
                guard.clear_ready();
                continue;
            }
            drop(guard);
            match self.client.next_answer() {
                Ok((Response::Exited(record), _)) => return Ok(record),
                Ok(_) => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    /// Sends what needs no answer of its own; a monitor that is gone shows at the end.
    fn tell(&mut self, request: &Request) {
        let _ = self.client.send(request, &[]);
    }
}

/// Signals that are passed on to the process.
struct Passed {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    window: Signal,
}

/// What came in.
enum Caught {
    Number(i32),
    Window,
}

impl Passed {
    fn new(what: &str) -> Result<Passed, Failure> {
        let failed = |error: std::io::Error| Failure::of(what, &error).code(OWN_FAILURE);
        Ok(Passed {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            quit: signal(SignalKind::quit()).map_err(failed)?,
            window: signal(SignalKind::window_change()).map_err(failed)?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::Number(SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => Caught::Number(SignalKind::terminate().as_raw_value()),
            _ = self.quit.recv() => Caught::Number(SignalKind::quit().as_raw_value()),
            _ = self.window.recv() => Caught::Window,
        }
    }
}

/// Runs a process in a container; its exit code.
///
/// # Errors
/// 126, 127 or 125 by kind, with the monitor's words.
pub async fn exec(
    socket: &Path,
    id: &str,
    process: Process,
    wishes: Wishes,
    what: &str,
) -> Result<u8, Failure> {
    let mut line = Line::connect(socket, what)?;
    let mut signals = Passed::new(what)?;
    let request = Request::Exec { id: id.to_owned(), process, timeout_ms: None };
    if wishes.terminal {
        let (_, mut fds) = line.ask(&request, &[])?;
        let master = fds
            .pop()
            .ok_or_else(|| Failure::new(what, "the monitor sent no terminal").code(OWN_FAILURE))?;
        return copy::terminal(line, master, wishes.interactive, signals).await;
    }
    let null = sys::stdio::open_null().map_err(|error| Failure::of(what, &error).code(125))?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let input = if wishes.interactive { stdin.as_fd() } else { null.as_fd() };
    line.ask(&request, &[input, stdout.as_fd(), stderr.as_fd()])?;
    loop {
        tokio::select! {
            ended = line.end() => return Ok(code(&ended?)),
            caught = signals.next() => if let Caught::Number(signal) = caught {
                line.tell(&Request::ExecSignal { signal });
            },
        }
    }
}

/// Joins a container's own stdio until it ends; its exit code.
///
/// # Errors
/// 125, with the monitor's words.
pub async fn attach(socket: &Path, id: &str, wishes: Wishes, what: &str) -> Result<u8, Failure> {
    let mut line = Line::connect(socket, what)?;
    let mut signals = Passed::new(what)?;
    let null = sys::stdio::open_null().map_err(|error| Failure::of(what, &error).code(125))?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let input = if wishes.interactive { stdin.as_fd() } else { null.as_fd() };
    let _raw = match wishes.terminal && wishes.interactive {
        true => {
            RawMode::enter(stdin.as_fd()).map_err(|error| Failure::of(what, &error).code(125))?
        }
        false => None,
    };
    if wishes.terminal
        && let Some((rows, cols)) = window_size(stdout.as_fd())
    {
        // Asked and answered before the attach, so that answers stay in step; a container that has
        // ended has no size, and its output is told all the same.
        let _ = line.ask(&Request::Resize { id: id.to_owned(), rows, cols }, &[]);
    }
    line.ask(&Request::Attach { id: id.to_owned() }, &[input, stdout.as_fd(), stderr.as_fd()])?;
    loop {
        tokio::select! {
            ended = line.end() => return Ok(code(&ended?)),
            caught = signals.next() => match caught {
                Caught::Number(signal) => {
                    line.tell(&Request::Kill { id: id.to_owned(), signal, all: false });
                }
                Caught::Window => resize(&mut line, id),
            },
        }
    }
}

fn resize(line: &mut Line, id: &str) {
    if let Some((rows, cols)) = window_size(std::io::stdout().as_fd()) {
        line.tell(&Request::Resize { id: id.to_owned(), rows, cols });
    }
}

fn code(record: &ExitRecord) -> u8 {
    u8::try_from(record.code).unwrap_or(u8::MAX)
}
