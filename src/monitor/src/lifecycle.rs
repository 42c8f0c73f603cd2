//! Start, end and removal of containers.
//!
//! Order at the start: member record, start, member record with the pid. Order at the end: OOM
//! counter, exit record on disk, rest of the output, announcement. A monitor killed between any two
//! of them leaves what the next one needs ([`crate::adopt`]).

use std::fs;
use std::os::fd::AsFd;

use runtime::{Bundle, Console, CreateOptions, Stdio};
use sys::children::Status;
use sys::watch::Interest;

use crate::bundle::Outline;
use crate::container::{self, Container, Streams};
use crate::log::Stream;
use crate::protocol::{ExitRecord, Response, Rootfs, RunContainer};
use crate::record::{self, Member};
use crate::requests::Failure;
use crate::server::{Monitor, complain};
use crate::table::{self, Action, Event, State};
use crate::token::Token;

/// Most containers known at a time, ended ones included.
const MAX_CONTAINERS: usize = 256;
/// Longest wait after the end for a descendant that holds the outputs open, in ms.
const DRAIN_MS: u64 = 2000;
/// Pause between two tries of a write that failed, or of a look at an adopted container, in ms.
const RETRY_MS: u64 = 1000;
const STATUS_RETRY_MS: u64 = 20;

const KILL: i32 = 9;

impl Container {
    /// When something is due: giving up the drain, or trying a failed write again.
    pub(crate) fn due_at(&self) -> Option<u64> {
        self.drain_deadline
    }
}

impl Monitor {
    pub(crate) fn run(&mut self, request: RunContainer) -> Result<Response, Failure> {
        let (_, _, next) = self.ask(&request.id, Event::Run)?;
        if self.containers.len() >= MAX_CONTAINERS {
            return Err(Failure::busy("the pod has too many containers; remove ended ones"));
        }
        check_request(&request)?;
        let outline = Outline::read(&request.bundle)?;
        if outline.terminal != request.terminal {
            let words = "terminal differs from process.terminal of config.json";
            return Err(Failure::bad_request(words.to_owned()));
        }
        let id = request.id.clone();
        let result = self.start(request, outline.oom_score_adj);
        match result {
            Ok(mut container) => {
                container.state = next;
                let answer = Response::Started {
                    pid: container.member.pid,
                    started_at_ns: container.member.started_at_ns,
                    started_boot_ms: container.member.started_boot_ms,
                };
                let key = self.new_key();
                self.insert(key, container);
                self.broadcast(key);
                Ok(answer)
            }
            Err(failure) => {
                // The failure is the one to tell; what is left is removed by the next removal.
                let _ = self.delete_leftovers(&id);
                Err(failure)
            }
        }
    }

    fn start(&self, request: RunContainer, oom: Option<i32>) -> Result<Container, Failure> {
        let pod_dir = &self.sandbox.pod_dir;
        let path = record::member_path(pod_dir, &request.id);
        let mut member =
            Member { request, pid: 0, start_time: 0, started_at_ns: 0, started_boot_ms: 0 };
        let save = |member: &Member| {
            record::write(&path, member).map_err(|e| Failure::io("write the member's record", &e))
        };
        save(&member)?;
        let request = &member.request;
        let (streams, stdio, console) = if request.terminal {
            (None, Stdio::Inherit, Console::Keep)
        } else {
            let (ours, theirs) = container::make_fifos(pod_dir, request)
                .map_err(|error| Failure::io("make the container's FIFOs", &error))?;
            (Some(ours), Stdio::Fds(theirs), Console::None)
        };
        let options =
            CreateOptions { stdio, console, rootfs: rootfs(request), ..CreateOptions::default() };
        let bundle = Bundle::load(&request.bundle)?;
        let warn = |words: &String| complain(&format!("{}: {words}", request.id));
        bundle.warnings().iter().for_each(warn);
        let created = self.sandbox.runtime.run(&request.id, &bundle, options)?;
        member.pid = created.pid;
        member.started_at_ns = sys::clock::unix_ns();
        member.started_boot_ms = sys::clock::boot_ms();
        // It may have ended already, but it has not been reaped: its pid is still its own.
        member.start_time = sys::children::start_time(created.pid).unwrap_or(0);
        self.restore_oom_score(created.pid, oom);
        let streams = match (streams, created.console) {
            (Some(streams), _) => streams,
            (None, Some(master)) => Streams::of_terminal(master)
                .map_err(|error| Failure::io("take the terminal", &error))?,
            (None, None) => {
                return Err(Failure::bad_request("the runtime made no terminal".to_owned()));
            }
        };
        save(&member)?;
        Ok(Container::new(member, streams))
    }

    /// Members must not inherit the monitor's protection where their config says nothing.
    pub(crate) fn restore_oom_score(&self, pid: i32, configured: Option<i32>) {
        if let (None, Some(former)) = (configured, self.oom_score_adj) {
            // A protected supervisor's score is not for members either. Raising is always allowed;
            // the process may be gone already.
            let score = former.max(0);
            let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string());
        }
    }

    /// Takes a container into the loop.
    pub(crate) fn insert(&mut self, key: u32, mut container: Container) {
        for (slot, stream) in container.outputs.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
            let Some(output) = slot else { continue };
            let token = Token::Output(key, stream).pack();
            if let Err(error) = self.watch.add(output.fd.as_fd(), token, Interest::Read) {
                complain(&format!("{}: cannot watch output: {error}", container.member.request.id));
                *slot = None;
            }
        }
        self.containers.insert(key, container);
    }

    /// A child of this pid has ended: a container, or an orphan that nobody asks for.
    pub(crate) fn container_ended(&mut self, pid: i32, status: Status) {
        let found = self.containers.iter().find(|(_, container)| {
            container.member.pid == pid
                && container.state == State::Running
                && container.adopted.is_none()
        });
        if let Some((key, _)) = found {
            self.ended(*key, Some(status));
        }
    }

    /// The pidfd of an adopted container is readable.
    pub(crate) fn adopted_ended(&mut self, key: u32) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let Some(pidfd) = &container.adopted else { return };
        let status = sys::children::exit_status(pidfd.as_fd());
        if status.is_none() && container.status_tries > 0 {
            // The kernel tells once the process's own parent has reaped it.
            container.status_tries -= 1;
            self.watch.remove(pidfd.as_fd());
            container.drain_deadline = Some(sys::clock::boot_ms() + STATUS_RETRY_MS);
            return;
        }
        self.watch.remove(pidfd.as_fd());
        container.adopted = None;
        self.ended(key, status);
    }

    fn ended(&mut self, key: u32, status: Option<Status>) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let (Action::Record, next) = table::cell(container.state, Event::ProcessEnded) else {
            return;
        };
        let id = container.id().to_owned();
        // Before anything else: the counter goes with the cgroup.
        let oom_killed = self.sandbox.runtime.oom_killed(&id).unwrap_or(false);
        let record = exit_record(&container.member, status, oom_killed);
        container.exit = Some(record);
        container.state = next;
        container.drain_deadline = Some(sys::clock::boot_ms() + DRAIN_MS);
        self.save_exit(key);
        if self.sandbox.config.share_process_namespace {
            // Without a PID namespace of its own, what it started does not end with it.
            let _ = self.sandbox.runtime.kill(&id, KILL, true);
        }
        self.pump_output(key, Stream::Stdout);
        self.pump_output(key, Stream::Stderr);
        self.outputs_changed(key);
    }

    fn save_exit(&mut self, key: u32) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let Some(exit) = &container.exit else { return };
        let path = record::exit_path(&self.sandbox.pod_dir, container.id());
        let result = record::write(&path, exit);
        if let (Err(error), false) = (&result, container.unsaved) {
            complain(&format!("cannot write {}: {error}; trying again", path.display()));
        }
        container.unsaved = result.is_err();
    }

    /// Some deadline of a container has passed.
    pub(crate) fn container_due(&mut self, key: u32, now: u64) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        container.drain_deadline = None;
        if container.adopted.is_some() {
            return self.adopted_ended(key);
        }
        if container.unsaved {
            container.drain_deadline = Some(now + RETRY_MS);
            self.save_exit(key);
        }
        self.advance(key, Event::DrainDeadline);
    }

    /// An output ended, or the process did.
    pub(crate) fn outputs_changed(&mut self, key: u32) {
        if self.containers.get(&key).is_some_and(Container::outputs_ended) {
            self.advance(key, Event::OutputsEnded);
        }
    }

    fn advance(&mut self, key: u32, event: Event) {
        let Some(container) = self.containers.get_mut(&key) else { return };
        let (action, next) = table::cell(container.state, event);
        if action != Action::Publish {
            return;
        }
        container.state = next;
        container.drain_deadline = container.unsaved.then(|| sys::clock::boot_ms() + RETRY_MS);
        container.stdin = None;
        self.broadcast(key);
        self.finish_attachments(key);
    }

    pub(crate) fn remove(&mut self, id: &str) -> Result<Response, Failure> {
        let (key, _, _) = self.ask(id, Event::Remove)?;
        self.delete_leftovers(id)?;
        if let Some(key) = key {
            self.drop_attachments(key);
            if let Some(container) = self.containers.remove(&key) {
                for output in container.outputs.iter().flatten() {
                    self.watch.remove(output.fd.as_fd());
                }
            }
        }
        Ok(Response::Ok)
    }

    /// Removes what there may be of a container: runtime state and cgroup, FIFOs, records. The
    /// member record goes last: while it stands the next monitor knows that something may be left.
    pub(crate) fn delete_leftovers(&self, id: &str) -> Result<(), Failure> {
        let pod_dir = &self.sandbox.pod_dir;
        self.sandbox.runtime.delete(id, true)?;
        container::remove_fifos(pod_dir, id)
            .and_then(|()| record::remove(&record::exit_path(pod_dir, id)))
            .and_then(|()| record::remove(&record::member_path(pod_dir, id)))
            .map_err(|error| Failure::io("remove the container's files", &error))
    }
}

/// How a container ended; an unknown status is told as such.
pub(crate) fn exit_record(member: &Member, status: Option<Status>, oom_killed: bool) -> ExitRecord {
    let message = match status {
        Some(_) => None,
        None => Some("ContainerStatusUnknown: it ended while its monitor was away".to_owned()),
    };
    let status = status.unwrap_or(Status { code: 128 + KILL, signal: None });
    ExitRecord {
        code: status.code,
        signal: status.signal,
        oom_killed,
        started_at_ns: member.started_at_ns,
        finished_at_ns: sys::clock::unix_ns(),
        started_boot_ms: member.started_boot_ms,
        finished_boot_ms: sys::clock::boot_ms(),
        message,
    }
}

fn check_request(request: &RunContainer) -> Result<(), Failure> {
    let paths = [("bundle", &request.bundle), ("log_path", &request.log_path)];
    for (field, path) in paths {
        if !path.is_absolute() {
            let words = format!("{field}: {} is not an absolute path", path.display());
            return Err(Failure::bad_request(words));
        }
    }
    if !record::is_valid_id(&request.name) {
        return Err(Failure::bad_request(format!("name: {:?} is not a name", request.name)));
    }
    Ok(())
}

fn rootfs(request: &RunContainer) -> runtime::Rootfs {
    match &request.rootfs {
        Rootfs::Bundle => runtime::Rootfs::Bundle,
        Rootfs::Overlay { lower, upper, work, readonly } => runtime::Rootfs::Overlay {
            lower: lower.clone(),
            upper: upper.clone(),
            work: work.clone(),
            readonly: *readonly,
        },
    }
}
