//! The words between the shell and the decisions: what is seen, what to do, what came of it.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

/// CLOCK_BOOTTIME in milliseconds. Wall-clock times exist only in `status`, by a given offset.
pub type Millis = u64;

/// The sandbox of a pod: its monitor, cgroup, namespaces and address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxState {
    /// Nothing of it exists.
    #[default]
    Absent,
    /// It can hold containers.
    Ready {
        /// The pod's address; `None` with hostNetwork or without network.
        ip: Option<Ipv4Addr>,
    },
    /// Something of it is gone; it must be removed and made again.
    Broken {
        /// What is wrong, in words.
        reason: String,
    },
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitInfo {
    /// Exit code; 128 + n for signal n.
    pub code: i32,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed something in its cgroup for memory.
    pub oom_killed: bool,
    /// When it was started.
    pub started_at: Millis,
    /// When it ended.
    pub finished_at: Millis,
    /// Termination message.
    pub message: Option<String>,
}

/// A container as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerObserved {
    /// It lives.
    Running {
        /// When it was started.
        started_at: Millis,
        /// Its first process, in the host's numbers.
        pid: i32,
    },
    /// It has ended and is not removed yet.
    Exited(ExitInfo),
}

/// A fresh listing of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodObserved {
    /// Its sandbox.
    pub sandbox: SandboxState,
    /// Its containers by name and attempt, all that exist.
    pub containers: BTreeMap<(String, u32), ContainerObserved>,
    /// Actions handed out whose completion has not been absorbed.
    pub in_flight: BTreeSet<Action>,
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Gates the others.
    Startup,
    /// Failure restarts.
    Liveness,
    /// Decides readiness.
    Readiness,
}

impl ProbeKind {
    /// All of them.
    pub const ALL: [ProbeKind; 3] = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];

    /// Word for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ProbeKind::Startup => "startup",
            ProbeKind::Liveness => "liveness",
            ProbeKind::Readiness => "readiness",
        }
    }
}

/// Something the shell is to do. Every action may be done twice with the same effect: after a crash
/// of the supervisor it is handed out again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Make monitor, cgroup, namespaces and address.
    CreateSandbox,
    /// Remove all of the sandbox; also what is broken or half-made.
    RemoveSandbox,
    /// Create and start one attempt of a container.
    StartContainer {
        /// Name.
        container: String,
        /// Number of the attempt, from 0.
        attempt: u32,
    },
    /// Send the stop signal once.
    StopContainer {
        /// Name.
        container: String,
        /// Attempt.
        attempt: u32,
    },
    /// SIGKILL to the whole cgroup.
    KillContainer {
        /// Name.
        container: String,
        /// Attempt.
        attempt: u32,
    },
    /// Drop runtime state and root file system of an ended attempt; logs stay.
    RemoveContainer {
        /// Name.
        container: String,
        /// Attempt.
        attempt: u32,
    },
    /// Make one probe attempt; its parameters are in the spec.
    Probe {
        /// Name.
        container: String,
        /// Attempt.
        attempt: u32,
        /// Which probe.
        kind: ProbeKind,
    },
}

impl Action {
    /// `(name, attempt)` of the container it is about.
    pub fn target(&self) -> Option<(&str, u32)> {
        match self {
            Action::CreateSandbox | Action::RemoveSandbox => None,
            Action::StartContainer { container, attempt }
            | Action::StopContainer { container, attempt }
            | Action::KillContainer { container, attempt }
            | Action::RemoveContainer { container, attempt }
            | Action::Probe { container, attempt, .. } => Some((container, *attempt)),
        }
    }
}

/// Why an action failed, in the words of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The sandbox could not be made.
    CreatePodSandboxError,
    /// The sandbox could not be removed.
    KillPodSandboxError,
    /// The image is not there and is not to be pulled.
    ErrImageNeverPull,
    /// The image could not be pulled.
    ErrImagePull,
    /// The image is there but cannot be used.
    ImageInspectError,
    /// The image reference cannot be read.
    InvalidImageName,
    /// The spec cannot be turned into a container.
    CreateContainerConfigError,
    /// The container could not be made.
    CreateContainerError,
    /// The container was made; its program could not be started (exit code 128).
    RunContainerError,
    /// As RunContainerError: the command is not found or not executable.
    StartError,
    /// Its signal could not be sent.
    KillContainerError,
}

impl Reason {
    /// The reason as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::CreatePodSandboxError => "CreatePodSandboxError",
            Reason::KillPodSandboxError => "KillPodSandboxError",
            Reason::ErrImageNeverPull => "ErrImageNeverPull",
            Reason::ErrImagePull => "ErrImagePull",
            Reason::ImageInspectError => "ImageInspectError",
            Reason::InvalidImageName => "InvalidImageName",
            Reason::CreateContainerConfigError => "CreateContainerConfigError",
            Reason::CreateContainerError => "CreateContainerError",
            Reason::RunContainerError => "RunContainerError",
            Reason::StartError => "StartError",
            Reason::KillContainerError => "KillContainerError",
        }
    }

    /// Is it about the image, so that a newly loaded image may cure it?
    pub fn is_image(self) -> bool {
        use Reason::{ErrImageNeverPull, ErrImagePull, ImageInspectError, InvalidImageName};
        matches!(self, ErrImageNeverPull | ErrImagePull | ImageInspectError | InvalidImageName)
    }

    /// Did the container exist, so that the failure counts as an ended attempt?
    pub fn is_attempt(self) -> bool {
        matches!(self, Reason::RunContainerError | Reason::StartError)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done. The next listing shows it.
    Ok,
    /// Not done.
    Failed {
        /// Kind of failure.
        reason: Reason,
        /// In words.
        message: String,
    },
    /// Result of one probe attempt.
    Probe {
        /// Did it succeed?
        success: bool,
        /// Output or error, for events.
        message: String,
    },
}
