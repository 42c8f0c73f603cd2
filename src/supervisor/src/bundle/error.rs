//! Why a container has no config.json.

use std::io;
use std::path::PathBuf;

use oci::validate::Finding;

/// A container that cannot be described to the runtime.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    /// Neither the manifest nor the image says what to run.
    #[error("container {container:?} has no command, nor has its image {image}")]
    NoCommand {
        /// Its name.
        container: String,
        /// Its image.
        image: String,
    },
    /// `runAsNonRoot` and user 0.
    #[error("container {container:?} has runAsNonRoot and would run as root")]
    Root {
        /// Its name.
        container: String,
    },
    /// A user or group that a pod with `hostUsers: false` does not have.
    #[error("container {container:?}: {what} {id} is none of the pod's ids, 0 to 65535")]
    Unmapped {
        /// Its name.
        container: String,
        /// `user` or `group`.
        what: &'static str,
        /// Its number.
        id: u32,
    },
    /// A seccomp profile that cannot be read.
    #[error("read the seccomp profile {path}")]
    Profile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A seccomp profile that is none.
    #[error("the seccomp profile {path} is not understood")]
    ProfileText {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Values that the runtime would refuse.
    #[error("the container cannot be described: {}", words(.findings))]
    Invalid {
        /// All of them, by their place in config.json.
        findings: Vec<Finding>,
    },
    /// The document has another shape than the specification's.
    #[error("build config.json")]
    Document(#[from] serde_json::Error),
}

impl BundleError {
    /// What to try next.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            BundleError::NoCommand { .. } => {
                "set command in the manifest, or name one: podvisor run IMAGE COMMAND".to_owned()
            }
            BundleError::Root { .. } => {
                "set securityContext.runAsUser to another user than 0".to_owned()
            }
            BundleError::Unmapped { what, .. } => {
                format!("set another {what} in securityContext, or leave hostUsers: false out")
            }
            BundleError::Profile { .. } => format!(
                "localhostProfile is a file below {} in the form of linux.seccomp of config.json",
                super::seccomp::FOLDER
            ),
            BundleError::ProfileText { .. } => {
                "it has to be JSON in the form of linux.seccomp of config.json".to_owned()
            }
            BundleError::Invalid { .. } | BundleError::Document(_) => return None,
        })
    }
}

fn words(findings: &[Finding]) -> String {
    let all: Vec<String> = findings.iter().map(Finding::to_string).collect();
    all.join("; ")
}
