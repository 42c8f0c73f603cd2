//! Why a monitor cannot begin or go on.

use std::io;
use std::path::PathBuf;

/// A failure of the monitor itself; failures of requests are answers, not this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MonitorError {
    /// A file of the pod folder cannot be read, written or made.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// "read", "write", "make".
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// sandbox.json says something that cannot be done.
    #[error("{}: {field}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Field path.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Another monitor holds the pod.
    #[error("pod folder {} already has a living monitor", pod_dir.display())]
    Occupied {
        /// The pod folder.
        pod_dir: PathBuf,
    },
    /// A step of the sandbox failed.
    #[error("cannot {step}")]
    Sandbox {
        /// Which step.
        step: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// The runtime cannot be opened.
    #[error("cannot open the runtime's state in {}", root.display())]
    Runtime {
        /// Its root folder.
        root: PathBuf,
        /// Cause.
        source: runtime::Error,
    },
    /// The pod's cgroup cannot be made.
    #[error("cannot make the pod's cgroup {path}")]
    Cgroup {
        /// Its path.
        path: String,
        /// Cause.
        source: runtime::cgroup::Error,
    },
    /// Waiting for events failed.
    #[error("cannot wait for events")]
    Watch(#[source] io::Error),
}

impl MonitorError {
    /// What to try next.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            MonitorError::Occupied { .. } => {
                Some("connect to its monitor.sock, or send it Shutdown".into())
            }
            MonitorError::Cgroup { source, .. } => source.hint(),
            MonitorError::Runtime { source, .. } => source.hint(),
            MonitorError::Config { .. } => Some("delete the pod and create it again".into()),
            MonitorError::File { .. } | MonitorError::Sandbox { .. } | MonitorError::Watch(_) => {
                None
            }
        }
    }

    /// The whole cause chain in one line.
    #[must_use]
    pub(crate) fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its sources, joined by ": ".
#[must_use]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
