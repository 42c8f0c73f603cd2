//! One container of the pod: its state, its stdio on the monitor's side, its log.
//!
//! Outputs are FIFOs in the pod folder that the container holds open read-write: when the monitor
//! dies it sees neither SIGPIPE nor EOF, only a pipe that fills (64 KiB), and the next monitor
//! reads on. A terminal's master cannot be handed over: such a container gets SIGHUP when its
//! monitor dies. The container's stdin ends with the monitor as well.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use sys::stdio::{self, End};

use crate::log::Stream;
use crate::log::file::LogFile;
use crate::protocol::{ContainerRecord, ExitRecord, RecordState, RunContainer};
use crate::record::Member;
use crate::sandbox::STREAMS_FOLDER;
use crate::table::State;

/// Most output kept for the first client that attaches, in bytes.
const BACKLOG_BYTES: usize = 16 * 1024;

/// A container that runs or has ended.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) member: Member,
    pub(crate) state: State,
    pub(crate) exit: Option<ExitRecord>,
    /// The exit record could not be written; it is tried again.
    pub(crate) unsaved: bool,
    /// Of a container that a former monitor started, whose end is no SIGCHLD here.
    pub(crate) adopted: Option<OwnedFd>,
    /// Left tries to learn an adopted container's exit code from the kernel.
    pub(crate) status_tries: u8,
    /// Stdout and stderr; a terminal is all stdout.
    pub(crate) outputs: [Option<Output>; 2],
    /// The monitor's end of stdin: a FIFO or the terminal's master.
    pub(crate) stdin: Option<OwnedFd>,
    /// `stdin` is in the watch because somebody waits for room.
    pub(crate) stdin_awaited: bool,
    pub(crate) log: LogFile,
    /// Stdout and stderr of before the first attach; `None` once somebody has attached.
    pub(crate) backlog: Option<[Vec<u8>; 2]>,
    /// CLOCK_BOOTTIME ms at which waiting for the outputs to end is given up.
    pub(crate) drain_deadline: Option<u64>,
}

/// One output stream on the monitor's side.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) fd: OwnedFd,
    /// Out of the watch until an attached client has taken what it was given.
    pub(crate) paused: bool,
    /// The last read found nothing more.
    pub(crate) drained: bool,
}

impl Output {
    pub(crate) fn new(fd: OwnedFd) -> Output {
        Output { fd, paused: false, drained: false }
    }
}

impl Container {
    pub(crate) fn new(member: Member, streams: Streams) -> Container {
        let request = &member.request;
        let interactive = request.terminal || request.stdin;
        let log = LogFile::open(&request.log_path, request.log_max_bytes, request.log_max_files);
        Container {
            state: State::Running,
            exit: None,
            unsaved: false,
            adopted: None,
            status_tries: 0,
            outputs: streams.outputs.map(|fd| fd.map(Output::new)),
            stdin: streams.stdin,
            stdin_awaited: false,
            log,
            backlog: interactive.then(Default::default),
            drain_deadline: None,
            member,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.member.request.id
    }

    pub(crate) fn record(&self) -> ContainerRecord {
        let request = &self.member.request;
        let state = match (&self.exit, self.state) {
            (Some(exit), State::Exited) => RecordState::Exited(exit.clone()),
            _ => RecordState::Running,
        };
        ContainerRecord {
            id: request.id.clone(),
            name: request.name.clone(),
            attempt: request.attempt,
            pid: self.member.pid,
            start_time: self.member.start_time,
            started_at_ns: self.member.started_at_ns,
            started_boot_ms: self.member.started_boot_ms,
            state,
            log_error: self.log.error().map(str::to_owned),
        }
    }

    /// Keeps output for the first client that attaches; the newest wins.
    pub(crate) fn keep_backlog(&mut self, stream: Stream, data: &[u8]) {
        let Some(backlog) = &mut self.backlog else { return };
        let backlog = &mut backlog[stream as usize];
        let data = &data[data.len().saturating_sub(BACKLOG_BYTES)..];
        let excess = (backlog.len() + data.len()).saturating_sub(BACKLOG_BYTES);
        backlog.drain(..excess);
        backlog.extend_from_slice(data);
    }

    /// Everything written so far has been read.
    pub(crate) fn outputs_drained(&self) -> bool {
        self.outputs.iter().flatten().all(|output| output.drained && !output.paused)
    }

    pub(crate) fn outputs_ended(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }
}

/// The monitor's ends of a container's stdio.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) outputs: [Option<OwnedFd>; 2],
    pub(crate) stdin: Option<OwnedFd>,
}

impl Streams {
    /// The two users of a terminal's master: output and input.
    pub(crate) fn of_terminal(master: OwnedFd) -> io::Result<Streams> {
        stdio::set_nonblocking(master.as_fd())?;
        let stdin = Some(master.try_clone()?);
        Ok(Streams { outputs: [Some(master), None], stdin })
    }

    /// Opens the FIFOs of a container that runs already. Its stdin has ended with its monitor.
    pub(crate) fn reopen(pod_dir: &Path, id: &str) -> io::Result<Streams> {
        let open = |part| stdio::open_fifo(&fifo_path(pod_dir, id, part), End::Read);
        Ok(Streams { outputs: [Some(open(Part::Out)?), Some(open(Part::Err)?)], stdin: None })
    }
}

/// Makes the FIFOs of a container without a terminal and opens both sides.
pub(crate) fn make_fifos(
    pod_dir: &Path,
    request: &RunContainer,
) -> io::Result<(Streams, [OwnedFd; 3])> {
    let path = |part| fifo_path(pod_dir, &request.id, part);
    let output = |part| -> io::Result<(OwnedFd, OwnedFd)> {
        stdio::make_fifo(&path(part))?;
        Ok((stdio::open_fifo(&path(part), End::Read)?, stdio::open_fifo(&path(part), End::Both)?))
    };
    let (out, theirs_out) = output(Part::Out)?;
    let (err, theirs_err) = output(Part::Err)?;
    let (stdin, theirs_in) = if request.stdin {
        stdio::make_fifo(&path(Part::In))?;
        // The reader first: a FIFO cannot be opened for writing only while nobody reads it.
        let theirs = stdio::open_fifo(&path(Part::In), End::BlockingRead)?;
        (Some(stdio::open_fifo(&path(Part::In), End::Write)?), theirs)
    } else {
        (None, stdio::open_null()?)
    };
    let streams = Streams { outputs: [Some(out), Some(err)], stdin };
    Ok((streams, [theirs_in, theirs_out, theirs_err]))
}

/// Removes a container's FIFOs.
pub(crate) fn remove_fifos(pod_dir: &Path, id: &str) -> io::Result<()> {
    [Part::In, Part::Out, Part::Err]
        .into_iter()
        .try_for_each(|part| crate::record::remove(&fifo_path(pod_dir, id, part)))
}

#[derive(Debug, Clone, Copy)]
enum Part {
    In,
    Out,
    Err,
}

fn fifo_path(pod_dir: &Path, id: &str, part: Part) -> PathBuf {
    let ending = match part {
        Part::In => "in",
        Part::Out => "out",
        Part::Err => "err",
    };
    pod_dir.join(STREAMS_FOLDER).join(format!("{id}.{ending}"))
}
