//! What a container sees mounted, in the order of mounting. Pure.
//!
//! Invariants: shallow targets come before those below them; one target has one mount, and the
//! manifest's wins over what every container gets.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::privileges::Privileges;
use super::{BundleError, Facts, Subject};
use crate::{pod_files, volumes};

/// Mounts of every container, of the pod's files, of its volumes.
pub(super) fn list(
    subject: Subject<'_>,
    skeleton: Value,
    facts: &Facts<'_>,
    privileges: &Privileges,
) -> Result<Vec<Value>, BundleError> {
    let mut mounts: Vec<Value> = serde_json::from_value(skeleton)?;
    if privileges.is_privileged {
        for mount in &mut mounts {
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "ro");
            }
        }
    }
    let own_users = subject.pod.spec.host_users == Some(false);
    let mut shm = json!({
        "destination": "/dev/shm",
        "type": "bind",
        "source": volumes::shm(facts.pod_dir),
        "options": ["bind", "rprivate", "nosuid", "noexec", "nodev"],
    });
    if own_users {
        map_ids(&mut shm);
    }
    mounts.push(shm);
    let bind = |target: &Path, source: &Path, recursive, read_only| {
        let mut mount = bind(target, source, recursive, read_only);
        if own_users {
            map_ids(&mut mount);
        }
        mount
    };
    let read_only = super::rootfs_readonly(subject.pod, subject.container);
    for (target, source) in [
        ("/etc/hosts", &facts.files.hosts),
        ("/etc/resolv.conf", &facts.files.resolv_conf),
        ("/etc/hostname", &facts.files.hostname),
    ] {
        mounts.push(bind(Path::new(target), source, false, read_only));
    }
    let container = subject.container;
    let log = pod_files::termination_log(facts.pod_dir, &container.name, facts.attempt);
    let message = normal(Path::new(container.termination_message_path()));
    put(&mut mounts, bind(&message, &log, false, false));
    for volume in facts.volumes {
        let target = normal(&volume.destination);
        put(&mut mounts, bind(&target, &volume.source, volume.recursive, volume.read_only));
    }
    mounts.sort_by_key(|mount| {
        mount["destination"].as_str().map_or(0, |target| Path::new(target).components().count())
    });
    Ok(mounts)
}

fn bind(target: &Path, source: &Path, recursive: bool, read_only: bool) -> Value {
    let bind = if recursive { "rbind" } else { "bind" };
    let access = if read_only { "ro" } else { "rw" };
    let options = [bind, "rprivate", access];
    json!({"destination": target, "type": "bind", "source": source, "options": options})
}

/// What the host's ids own is shown as the pod's own: root's as root's. What is mounted below stays
/// as it is, and shows owners that the pod does not have as nobody.
fn map_ids(mount: &mut Value) {
    if let Some(options) = mount["options"].as_array_mut() {
        options.push(json!("idmap"));
    }
}

/// Adds a mount in the place of one on the same target.
fn put(mounts: &mut Vec<Value>, mount: Value) {
    mounts.retain(|other| other["destination"] != mount["destination"]);
    mounts.push(mount);
}

/// Without doubled and closing slashes, and without `.`.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}
