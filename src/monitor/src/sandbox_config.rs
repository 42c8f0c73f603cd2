//! `sandbox.json`: what the supervisor writes into the pod folder before it starts the monitor.
//!
//! Data only; [`crate::sandbox`] acts on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci::IdRange;
use oci::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

/// File name of the sandbox's configuration in the pod folder.
pub const SANDBOX_FILE: &str = "sandbox.json";
/// File name of the monitor's identity in the pod folder.
pub const IDENTITY_FILE: &str = "monitor.json";
/// File name of the monitor's socket in the pod folder.
pub const SOCKET_FILE: &str = "monitor.sock";

/// A pod's sandbox as the monitor is to make it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// The pod's uid.
    pub uid: String,
    /// Host name of the pod's UTS namespace, at most 63 bytes.
    pub hostname: String,
    /// The pod uses the host's network: no net namespace is made or pinned.
    #[serde(default)]
    pub host_network: bool,
    /// Members share one PID namespace, pinned at `ns/pid`, with a tiny PID 1.
    #[serde(default)]
    pub share_process_namespace: bool,
    /// Members have a user namespace, pinned at `ns/user`, in which these ids of the host are their
    /// own; the other namespaces belong to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdRange>,
    /// Namespaced sysctls, written in the pod's namespaces.
    #[serde(default)]
    pub sysctl: BTreeMap<String, String>,
    /// The pod's cgroup, "/podvisor/pod<uid>".
    pub cgroup_parent: String,
    /// Limits of the pod as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<LinuxResources>,
    /// Root folder of the runtime's state.
    pub oci_root: PathBuf,
}

/// `monitor.json`: which process is the pod's monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Pid in the host's namespace.
    pub pid: i32,
    /// Start time of that pid in clock ticks since boot (field 22 of /proc/pid/stat).
    pub start_time: u64,
    /// Protocol version it speaks.
    pub version: u32,
    /// Pid and start time of the pod's shared PID 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid1: Option<(i32, u64)>,
}
