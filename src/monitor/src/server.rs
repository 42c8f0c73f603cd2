//! The monitor's loop: waits, dispatches, keeps deadlines, talks to clients.
//!
//! Single-threaded; nothing in it blocks but the runtime's own bounded work (a start takes some
//! milliseconds). What may be slow, clients and containers, is read and written only when ready.
//! A connection that does not take its answers is dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::children::{Caught, Signals};
use sys::code::Code;
use sys::watch::{BATCH, Interest, Ready, Watch};

use crate::attachment::Attachment;
use crate::container::Container;
use crate::error::MonitorError;
use crate::frame;
use crate::protocol::{ErrorKind, Request, Response};
use crate::requests::Failure;
use crate::sandbox::Sandbox;
use crate::sandbox_config::SOCKET_FILE;
use crate::tasks::Task;
use crate::token::Token;

/// Most clients at a time.
const MAX_CONNECTIONS: usize = 64;
/// Most requests taken from one connection before the others have their turn.
const REQUESTS_A_TURN: usize = 8;
/// Size of the buffer that all reads share, in bytes: what a pipe holds.
const INPUT_BYTES: usize = 64 * 1024;

/// The whole state.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) sandbox: Sandbox,
    pub(crate) watch: Watch,
    pub(crate) connections: BTreeMap<u32, Connection>,
    pub(crate) containers: BTreeMap<u32, Container>,
    pub(crate) attachments: BTreeMap<u32, Attachment>,
    pub(crate) tasks: BTreeMap<u32, Task>,
    pub(crate) scratch: Scratch,
    /// The monitor's oom_score_adj of before it protected itself; members must not inherit it.
    pub(crate) oom_score_adj: Option<i32>,
    signals: Signals,
    listener: OwnedFd,
    /// Given up for a moment to tell a client that there are no descriptors left.
    spare: Option<File>,
    code: Code,
    /// Requests were served since memory was last given back.
    worked: bool,
    last_key: u32,
    finished: bool,
}

/// Buffers that all streams share, so that an idle monitor holds none of them per stream.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) input: Vec<u8>,
    pub(crate) block: Vec<u8>,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Connection {
    fd: OwnedFd,
    greeted: bool,
    subscribed: bool,
    /// The process that its last `Exec` started and that has not ended.
    pub(crate) exec: Option<u32>,
    /// What it is attached to.
    pub(crate) attachment: Option<u32>,
}

impl Monitor {
    /// Listens in the pod folder; takes over the path that a dead monitor left.
    pub(crate) fn new(sandbox: Sandbox, signals: Signals) -> Result<Monitor, MonitorError> {
        let path = sandbox.pod_dir.join(SOCKET_FILE);
        let listener = crate::record::remove(&path)
            .and_then(|()| sys::seqpacket::listen(&path, 64))
            .map_err(|source| MonitorError::File { operation: "listen at", path, source })?;
        let watch = Watch::new().map_err(MonitorError::Watch)?;
        for (fd, token) in [(listener.as_fd(), Token::Listener), (signals.as_fd(), Token::Signals)]
        {
            watch.add(fd, token.pack(), Interest::Read).map_err(MonitorError::Watch)?;
        }
        Ok(Monitor {
            sandbox,
            watch,
            connections: BTreeMap::new(),
            containers: BTreeMap::new(),
            attachments: BTreeMap::new(),
            tasks: BTreeMap::new(),
            scratch: Scratch { input: vec![0; INPUT_BYTES], block: Vec::new() },
            oom_score_adj: None,
            signals,
            listener,
            spare: File::open("/dev/null").ok(),
            code: Code::find(),
            worked: true,
            last_key: 0,
            finished: false,
        })
    }

    /// Serves until a client has shut the monitor down.
    pub(crate) fn serve(&mut self) -> Result<(), MonitorError> {
        let mut ready = [Ready::default(); BATCH];
        // Orphans may have come before the signal's descriptor was made.
        self.reap();
        while !self.finished {
            self.rest();
            let now = sys::clock::boot_ms();
            let timeout = self.next_deadline().map(|at| at.saturating_sub(now));
            let count = self.watch.wait(&mut ready, timeout).map_err(MonitorError::Watch)?;
            for token in ready[..count].iter().filter_map(|event| Token::unpack(event.token)) {
                self.dispatch(token);
            }
            self.meet_deadlines(sys::clock::boot_ms());
        }
        Ok(())
    }

    /// Gives memory back before a wait that may be long.
    fn rest(&mut self) {
        if std::mem::take(&mut self.worked) {
            sys::malloc::trim();
            self.code.release();
        }
    }

    fn dispatch(&mut self, token: Token) {
        match token {
            Token::Listener => self.accept(),
            Token::Signals => self.take_signals(),
            Token::Connection(key) => self.serve_connection(key),
            Token::Output(key, stream) => self.pump_output(key, stream),
            Token::Stdin(key) => self.stdin_has_room(key),
            Token::Adopted(key) => self.adopted_ended(key),
            Token::ClientIn(key) => self.pump_source(key),
            Token::ClientOut(key, stream) => self.flush_sink(key, stream),
            Token::Probe(key) => self.read_probe(key),
        }
    }

    /// The earliest CLOCK_BOOTTIME ms at which something is due.
    fn next_deadline(&self) -> Option<u64> {
        let containers = self.containers.values().filter_map(Container::due_at);
        let tasks = self.tasks.values().filter_map(|task| task.deadline);
        containers.chain(tasks).min()
    }

    fn meet_deadlines(&mut self, now: u64) {
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        let due: Vec<u32> =
            self.containers.iter().filter(|(_, c)| is_due(c.due_at())).map(|(k, _)| *k).collect();
        for key in due {
            self.container_due(key, now);
        }
        let due: Vec<u32> =
            self.tasks.iter().filter(|(_, t)| is_due(t.deadline)).map(|(k, _)| *k).collect();
        for key in due {
            self.task_due(key, now);
        }
    }

    fn take_signals(&mut self) {
        // Only SIGCHLD means anything: a monitor ends by request, not by signal.
        while let Ok(Some(caught)) = self.signals.next() {
            if caught == Caught::Child {
                self.reap();
            }
        }
    }

    /// Takes every child that has ended, known ones and orphans.
    fn reap(&mut self) {
        while let Ok(Some(ended)) = sys::children::reap() {
            let init = self.sandbox.pid1.as_ref().is_some_and(|init| init.pid == ended.pid);
            if init {
                if let Err(error) = self.sandbox.replace_pid1() {
                    complain(&error.chain());
                }
            } else if !self.task_ended(ended.pid, ended.status) {
                self.container_ended(ended.pid, ended.status);
            }
        }
    }

    /// A key that nothing else has or had.
    pub(crate) fn new_key(&mut self) -> u32 {
        self.last_key = self.last_key.wrapping_add(1);
        self.last_key
    }

    fn accept(&mut self) {
        loop {
            match sys::seqpacket::accept(self.listener.as_fd()) {
                Ok(Some(fd)) => self.admit(fd),
                Ok(None) => return,
                Err(_) => return self.refuse_for_lack(),
            }
        }
    }

    /// Takes a waiting client in the spare descriptor's place and sends it away with words, so that
    /// it neither hangs nor keeps the loop awake.
    fn refuse_for_lack(&mut self) {
        self.spare = None;
        if let Ok(Some(fd)) = sys::seqpacket::accept(self.listener.as_fd()) {
            refuse(fd.as_fd(), ErrorKind::Busy, "the monitor has no file descriptors left");
        }
        self.spare = File::open("/dev/null").ok();
    }

    fn admit(&mut self, fd: OwnedFd) {
        let own = sys::seqpacket::own_uid();
        match sys::seqpacket::peer(fd.as_fd()) {
            Ok(peer) if peer.uid == 0 || peer.uid == own => {}
            _ => return refuse(fd.as_fd(), ErrorKind::BadRequest, "permission denied"),
        }
        if self.connections.len() >= MAX_CONNECTIONS {
            return refuse(fd.as_fd(), ErrorKind::Busy, "the monitor has too many clients");
        }
        let key = self.new_key();
        if self.watch.add(fd.as_fd(), Token::Connection(key).pack(), Interest::Read).is_ok() {
            let connection =
                Connection { fd, greeted: false, subscribed: false, exec: None, attachment: None };
            self.connections.insert(key, connection);
        }
    }

    fn serve_connection(&mut self, key: u32) {
        for _ in 0..REQUESTS_A_TURN {
            let Some(connection) = self.connections.get(&key) else { return };
            match frame::try_receive::<Request>(connection.fd.as_fd()) {
                Ok(None) => break,
                Ok(Some((None, _))) => return self.close(key),
                Ok(Some((Some(request), fds))) => self.serve_request(key, request, fds),
                Err(error) if error.is_recoverable() => {
                    self.fail(key, Failure::bad_request(error.to_string()));
                }
                Err(_) => return self.close(key),
            }
        }
        self.worked = true;
    }

    fn serve_request(&mut self, key: u32, request: Request, fds: Vec<OwnedFd>) {
        let greeted = self.connections.get(&key).is_some_and(|connection| connection.greeted);
        match request {
            Request::Hello { version } if version == crate::protocol::VERSION => {
                if let Some(connection) = self.connections.get_mut(&key) {
                    connection.greeted = true;
                }
                self.answer(key, &hello(), &[]);
            }
            // The answer tells our version; the client decides.
            Request::Hello { .. } => self.answer(key, &hello(), &[]),
            _ if !greeted => self.fail(key, Failure::bad_request("say hello first".into())),
            Request::Subscribe => {
                if let Some(connection) = self.connections.get_mut(&key) {
                    connection.subscribed = true;
                }
                let listed = self.list();
                self.answer(key, &listed, &[]);
            }
            Request::Shutdown => match self.shut_down() {
                Ok(()) => {
                    self.answer(key, &Response::Ok, &[]);
                    self.finished = true;
                }
                Err(failure) => self.fail(key, failure),
            },
            other => {
                if let Err(failure) = self.handle(key, other, fds) {
                    self.fail(key, failure);
                }
            }
        }
    }

    /// Sends an answer; a client that cannot take it is dropped.
    pub(crate) fn answer(&mut self, key: u32, response: &Response, fds: &[BorrowedFd<'_>]) {
        let Some(connection) = self.connections.get(&key) else { return };
        if frame::send(connection.fd.as_fd(), response, fds).is_err() {
            self.close(key);
        }
    }

    /// Answers with an error.
    pub(crate) fn fail(&mut self, key: u32, failure: Failure) {
        let Failure { kind, message, hint } = failure;
        self.answer(key, &Response::Error { kind, message, hint }, &[]);
    }

    /// Tells every subscriber of a container's present state.
    pub(crate) fn broadcast(&mut self, container: u32) {
        let Some(container) = self.containers.get(&container) else { return };
        let event = Response::Event(container.record());
        let keys: Vec<u32> =
            self.connections.iter().filter(|(_, c)| c.subscribed).map(|(k, _)| *k).collect();
        for key in keys {
            self.answer(key, &event, &[]);
        }
    }

    /// Forgets a client and what only it wanted.
    pub(crate) fn close(&mut self, key: u32) {
        let Some(connection) = self.connections.remove(&key) else { return };
        self.watch.remove(connection.fd.as_fd());
        if let Some(task) = connection.exec {
            self.abandon(task);
        }
        if let Some(attachment) = connection.attachment {
            self.detach(attachment);
        }
    }
}

fn hello() -> Response {
    Response::Hello { version: crate::protocol::VERSION, pid: std::process::id().cast_signed() }
}

fn refuse(fd: BorrowedFd<'_>, kind: ErrorKind, words: &str) {
    let response = Response::Error { kind, message: words.to_owned(), hint: None };
    // The client is sent away anyway.
    let _ = frame::send(fd, &response, &[]);
}

/// Says what nobody asked and nobody else can be told of, in monitor.log.
pub(crate) fn complain(words: &str) {
    // Without a log there is nowhere left to say it.
    let _ = writeln!(std::io::stderr(), "podvisor monitor: {words}");
}
