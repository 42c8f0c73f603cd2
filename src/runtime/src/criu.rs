//! Talking to criu, which writes processes into files and makes them anew.
//!
//! One criu is started a request (`criu swrk`), with a socket that carries the messages of
//! `message`; it reports each step before it goes on. That protocol and not criu's command line:
//! the restored process becomes our child, and the master of its terminal comes as a descriptor.
//! Not here: what is asked for (`checkpoint`, `restore`).

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use child::Op;
use sys::launch::{Birth, Launched, Told};
use sys::seqpacket;

use crate::draft::Draft;
use crate::error::{Error, Result};

mod message;

use message::Message;

/// Longest silence of criu, in ms: it writes all of a container's memory.
const SILENT_MAX_MS: u64 = 600_000;
/// Longest message of criu.
const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Where criu may be, when PATH is not set.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// criu_req_type.
const DUMP: u64 = 1;
const RESTORE: u64 = 2;
const PRE_DUMP: u64 = 4;
const NOTIFY: u64 = 6;

/// What criu is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Dump,
    PreDump,
    Restore,
}

/// The numbers of criu_opts' fields.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field {
    ImagesDirFd = 1,
    Pid = 2,
    LeaveRunning = 3,
    ExtUnixSk = 4,
    TcpEstablished = 5,
    EvasiveDevices = 6,
    ShellJob = 7,
    FileLocks = 8,
    LogLevel = 9,
    LogFile = 10,
    PageServer = 11,
    NotifyScripts = 12,
    Root = 13,
    ParentImg = 14,
    TrackMem = 15,
    AutoDedup = 16,
    WorkDirFd = 17,
    LinkRemap = 18,
    ExtMnt = 23,
    ManageCgroups = 24,
    CgRoot = 25,
    RstSibling = 26,
    InheritFd = 27,
    ManageCgroupsMode = 34,
    External = 37,
    EmptyNs = 38,
    JoinNs = 39,
    FreezeCgroup = 44,
    TcpSkipInFlight = 46,
    LazyPages = 48,
    OrphanPtsMaster = 50,
    ConfigFile = 51,
    TcpClose = 52,
    LsmProfile = 53,
    LsmMountContext = 63,
    NetworkLock = 64,
}

/// criu_opts under construction.
#[derive(Debug, Default)]
pub(crate) struct Options {
    message: Message,
}

impl Options {
    /// A number, a descriptor of ours, or a bool.
    pub(crate) fn set(&mut self, field: Field, value: impl Into<i64>) {
        self.message = std::mem::take(&mut self.message).number(field as u32, value);
    }

    /// A bool, when it is true.
    pub(crate) fn set_if(&mut self, field: Field, value: bool) {
        if value {
            self.set(field, true);
        }
    }

    /// A text; for a repeated field one more.
    pub(crate) fn text(&mut self, field: Field, value: impl AsRef<[u8]>) {
        self.message = std::mem::take(&mut self.message).text(field as u32, value);
    }

    /// A message of two texts: a mount's key and source, a namespace's kind and path, a
    /// controller and its path.
    pub(crate) fn texts(
        &mut self,
        field: Field,
        first: impl AsRef<[u8]>,
        second: impl AsRef<[u8]>,
    ) {
        let pair = Message::default().text(1, first).text(2, second);
        self.message = std::mem::take(&mut self.message).within(field as u32, pair);
    }

    /// A message of a text and a number: a descriptor's key and number, a server and its port.
    pub(crate) fn numbered(&mut self, field: Field, text: impl AsRef<[u8]>, number: i32) {
        let pair = Message::default().text(1, text).number(2, number);
        self.message = std::mem::take(&mut self.message).within(field as u32, pair);
    }
}

/// A step of criu's, told before it goes on.
#[derive(Debug)]
pub(crate) struct Step {
    /// "post-restore", "orphan-pts-master".
    pub(crate) name: String,
    /// The container's first process, when there is one.
    pub(crate) pid: i32,
    /// What came beside it.
    pub(crate) fd: Option<OwnedFd>,
}

/// A criu that waits for a request.
pub(crate) struct Criu {
    launched: Launched,
    socket: Option<OwnedFd>,
    done: bool,
}

impl Criu {
    /// Starts `program` (or the criu of PATH) where `draft` has led to.
    ///
    /// # Errors
    /// [`Error::NoCriu`] when there is none; the step of the draft that failed.
    pub(crate) fn start(program: Option<&Path>, mut draft: Draft, namespaces: u64) -> Result<Criu> {
        let failed = |source| Error::Clone { source };
        let (socket, theirs) = seqpacket::pair_to_hand_down().map_err(failed)?;
        let candidates = candidates(program);
        draft.op(Op::Signals);
        let number = theirs.as_raw_fd().to_string();
        draft.program.argv = draft.strings(["criu", "swrk", number.as_str()]);
        let environment = std::env::vars_os().map(|(name, value)| {
            [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat()
        });
        draft.program.envp = draft.strings(environment);
        draft.program.candidates = draft.strings(candidates.iter().map(|path| path_bytes(path)));
        draft.op(Op::Exec);
        let birth = Birth { namespaces, ..Birth::default() };
        let launched = sys::launch::launch(&draft.program, &[], &birth).map_err(failed)?;
        seqpacket::set_recv_timeout_ms(socket.as_fd(), Some(SILENT_MAX_MS)).map_err(failed)?;
        let criu = Criu { launched, socket: Some(socket), done: false };
        loop {
            match criu.launched.next().map_err(failed)? {
                Told::Closed => break,
                Told::Failed { stage: 4, errno, .. } => {
                    let program = program.map_or_else(|| "criu".into(), Path::to_path_buf);
                    return Err(Error::NoCriu { program, errno });
                }
                Told::Failed { stage, index, errno } => {
                    let step = crate::plan::step(&draft.program, index);
                    return Err(Error::Step { stage: crate::plan::place(stage), step, errno });
                }
                _ => {}
            }
        }
        Ok(criu)
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        self.launched.pid
    }

    /// Sends the request and lets `step` see each step; an error of it ends criu. The result is
    /// the pid of a restored process.
    ///
    /// # Errors
    /// [`Error::Criu`] with the end of its log, `log`.
    pub(crate) fn ask(
        mut self,
        request: Request,
        options: Options,
        log: &Path,
        mut step: impl FnMut(Step) -> Result<()>,
    ) -> Result<i32> {
        let kind = match request {
            Request::Dump => DUMP,
            Request::PreDump => PRE_DUMP,
            Request::Restore => RESTORE,
        };
        let message = Message::default().number(1, kind.cast_signed()).within(2, options.message);
        self.send(&message)?;
        loop {
            let (answer, mut fds) = self.receive(log)?;
            if message::number(&answer, 2) == 0 {
                let words = message::bytes(&answer, 9);
                let words = String::from_utf8_lossy(words).into_owned();
                let errno = i32::try_from(message::number(&answer, 7)).unwrap_or(0);
                return Err(failure(words, errno, log));
            }
            match message::number(&answer, 1) {
                NOTIFY => {
                    let notify = message::bytes(&answer, 5);
                    let name = String::from_utf8_lossy(message::bytes(notify, 1)).into_owned();
                    let pid = i32::try_from(message::number(notify, 2)).unwrap_or(0);
                    step(Step { name, pid, fd: fds.pop() })?;
                    self.send(&Message::default().number(1, NOTIFY.cast_signed()).number(3, true))?;
                }
                other if other == kind => {
                    self.done = true;
                    let restored = message::number(message::bytes(&answer, 4), 1);
                    return Ok(i32::try_from(restored).unwrap_or(0));
                }
                other => return Err(failure(format!("it answers with {other}"), 0, log)),
            }
        }
    }

    fn send(&self, message: &Message) -> Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let sent = seqpacket::send(socket.as_fd(), &message.bytes, &[]);
        sent.map_err(Error::io("write to", "criu"))
    }

    fn receive(&self, log: &Path) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut buffer = vec![0; MESSAGE_MAX_BYTES];
        let closed = || Error::io("read from", "criu")(ErrorKind::NotConnected.into());
        let socket = self.socket.as_ref().ok_or_else(closed)?;
        let got = match seqpacket::recv(socket.as_fd(), &mut buffer) {
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(failure("it says nothing any more".to_owned(), 0, log));
            }
            Err(error) => return Err(Error::io("read from", "criu")(error)),
        };
        if got.len == 0 || got.truncated {
            return Err(failure("it ended without an answer".to_owned(), 0, log));
        }
        buffer.truncate(got.len);
        Ok((buffer, got.fds))
    }
}

impl Drop for Criu {
    fn drop(&mut self) {
        // It ends by itself when nobody listens, which a pre-dump would wait for.
        self.socket = None;
        if self.done {
            let near = Instant::now() + Duration::from_secs(2);
            let _ = sys::teardown::wait_for_end(self.launched.pidfd.as_fd(), near);
        }
        self.launched.destroy();
    }
}

/// Its own words, or the last lines of its log that tell of an error.
fn failure(words: String, errno: i32, log: &Path) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let errors: Vec<&str> = text.lines().filter(|line| line.contains("Error (")).collect();
    let told = errors.iter().skip(errors.len().saturating_sub(3)).map(|line| line.trim());
    let mut all: Vec<&str> = told.collect();
    if all.is_empty() {
        all.extend(words.lines().map(str::trim).filter(|line| !line.is_empty()));
    }
    let mut problem = all.join("; ");
    if problem.is_empty() && errno != 0 {
        problem = sys::errno::full(errno);
    }
    Error::Criu { problem, log: log.to_owned() }
}

/// Whether a program of that name is in PATH.
pub(crate) fn is_installed(name: &str) -> bool {
    candidates(Some(Path::new(name))).iter().any(|path| path.is_file())
}

fn candidates(program: Option<&Path>) -> Vec<PathBuf> {
    match program {
        Some(path) if path.as_os_str().as_encoded_bytes().contains(&b'/') => vec![path.to_owned()],
        other => {
            let name = other.unwrap_or(Path::new("criu"));
            let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
            std::env::split_paths(&path).map(|folder| folder.join(name)).collect()
        }
    }
}

fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}
