//! Processes beside a container's first one: exec and probes.
//!
//! An exec uses its client's own descriptors, so its bytes never pass through here; it is killed
//! when its client goes away. A probe's output comes through a pipe, is cut and drained. Both have
//! deadlines after which the whole process group is killed; a process that even SIGKILL does not
//! end is answered for and left to be reaped whenever it ends.

use std::os::fd::{AsFd, OwnedFd};

use oci::runtime::Process;
use runtime::{Console, ExecOptions, Stdio};
use sys::children::Status;
use sys::stdio::Moved;
use sys::watch::Interest;

use crate::bundle;
use crate::protocol::{ExitRecord, MAX_PROBE_OUTPUT_BYTES, Response};
use crate::requests::Failure;
use crate::server::Monitor;
use crate::table::Event;
use crate::token::Token;

/// Most processes beside the first ones at a time.
const MAX_TASKS: usize = 128;
/// Longest wait for a killed process to end, in ms.
const KILL_GRACE_MS: u64 = 2000;
/// Most time that a probe may take, in ms.
const MAX_PROBE_MS: u64 = 3_600_000;

const KILL: i32 = 9;

/// What an exec needs.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) process: Process,
    pub(crate) timeout_ms: Option<u64>,
    /// Stdin, stdout and stderr; none for a terminal.
    pub(crate) fds: Vec<OwnedFd>,
}

/// A process that somebody waits for.
#[derive(Debug)]
pub(crate) struct Task {
    connection: u32,
    pid: i32,
    kind: Kind,
    started_at_ns: u64,
    started_boot_ms: u64,
    /// CLOCK_BOOTTIME ms at which it is killed, or, once it has been, given up.
    pub(crate) deadline: Option<u64>,
    timed_out: bool,
}

#[derive(Debug)]
enum Kind {
    Exec,
    Probe(ProbeOutput),
}

#[derive(Debug)]
struct ProbeOutput {
    pipe: OwnedFd,
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Monitor {
    pub(crate) fn exec(&mut self, connection: u32, id: &str, exec: Exec) -> Result<(), Failure> {
        let Exec { process, timeout_ms, fds } = exec;
        let member = self.enter(id)?;
        if self.connections.get(&connection).is_none_or(|c| c.exec.is_some()) {
            return Err(Failure::busy("this connection's last exec still runs"));
        }
        let oom = process.oom_score_adj();
        let (stdio, console) = match (process.terminal().unwrap_or(false), fds.len()) {
            (true, 0) => (Stdio::Inherit, Console::Keep),
            (true, _) => {
                let words = "exec with a terminal takes no file descriptors";
                return Err(Failure::bad_request(words.to_owned()));
            }
            (false, _) => match <[OwnedFd; 3]>::try_from(fds) {
                Ok(fds) => (Stdio::Fds(fds), Console::None),
                Err(_) => {
                    let words = "exec needs three file descriptors: stdin, stdout, stderr";
                    return Err(Failure::bad_request(words.to_owned()));
                }
            },
        };
        let options = ExecOptions { stdio, console, ..ExecOptions::default() };
        let created = self.sandbox.runtime.exec(id, &process, options)?;
        self.restore_oom_score(created.pid, oom.or(member));
        let task = Task::new(connection, created.pid, Kind::Exec, timeout_ms);
        let started = Response::Started {
            pid: task.pid,
            started_at_ns: task.started_at_ns,
            started_boot_ms: task.started_boot_ms,
        };
        let key = self.new_key();
        self.tasks.insert(key, task);
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.exec = Some(key);
        }
        let master = created.console.as_ref().map(AsFd::as_fd);
        self.answer(connection, &started, master.as_slice());
        Ok(())
    }

    /// `limits` are the time-out in ms and the output's bound in bytes.
    pub(crate) fn probe(
        &mut self,
        connection: u32,
        id: &str,
        argv: Vec<String>,
        limits: (u64, usize),
    ) -> Result<(), Failure> {
        if argv.is_empty() {
            return Err(Failure::bad_request("argv: is empty".to_owned()));
        }
        let member = self.enter(id)?;
        let found = self.containers.values().find(|container| container.id() == id);
        let Some(container) = found else {
            return Err(Failure::bad_request("nothing to probe".to_owned()));
        };
        let mut process = bundle::process(&container.member.request.bundle)?;
        process.set_args(Some(argv)).set_terminal(Some(false));
        let failed = |error: std::io::Error| Failure::io("make the probe's pipe", &error);
        let (ours, theirs) = std::io::pipe().map_err(failed)?;
        sys::stdio::set_nonblocking(ours.as_fd()).map_err(failed)?;
        let input = sys::stdio::open_null().map_err(failed)?;
        let stdio = Stdio::Fds([input, theirs.try_clone().map_err(failed)?.into(), theirs.into()]);
        let options = ExecOptions { stdio, console: Console::None, ..ExecOptions::default() };
        let created = self.sandbox.runtime.exec(id, &process, options)?;
        self.restore_oom_score(created.pid, process.oom_score_adj().or(member));
        let key = self.new_key();
        let pipe = OwnedFd::from(ours);
        self.watch
            .add(pipe.as_fd(), Token::Probe(key).pack(), Interest::Read)
            .map_err(|error| Failure::io("watch the probe's output", &error))?;
        let (timeout_ms, max_output) = limits;
        let max_bytes = max_output.min(MAX_PROBE_OUTPUT_BYTES);
        let output = ProbeOutput { pipe, bytes: Vec::new(), max_bytes };
        let timeout = Some(timeout_ms.clamp(1, MAX_PROBE_MS));
        self.tasks.insert(key, Task::new(connection, created.pid, Kind::Probe(output), timeout));
        Ok(())
    }

    /// Checks that a process may be started in `id`; returns the container's oom_score_adj.
    fn enter(&self, id: &str) -> Result<Option<i32>, Failure> {
        let (key, _, _) = self.ask(id, Event::Exec)?;
        if self.tasks.len() >= MAX_TASKS {
            return Err(Failure::busy("the pod has too many execs and probes under way"));
        }
        let pid = key.and_then(|key| self.containers.get(&key)).map(|c| c.member.pid);
        let score =
            pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).ok());
        Ok(score.and_then(|text| text.trim().parse().ok()))
    }

    pub(crate) fn signal_exec(
        &mut self,
        connection: u32,
        signal: i32,
    ) -> Result<Response, Failure> {
        Monitor::check_signal(signal)?;
        let key = self.connections.get(&connection).and_then(|connection| connection.exec);
        // One that has just ended: its Exited is on its way.
        if let Some(task) = key.and_then(|key| self.tasks.get(&key)) {
            sys::children::kill_group(task.pid, signal)
                .map_err(|error| Failure::io("signal the process", &error))?;
        }
        Ok(Response::Ok)
    }

    /// Takes what a probe has written and forgets what is too much.
    pub(crate) fn read_probe(&mut self, key: u32) {
        let Some(Task { kind: Kind::Probe(output), .. }) = self.tasks.get_mut(&key) else { return };
        for _ in 0..4 {
            match sys::stdio::read(output.pipe.as_fd(), &mut self.scratch.input) {
                Ok(Moved::Bytes(len)) => {
                    let room = output.max_bytes - output.bytes.len();
                    output.bytes.extend_from_slice(&self.scratch.input[..len.min(room)]);
                }
                Ok(Moved::NotNow) => return,
                Ok(Moved::Ended) | Err(_) => return self.watch.remove(output.pipe.as_fd()),
            }
        }
    }

    /// A child of this pid has ended; `false` when it is no task.
    pub(crate) fn task_ended(&mut self, pid: i32, status: Status) -> bool {
        let Some(key) = self.tasks.iter().find(|(_, t)| t.pid == pid).map(|(key, _)| *key) else {
            return false;
        };
        self.read_probe(key);
        self.finish(key, status);
        true
    }

    /// A deadline has passed: the first kills, the second gives up.
    pub(crate) fn task_due(&mut self, key: u32, now: u64) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if task.timed_out {
            return self.finish(key, Status { code: 128 + KILL, signal: Some(KILL) });
        }
        task.timed_out = true;
        task.deadline = Some(now + KILL_GRACE_MS);
        // Without the permission there is nothing more to try; the second deadline answers.
        let _ = sys::children::kill_group(task.pid, KILL);
    }

    /// The client of an exec is gone.
    pub(crate) fn abandon(&mut self, key: u32) {
        if let Some(task) = self.tasks.get_mut(&key) {
            task.timed_out = true;
            task.deadline = Some(sys::clock::boot_ms() + KILL_GRACE_MS);
            let _ = sys::children::kill_group(task.pid, KILL);
        }
    }

    fn finish(&mut self, key: u32, status: Status) {
        let Some(task) = self.tasks.remove(&key) else { return };
        let response = match &task.kind {
            Kind::Exec => {
                if let Some(connection) = self.connections.get_mut(&task.connection) {
                    connection.exec = None;
                }
                Response::Exited(task.exit_record(status))
            }
            Kind::Probe(output) => {
                self.watch.remove(output.pipe.as_fd());
                let output = String::from_utf8_lossy(&output.bytes).into_owned();
                Response::ProbeResult { code: status.code, output, timed_out: task.timed_out }
            }
        };
        self.answer(task.connection, &response, &[]);
    }
}

impl Task {
    fn new(connection: u32, pid: i32, kind: Kind, timeout_ms: Option<u64>) -> Task {
        let started_boot_ms = sys::clock::boot_ms();
        Task {
            connection,
            pid,
            kind,
            started_at_ns: sys::clock::unix_ns(),
            started_boot_ms,
            deadline: timeout_ms.map(|ms| started_boot_ms.saturating_add(ms)),
            timed_out: false,
        }
    }

    fn exit_record(&self, status: Status) -> ExitRecord {
        ExitRecord {
            code: status.code,
            signal: status.signal,
            oom_killed: false,
            started_at_ns: self.started_at_ns,
            finished_at_ns: sys::clock::unix_ns(),
            started_boot_ms: self.started_boot_ms,
            finished_boot_ms: sys::clock::boot_ms(),
            message: self.timed_out.then(|| "killed at its timeout".to_owned()),
        }
    }
}
