//! Requests: bounds are checked, the event table is asked, the action is done, the answer is made.

use std::os::fd::OwnedFd;

use crate::error::chain;
use crate::protocol::{ErrorKind, MAX_FDS, Request, Response};
use crate::record::is_valid_id;
use crate::server::Monitor;
use crate::table::{self, Action, Event, State};
use crate::tasks::Exec;

/// Highest signal number.
const MAX_SIGNAL: i32 = 64;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn bad_request(message: String) -> Failure {
        Failure { kind: ErrorKind::BadRequest, message, hint: None }
    }

    pub(crate) fn busy(message: &str) -> Failure {
        Failure { kind: ErrorKind::Busy, message: message.to_owned(), hint: None }
    }

    /// A failed system call, or a file.
    pub(crate) fn io(operation: &str, error: &std::io::Error) -> Failure {
        let message = format!("{operation}: {error}");
        Failure { kind: ErrorKind::Runtime, message, hint: None }
    }
}

impl From<runtime::Error> for Failure {
    fn from(error: runtime::Error) -> Failure {
        let message = chain(&error);
        Failure { kind: kind_of(&message), hint: error.hint(), message }
    }
}

/// The kind by runc's words, which are API: engines match the very same ones.
fn kind_of(message: &str) -> ErrorKind {
    let exec = message.contains("exec");
    let missing = message.contains("executable file not found")
        || exec && message.contains("no such file or directory");
    if missing {
        ErrorKind::NotFound
    } else if exec
        && ["permission denied", "exec format error", "is a directory"]
            .iter()
            .any(|words| message.contains(words))
    {
        ErrorKind::NotExecutable
    } else {
        ErrorKind::Runtime
    }
}

impl Monitor {
    /// Does a request and answers it.
    pub(crate) fn handle(
        &mut self,
        connection: u32,
        request: Request,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        if fds.len() > MAX_FDS {
            return Err(Failure::bad_request("too many file descriptors".into()));
        }
        let response = match request {
            Request::Run(run) => self.run(run)?,
            Request::Kill { id, signal, all } => self.kill(&id, signal, all)?,
            Request::Remove { id } => self.remove(&id)?,
            Request::List => self.list(),
            Request::Exec { id, process, timeout_ms } => {
                let exec = Exec { process, timeout_ms, fds };
                return self.exec(connection, &id, exec);
            }
            Request::ExecSignal { signal } => self.signal_exec(connection, signal)?,
            Request::Probe { id, argv, timeout_ms, max_output } => {
                return self.probe(connection, &id, argv, (timeout_ms, max_output));
            }
            Request::Attach { id } => return self.attach(connection, &id, fds),
            Request::Resize { id, rows, cols } => self.resize(&id, rows, cols)?,
            Request::Hello { .. } | Request::Subscribe | Request::Shutdown => Response::Ok,
        };
        self.answer(connection, &response, &[]);
        Ok(())
    }

    /// Every container known.
    pub(crate) fn list(&self) -> Response {
        Response::Containers(self.containers.values().map(|c| c.record()).collect())
    }

    /// The key of the container `id`, its state and what the table says of `event`; refusals are
    /// failures.
    pub(crate) fn ask(
        &self,
        id: &str,
        event: Event,
    ) -> Result<(Option<u32>, Action, State), Failure> {
        if !is_valid_id(id) {
            return Err(Failure::bad_request(format!("{id:?} is not a container id")));
        }
        let found = self.containers.iter().find(|(_, container)| container.id() == id);
        let state = found.map_or(State::Absent, |(_, container)| container.state);
        match table::cell(state, event) {
            (Action::Refuse(refusal), _) => {
                let (kind, message, hint) = refusal.describe(id);
                Err(Failure { kind, message, hint })
            }
            (action, next) => Ok((found.map(|(key, _)| *key), action, next)),
        }
    }

    /// Refuses numbers that no signal has.
    pub(crate) fn check_signal(signal: i32) -> Result<(), Failure> {
        if (1..=MAX_SIGNAL).contains(&signal) {
            Ok(())
        } else {
            Err(Failure::bad_request(format!("signal {signal} is not in 1 to {MAX_SIGNAL}")))
        }
    }

    fn kill(&mut self, id: &str, signal: i32, all: bool) -> Result<Response, Failure> {
        Monitor::check_signal(signal)?;
        let (key, action, _) = self.ask(id, Event::Kill)?;
        let draining = key
            .and_then(|key| self.containers.get(&key))
            .is_some_and(|c| c.state == State::Draining);
        if action == Action::Signal {
            match self.sandbox.runtime.kill(id, signal, all || draining) {
                // Its first process is gone; what it left is killed as far as there is any.
                Err(_) if draining => {}
                other => other?,
            }
        }
        Ok(Response::Ok)
    }

    fn resize(&mut self, id: &str, rows: u16, cols: u16) -> Result<Response, Failure> {
        let (key, action, _) = self.ask(id, Event::Resize)?;
        let container = key.and_then(|key| self.containers.get(&key));
        if let (Action::SetSize, Some(container)) = (action, container) {
            let master = container.stdin.as_ref().filter(|_| container.member.request.terminal);
            let Some(master) = master else {
                let words = format!("container \"{id}\" has no terminal");
                return Err(Failure::bad_request(words));
            };
            sys::stdio::set_window_size(std::os::fd::AsFd::as_fd(master), rows, cols)
                .map_err(|error| Failure::io("set window size", &error))?;
        }
        Ok(Response::Ok)
    }

    /// Removes everything of the pod, or says what could not be removed and stays.
    pub(crate) fn shut_down(&mut self) -> Result<(), Failure> {
        if let Some(container) = self.containers.values().find(|c| c.state != State::Exited) {
            let message = format!("container \"{}\" still runs", container.id());
            let hint = Some("kill it and wait for its end first".to_owned());
            return Err(Failure { kind: ErrorKind::Busy, message, hint });
        }
        let mut failed = Vec::new();
        let ids: Vec<String> = self.containers.values().map(|c| c.id().to_owned()).collect();
        for id in ids {
            if let Err(failure) = self.remove(&id) {
                failed.push(failure.message);
            }
        }
        failed.extend(self.sandbox.teardown());
        failed.extend(self.sandbox.remove_files());
        if failed.is_empty() {
            return Ok(());
        }
        let hint = Some("ask again: what is gone already is no error".to_owned());
        Err(Failure { kind: ErrorKind::Runtime, message: failed.join("; "), hint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runc_words_decide_the_kind() {
        for (words, kind) in [
            ("exec: \"x\": executable file not found in $PATH", ErrorKind::NotFound),
            ("exec /x: no such file or directory", ErrorKind::NotFound),
            ("exec /x: permission denied", ErrorKind::NotExecutable),
            ("mount /x: no such file or directory", ErrorKind::Runtime),
        ] {
            assert_eq!(kind_of(words), kind, "{words}");
        }
    }
}
