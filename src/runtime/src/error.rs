//! What can go wrong with a container. The words are API: engines match runc's.

use std::io;
use std::path::PathBuf;

use oci::Finding;
use oci::Status;

use crate::{cgroup, seccomp, systemd};

/// Result of the runtime's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed operation; nothing of what it began is left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no container of that id.
    #[error("container \"{id}\" does not exist")]
    NotFound {
        /// The id.
        id: String,
    },
    /// The id is taken.
    #[error("container with given ID already exists: \"{id}\"")]
    Exists {
        /// The id.
        id: String,
    },
    /// The id cannot be one.
    #[error("invalid container id {id:?}")]
    BadId {
        /// What was given.
        id: String,
    },
    /// The operation is none for a container in this state.
    #[error("{}", refused_words(operation, id, *status))]
    Refused {
        /// "start", "delete".
        operation: &'static str,
        /// The id.
        id: String,
        /// Its status.
        status: Status,
    },
    /// Another process works on the container and does not come to an end.
    #[error("container \"{id}\" is being worked on by {}", process_words(*holder))]
    Locked {
        /// The id.
        id: String,
        /// Its pid.
        holder: Option<i32>,
    },
    /// config.json cannot be read or understood.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A state that cannot be read, of a container that may live.
    #[error(
        "the state of container \"{id}\" cannot be read ({why}), and {count} processes are in its \
         cgroup {cgroup}"
    )]
    Unreadable {
        /// The id.
        id: String,
        /// The cgroup that it most likely has.
        cgroup: String,
        /// How many processes it holds.
        count: usize,
        /// Why, in words.
        why: String,
    },
    /// config.json, or the process of an exec, is wrong.
    #[error("{what}: {}", list(findings))]
    Invalid {
        /// File, or "process".
        what: String,
        /// All that is wrong.
        findings: Vec<Finding>,
    },
    /// A step of the set-up failed in the container's process.
    #[error(
        "unable to start container process: error during container init: {step}: {}",
        sys::errno::full(*errno)
    )]
    Step {
        /// Which stage.
        stage: &'static str,
        /// Which step.
        step: String,
        /// Why.
        errno: i32,
    },
    /// A mount of a container that lives could not be changed.
    #[error("{step}: {}", sys::errno::full(*errno))]
    Mounts {
        /// Which.
        step: String,
        /// Why.
        errno: i32,
    },
    /// A file system of the container's does not answer.
    #[error("a file system on the way to the mounts does not answer")]
    MountsSilent,
    /// The first process is in a mount namespace of another owner than the container's.
    #[error("process {pid} has gone to a mount namespace of its own making")]
    ForeignMounts {
        /// Its pid.
        pid: i32,
    },
    /// The command cannot be started.
    #[error("{}", command_words(command, *found, *errno))]
    Command {
        /// As in process.args[0].
        command: String,
        /// It was found, and the kernel does not execute it.
        found: bool,
        /// Why.
        errno: i32,
    },
    /// The container's process ended before its command began.
    #[error("the container's process was killed by signal {signal} during its set-up")]
    Killed {
        /// The signal.
        signal: i32,
    },
    /// The container's process ended before its command began, without a word.
    #[error("the container's process ended during its set-up")]
    Vanished,
    /// The container's process neither goes on nor fails.
    #[error("the container's process {pid} does not get on with its set-up and was given up")]
    Silent {
        /// Its pid.
        pid: i32,
    },
    /// The container's process does not even begin.
    #[error("the container's process does not run and was given up")]
    Idle,
    /// The process cannot be made.
    #[error("clone the container's process")]
    Clone {
        /// The kernel's reason.
        source: io::Error,
    },
    /// Cgroups.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// The systemd cgroup driver.
    #[error(transparent)]
    Systemd(#[from] systemd::Error),
    /// The container was made without a cgroup.
    #[error("cannot {operation} container \"{id}\": it has no cgroup of its own")]
    NoCgroup {
        /// "pause", "update".
        operation: &'static str,
        /// The id.
        id: String,
    },
    /// The seccomp profile.
    #[error(transparent)]
    Seccomp(#[from] seccomp::Error),
    /// A hook failed.
    #[error("error running {name} hook #{index}: {}: {problem}", path.display())]
    Hook {
        /// Which list.
        name: &'static str,
        /// Which of it.
        index: usize,
        /// Its path.
        path: PathBuf,
        /// What happened.
        problem: String,
    },
    /// A link of the host cannot go into the container.
    #[error("linux.netDevices[{device:?}]: {operation}")]
    NetDevice {
        /// Its name on the host.
        device: String,
        /// "move it".
        operation: &'static str,
        /// The kernel's reason.
        source: sys::netlink::Error,
    },
    /// A file or a call.
    #[error("{what} {}", path.display())]
    Io {
        /// "write", "open".
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A security module that the document asks for is not there.
    #[error("{field}: {module} is not enabled on this kernel")]
    NoModule {
        /// Field of config.json.
        field: &'static str,
        /// "AppArmor", "SELinux".
        module: &'static str,
    },
    /// criu has made a process anew without the confinement that it had.
    #[error("restored without {label:?}: criu has left it the caller's {own:?}")]
    Unconfined {
        /// The profile or label.
        label: String,
        /// The caller's own.
        own: String,
    },
    /// A process could not hear `start` under its own limit of open files.
    #[error(
        "process.rlimits[{index}].soft: RLIMIT_NOFILE of {soft} leaves no descriptor to wait \
        for start with"
    )]
    NoDescriptor {
        /// In `process.rlimits`.
        index: usize,
        /// What is asked for.
        soft: u64,
        /// The least that would do.
        least: u64,
    },
    /// The resctrl file system is not there.
    #[error("{field}: no resctrl file system is mounted")]
    NoResctrl {
        /// Field of config.json, or option.
        field: &'static str,
    },
    /// A resctrl group cannot be what is asked for.
    #[error("linux.intelRdt.{field}: {problem}")]
    Rdt {
        /// Below `linux.intelRdt`.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// criu is not there, or cannot be started.
    #[error("start {}: {}", program.display(), sys::errno::full(*errno))]
    NoCriu {
        /// Its path, or its name.
        program: PathBuf,
        /// Why.
        errno: i32,
    },
    /// criu could not do it.
    #[error("criu: {problem}")]
    Criu {
        /// Its words.
        problem: String,
        /// Its log.
        log: PathBuf,
    },
    /// Several steps of a removal failed.
    #[error("{}", failures.join("; "))]
    Several {
        /// What failed, in words.
        failures: Vec<String>,
    },
}

fn step_hint(stage: &str, step: &str, errno: i32) -> Option<&'static str> {
    let about = |field| step.contains(field);
    match errno {
        sys::abi::EPERM if about("link lo") => Some("CAP_NET_ADMIN is needed"),
        sys::abi::ENOSPC if about("network namespace") => {
            Some("raise the sysctl user.max_net_namespaces")
        }
        sys::abi::EPERM if stage == "set up namespaces" => {
            Some("root, or CAP_SYS_ADMIN, is needed")
        }
        sys::abi::ENOENT if about("process.apparmorProfile") => {
            Some("it is not loaded: apparmor_parser --replace its file first")
        }
        sys::abi::EINVAL if about("process.selinuxLabel") || about("linux.mountLabel") => {
            Some("the policy that is loaded has no such label")
        }
        _ => None,
    }
}

fn mount_hint(errno: i32) -> Option<&'static str> {
    match errno {
        sys::abi::EPERM => Some("be root on the host"),
        sys::abi::EROFS => Some("choose a place that is there already"),
        sys::abi::ELOOP => Some("a link is on the way: write where it leads to"),
        sys::abi::EINVAL => Some("see /proc/mounts in the container"),
        _ => None,
    }
}

const NO_CRIU: &str =
    "checkpoint and restore need criu: install Debian's package criu, or name it with --criu";
const CRIU_WITHOUT: &str =
    "it takes a criu that is built with the label's module; Debian's is without SELinux";

impl Error {
    /// What to try next, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NotFound { .. } => Some("list shows the containers below --root".to_owned()),
            Error::Exists { id } => Some(format!("choose another id, or delete {id} first")),
            Error::BadId { .. } => {
                Some("use 1 to 1024 of A-Z a-z 0-9 _ + - . and do not begin with a dot".to_owned())
            }
            Error::Silent { .. } | Error::Idle => Some(
                "resume the container and its cgroups if they are frozen, and see that no file \
                 system it uses hangs"
                    .to_owned(),
            ),
            Error::NoDescriptor { least, .. } => {
                Some(format!("set it to {least} at least, or use run, which waits for nothing"))
            }
            Error::Locked { holder, .. } => {
                Some(format!("wait, or kill {} and try again", process_words(*holder)))
            }
            Error::Unreadable { id, .. } => Some(format!(
                "if they are {id}'s, kill them by the cgroup's cgroup.procs and delete it again"
            )),
            Error::Vanished | Error::Killed { signal: sys::abi::SIGKILL } => Some(
                "a memory limit may be too low for it: a few MiB are needed; the kernel's log \
                 names what was killed"
                    .to_owned(),
            ),
            // What execve(2) says when there is no memory for the new stack.
            Error::Clone { source }
                if matches!(
                    source.kind(),
                    io::ErrorKind::OutOfMemory | io::ErrorKind::ArgumentListTooLong
                ) =>
            {
                Some("a memory limit may be too low for it: a few MiB are needed".to_owned())
            }
            Error::Refused { operation: "start", id, status: Status::Paused } => {
                Some(format!("resume {id} first"))
            }
            Error::Refused { operation: "delete", id, .. } => {
                Some(format!("kill {id} KILL first, or delete --force"))
            }
            Error::Step { stage, step, errno } => step_hint(stage, step, *errno).map(str::to_owned),
            Error::Mounts { errno, .. } => mount_hint(*errno).map(str::to_owned),
            Error::Clone { source } if source.raw_os_error() == Some(sys::abi::EPERM) => {
                Some("root, or CAP_SYS_ADMIN, is needed".to_owned())
            }
            Error::Unconfined { .. } => Some(CRIU_WITHOUT.to_owned()),
            Error::NoModule { field, .. } => {
                Some(format!("leave {field} out, or boot a kernel that has it"))
            }
            Error::NoResctrl { .. } => Some(
                "mount -t resctrl resctrl /sys/fs/resctrl, on a processor and a kernel with \
                 resource control; or leave the field out"
                    .to_owned(),
            ),
            Error::NoCriu { .. } => Some(NO_CRIU.to_owned()),
            Error::Criu { log, .. } => Some(format!("{} has all of it", log.display())),
            Error::Cgroup(source) => source.hint(),
            Error::Systemd(source) => source.hint(),
            Error::NoCgroup { .. } => Some(
                "it was created without one: by a user without privileges, or so asked".to_owned(),
            ),
            Error::Seccomp(source) => source.hint(),
            _ => None,
        }
    }

    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }
}

/// An error with its causes, for a list of failures.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

fn list(findings: &[Finding]) -> String {
    let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
    all.join("; ")
}

fn process_words(pid: Option<i32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// runc's words for what a container's status forbids: engines look for them.
fn refused_words(operation: &str, id: &str, status: Status) -> String {
    match (operation, status) {
        ("exec in", Status::Stopped | Status::Paused) => {
            format!("cannot exec in a {status} container: \"{id}\"")
        }
        ("start", Status::Stopped) => {
            format!("cannot start a container that has stopped: \"{id}\"")
        }
        ("start", Status::Paused) => {
            format!("cannot start a container in the paused state: \"{id}\"")
        }
        ("start", Status::Running) => {
            format!("cannot start an already running container: \"{id}\"")
        }
        ("delete", _) => format!("cannot delete container \"{id}\" that is not stopped: {status}"),
        (_, Status::Stopped) => {
            format!("cannot {operation} container \"{id}\": container not running")
        }
        _ => format!("cannot {operation} container \"{id}\": it is {status}"),
    }
}

/// runc's words for a command that cannot be started.
fn command_words(command: &str, found: bool, errno: i32) -> String {
    let words = sys::errno::words(errno);
    if found && errno == sys::abi::ENOENT {
        return format!("exec {command}: {words} (its interpreter, if it is a script)");
    }
    match (errno, command.contains('/')) {
        (sys::abi::ENOENT, false) => {
            format!("exec: \"{command}\": executable file not found in $PATH")
        }
        (sys::abi::ENOENT, true) => format!("exec: \"{command}\": stat {command}: {words}"),
        _ => format!("exec: \"{command}\": {words}"),
    }
}
