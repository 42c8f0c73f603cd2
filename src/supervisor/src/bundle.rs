//! A pod's container and its image, as the config.json that the runtime wants.
//!
//! Pure: the same pod, image and [`Facts`] give the same document, and nothing is looked at on the
//! host but the file of a `Localhost` seccomp profile. Invariant: a document that is handed out has
//! passed `oci::validate`.
//! Where to start: [`config`]; `process` (command, variables, identity), `mounts`, `limits`
//! (cgroup), `privileges` (capabilities, masks), `seccomp`; `oci::profile` has what is the same in
//! every container.
//! Not here: making what the document speaks of (`volumes`, `pod_files`, the monitor).

mod error;
mod limits;
mod mounts;
mod privileges;
mod process;
mod seccomp;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::path::Path;

use image::Image;
use image::user::ResolvedUser;
use monitor::SandboxConfig;
use oci::runtime::Spec;
use pod::manifest::{Container, PodSecurityContext, SecurityContext};
use serde_json::{Value, json};

use crate::options::Options;
use crate::pod_files::{self, PodFiles};
use crate::volumes::ResolvedVolumeMount;
pub(crate) use error::BundleError;
use privileges::Privileges;

/// SIGTERM.
const DEFAULT_STOP_SIGNAL: i32 = 15;

/// What is known of the host and of what was made for the container.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    /// The pod's folder.
    pub(crate) pod_dir: &'a Path,
    /// Which start of the container, from 0.
    pub(crate) attempt: u32,
    /// The pod's identity.
    pub(crate) uid: &'a str,
    /// The pod's address.
    pub(crate) pod_ip: Option<Ipv4Addr>,
    /// The host's address.
    pub(crate) host_ip: Option<Ipv4Addr>,
    /// The host's name.
    pub(crate) node_name: &'a str,
    /// The host's memory, in bytes.
    pub(crate) capacity_bytes: u64,
    /// What tells of the processors' heat.
    pub(crate) thermal: &'a [String],
    /// The pod's cgroup, `/podvisor/pod<uid>`.
    pub(crate) cgroup_parent: &'a str,
    /// `runAsUser`, else the image's user, looked up in the image.
    pub(crate) user: ResolvedUser,
    /// What `volumes::mounts` gave.
    pub(crate) volumes: &'a [ResolvedVolumeMount],
    /// What `pod_files::write` gave.
    pub(crate) files: &'a PodFiles,
}

/// What the image says of the process.
#[derive(Clone, Copy, Debug, Default)]
struct Defaults<'a> {
    entrypoint: &'a [String],
    cmd: &'a [String],
    env: &'a [String],
    working_dir: Option<&'a str>,
}

impl<'a> Defaults<'a> {
    fn of(image: &'a Image) -> Defaults<'a> {
        Defaults {
            entrypoint: image.entrypoint(),
            cmd: image.cmd(),
            env: image.env(),
            working_dir: image.working_dir(),
        }
    }
}

/// One container of one pod; its own security context wins over the pod's.
#[derive(Clone, Copy)]
struct Subject<'a> {
    pod: &'a pod::Pod,
    container: &'a Container,
}

impl<'a> Subject<'a> {
    fn own(&self) -> Option<&'a SecurityContext> {
        self.container.security_context.as_ref()
    }

    fn pods(&self) -> Option<&'a PodSecurityContext> {
        self.pod.spec.security_context.as_ref()
    }
}

/// The container's config.json.
///
/// # Errors
/// No command, root where `runAsNonRoot` forbids it, a seccomp profile that cannot be read, or
/// values that the runtime would refuse.
pub(crate) fn config(
    pod: &pod::Pod,
    container: &Container,
    image: &Image,
    facts: &Facts<'_>,
) -> Result<Spec, BundleError> {
    build(Subject { pod, container }, &Defaults::of(image), facts)
}

fn build(
    subject: Subject<'_>,
    image: &Defaults<'_>,
    facts: &Facts<'_>,
) -> Result<Spec, BundleError> {
    let Subject { pod, container } = subject;
    let privileges = Privileges::of(subject);
    let mut config: Value = serde_json::from_str(oci::profile::SKELETON)?;
    config["process"] = process::process(subject, image, facts, &privileges)?;
    config["root"]["readonly"] = json!(rootfs_readonly(pod, container));
    let skeleton = config["mounts"].take();
    config["mounts"] = json!(mounts::list(subject, skeleton, facts, &privileges)?);
    let linux = &mut config["linux"];
    if privileges.is_privileged {
        linux["maskedPaths"] = json!([]);
        linux["readonlyPaths"] = json!([]);
    } else if let Some(masked) = linux["maskedPaths"].as_array_mut() {
        masked.extend(facts.thermal.iter().map(|path| json!(path)));
    }
    linux["namespaces"] = namespaces(pod, facts.pod_dir);
    linux["cgroupsPath"] =
        json!(format!("{}/{}.{}", facts.cgroup_parent, container.name, facts.attempt));
    linux["resources"] = limits::container(container, privileges.is_privileged);
    if let Some(profile) = seccomp::profile(subject, &privileges)? {
        linux["seccomp"] = profile;
    }
    config["annotations"] = json!({
        "podvisor/pod": pod.metadata.name,
        "podvisor/uid": facts.uid,
        "podvisor/namespace": pod.metadata.namespace(),
        "podvisor/container": container.name,
    });
    let spec: Spec = serde_json::from_value(config)?;
    oci::validate::validate(&spec).map_err(|findings| BundleError::Invalid { findings })?;
    Ok(spec)
}

/// Mount and cgroup namespaces are the container's own; the rest is the pod's, pinned by its
/// monitor. Without an entry a container is in the host's.
fn namespaces(pod: &pod::Pod, pod_dir: &Path) -> Value {
    let pin = |kind: sys::pin::Kind| pod_dir.join("ns").join(kind.name());
    let mut list = vec![
        json!({"type": "mount"}),
        json!({"type": "cgroup"}),
        json!({"type": "ipc", "path": pin(sys::pin::Kind::Ipc)}),
        json!({"type": "uts", "path": pin(sys::pin::Kind::Uts)}),
    ];
    if pod.spec.host_network != Some(true) {
        list.push(json!({"type": "network", "path": pin(sys::pin::Kind::Net)}));
    }
    if pod.spec.host_users == Some(false) {
        list.push(json!({"type": "user", "path": pin(sys::pin::Kind::User)}));
    }
    list.push(match pod.spec.share_process_namespace {
        Some(true) => json!({"type": "pid", "path": pin(sys::pin::Kind::Pid)}),
        _ => json!({"type": "pid"}),
    });
    json!(list)
}

/// Whether the container may not write to its root file system.
pub(crate) fn rootfs_readonly(pod: &pod::Pod, container: &Container) -> bool {
    let own = Subject { pod, container }.own();
    own.and_then(|context| context.read_only_root_filesystem) == Some(true)
}

/// The signal that asks the container to stop: the image's, else SIGTERM.
pub(crate) fn stop_signal(_container: &Container, image: &Image) -> i32 {
    signal_of(image.stop_signal())
}

/// What the image says and is no signal is as if it said nothing.
fn signal_of(said: Option<&str>) -> i32 {
    let number = said.and_then(sys::foreground::signal_number).filter(|number| *number > 0);
    number.unwrap_or(DEFAULT_STOP_SIGNAL)
}

/// Name of an attempt in the runtime and in the image store.
pub(crate) fn runtime_id(uid: &str, container: &str, attempt: u32) -> String {
    format!("{uid}.{container}.{attempt}")
}

/// What the pod's monitor is to make.
pub(crate) fn sandbox(
    pod: &pod::Pod,
    uid: &str,
    node_name: &str,
    options: &Options,
) -> SandboxConfig {
    let sysctls = pod.spec.security_context.iter().flat_map(|context| &context.sysctls);
    SandboxConfig {
        uid: uid.to_owned(),
        hostname: pod_files::hostname(pod, node_name),
        host_network: pod.spec.host_network == Some(true),
        // What the pod was given is not to be seen in its definition.
        ids: None,
        share_process_namespace: pod.spec.share_process_namespace == Some(true),
        sysctl: sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        cgroup_parent: options.pod_cgroup(uid),
        resources: limits::pod(&pod.spec),
        oci_root: options.paths.runtime(),
    }
}
