//! The messages between a monitor and whoever speaks to it: supervisor, `podvisor exec`, tests.
//!
//! One message is one SOCK_SEQPACKET packet that holds one JSON value of at most
//! [`MAX_MESSAGE_BYTES`]; file descriptors travel beside it as SCM_RIGHTS. A connection says
//! [`Request::Hello`] first; then each request gets its answers in order.
//!
//! | request     | fds in              | answers                                                  |
//! |-------------|---------------------|----------------------------------------------------------|
//! | `Hello`     | -                   | `Hello`                                                  |
//! | `Run`       | -                   | `Started`                                                |
//! | `Kill`      | -                   | `Ok`                                                     |
//! | `Remove`    | -                   | `Ok` (also when nothing is left: removal is idempotent)  |
//! | `List`      | -                   | `Containers`                                             |
//! | `Subscribe` | -                   | `Containers` (now), then an `Event` at every change      |
//! | `Exec`      | stdin,stdout,stderr | `Started`, then `Exited`; with a terminal no fds go in   |
//! |             |                     | and `Started` carries the pty's master                   |
//! | `ExecSignal`| -                   | `Ok`; signals the process this connection's `Exec` began |
//! | `Probe`     | -                   | `ProbeResult`                                            |
//! | `Attach`    | stdin,stdout,stderr | `Ok`, then `Exited` when the container has ended         |
//! | `Resize`    | -                   | `Ok`                                                     |
//! | `Shutdown`  | -                   | `Ok`, then the connection closes                         |
//!
//! Any request may be answered by `Error` instead. An `Event` can stand between a request and its
//! answer on a subscribed connection. This module holds data only.

use std::path::PathBuf;

use oci::runtime::Process;
use serde::{Deserialize, Serialize};

/// Version of the protocol; a monitor answers another one with `BadRequest`.
pub const VERSION: u32 = 1;

/// Longest message in bytes, either way.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// Most file descriptors beside one message.
pub const MAX_FDS: usize = 3;

/// Most bytes of a probe's output that are kept.
pub const MAX_PROBE_OUTPUT_BYTES: usize = 10 * 1024;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(clippy::large_enum_variant, reason = "one lives at a time, for one dispatch")]
pub enum Request {
    /// First message of a connection.
    Hello {
        /// The client's [`VERSION`].
        version: u32,
    },
    /// Creates and starts a container from its bundle.
    Run(RunContainer),
    /// Sends a signal to the init process, or to every process of the container.
    Kill {
        /// Container id.
        id: String,
        /// Signal number, 1 to 64.
        signal: i32,
        /// Every process of the container's cgroup instead of its first.
        all: bool,
    },
    /// Drops runtime state, cgroup and exit record of a container that has ended; keeps its logs.
    Remove {
        /// Container id.
        id: String,
    },
    /// Asks for every container that has been run and not been removed.
    List,
    /// Asks for a list now and an event at every later change.
    Subscribe,
    /// Runs one more process inside a running container.
    Exec {
        /// Container id.
        id: String,
        /// The process as in a bundle's config; `terminal` decides where its stdio comes from.
        process: Process,
        /// Killed with its process group after so many milliseconds.
        timeout_ms: Option<u64>,
    },
    /// Signals the process that the last `Exec` of this connection started.
    ExecSignal {
        /// Signal number, 1 to 64.
        signal: i32,
    },
    /// Runs a command with the container's own environment and user, and answers with its output.
    Probe {
        /// Container id.
        id: String,
        /// Command and arguments.
        argv: Vec<String>,
        /// Killed with its process group after so many milliseconds.
        timeout_ms: u64,
        /// Bytes of output kept, at most [`MAX_PROBE_OUTPUT_BYTES`]; the rest is discarded.
        max_output: usize,
    },
    /// Joins the container's own stdio. Output of before the first attach is replayed as far as
    /// the monitor kept it (16 KiB, containers with a terminal or stdin only).
    Attach {
        /// Container id.
        id: String,
    },
    /// Sets the window size of a container's terminal.
    Resize {
        /// Container id.
        id: String,
        /// Rows of characters.
        rows: u16,
        /// Columns of characters.
        cols: u16,
    },
    /// Ends the monitor: refused with `Busy` while a container lives.
    Shutdown,
}

/// A container to create and start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunContainer {
    /// Runtime id, `<pod uid>.<name>.<attempt>`.
    pub id: String,
    /// Name within the pod.
    pub name: String,
    /// Restart count, from 0.
    pub attempt: u32,
    /// Folder that holds config.json.
    pub bundle: PathBuf,
    /// Where the root file system comes from.
    pub rootfs: Rootfs,
    /// Current log file, `…/<container>/<attempt>.log`; its folder is made if missing.
    pub log_path: PathBuf,
    /// Size at which the log is rotated, in bytes; 0 never rotates.
    pub log_max_bytes: u64,
    /// Log files kept in all, the current one included; at least 1.
    pub log_max_files: u32,
    /// The process has a terminal (config.json says so too).
    pub terminal: bool,
    /// Keep a stdin for `Attach`; otherwise stdin is /dev/null.
    pub stdin: bool,
    /// Close stdin when the first attached client closes its own.
    pub stdin_once: bool,
}

/// Serde mirror of [`runtime::Rootfs`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rootfs {
    /// `root.path` of config.json.
    Bundle,
    /// An overlay, mounted inside the container's own mount namespace only.
    Overlay {
        /// Read-only layers, top first.
        lower: Vec<PathBuf>,
        /// Writable layer.
        upper: PathBuf,
        /// Overlay's work folder, on the file system of `upper`.
        work: PathBuf,
        /// Mount the whole overlay read-only.
        readonly: bool,
    },
}

/// What the monitor answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The monitor's protocol version and pid.
    Hello {
        /// The monitor's [`VERSION`].
        version: u32,
        /// The monitor's pid.
        pid: i32,
    },
    /// Done.
    Ok,
    /// A container or an exec'd process runs.
    Started {
        /// Pid in the monitor's namespace.
        pid: i32,
        /// Unix time in nanoseconds.
        started_at_ns: u64,
        /// CLOCK_BOOTTIME in milliseconds.
        started_boot_ms: u64,
    },
    /// How an exec'd process, or an attached container, ended.
    Exited(ExitRecord),
    /// Every container known.
    Containers(Vec<ContainerRecord>),
    /// How a probe ended.
    ProbeResult {
        /// Exit code, 128+n for a signal.
        code: i32,
        /// Stdout and stderr in order of arrival, cut; invalid UTF-8 is replaced.
        output: String,
        /// It was killed at its timeout.
        timed_out: bool,
    },
    /// A container changed.
    Event(ContainerRecord),
    /// The request failed; nothing of it is half-done.
    Error {
        /// What kind of failure, for exit codes and reasons.
        kind: ErrorKind,
        /// Cause chain, for a person and for engines that match runc's words.
        message: String,
        /// What to try next.
        hint: Option<String>,
    },
}

/// Kinds of failure that a caller tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The command does not exist in the container: exit code 127.
    NotFound,
    /// The command cannot be executed: exit code 126.
    NotExecutable,
    /// Any other failure of the runtime.
    Runtime,
    /// No container of that id.
    NoSuchContainer,
    /// The message is malformed, out of bounds or out of order.
    BadRequest,
    /// Not now: the container runs, or too many clients or processes.
    Busy,
}

/// One container as the monitor knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Runtime id.
    pub id: String,
    /// Name within the pod.
    pub name: String,
    /// Restart count, from 0.
    pub attempt: u32,
    /// Pid of its first process in the monitor's namespace.
    pub pid: i32,
    /// Start time of that pid in clock ticks since boot (field 22 of /proc/pid/stat).
    pub start_time: u64,
    /// Unix time in nanoseconds at which it was started.
    pub started_at_ns: u64,
    /// CLOCK_BOOTTIME in milliseconds at which it was started.
    pub started_boot_ms: u64,
    /// Runs or has ended.
    pub state: RecordState,
    /// Log lines could not be written and were dropped; the last cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_error: Option<String>,
}

/// State of a container in the monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// Its first process lives, or its last output is being drained.
    Running,
    /// It has ended; the record is on disk.
    Exited(ExitRecord),
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit code; 128+n when killed by signal n.
    pub code: i32,
    /// Signal that killed it.
    pub signal: Option<i32>,
    /// The kernel's OOM killer struck in its cgroup during this run.
    pub oom_killed: bool,
    /// Unix time in nanoseconds.
    pub started_at_ns: u64,
    /// Unix time in nanoseconds.
    pub finished_at_ns: u64,
    /// CLOCK_BOOTTIME in milliseconds.
    pub started_boot_ms: u64,
    /// CLOCK_BOOTTIME in milliseconds.
    pub finished_boot_ms: u64,
    /// Said when the code is not the process's own: "ContainerStatusUnknown: …", a timeout.
    pub message: Option<String>,
}
