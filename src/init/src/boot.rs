//! The machine before the first program: mounts, stdio, loopback, host name, protection.
//!
//! What cannot be done is told on the console and passed over: PID 1 must go on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use sys::machine::{self, Needed};

use crate::say;

/// Most files that podvisor and its pods may have open, each process.
const FILES: u64 = 1_048_576;

const fn needed(kind: &'static str, target: &'static str, options: &'static str) -> Needed {
    Needed { kind, target, options, exec: false, devices: false }
}

/// In order: each may lie on one before it.
const MOUNTS: [Needed; 8] = [
    needed("proc", "/proc", ""),
    needed("sysfs", "/sys", ""),
    Needed { devices: true, exec: true, ..needed("devtmpfs", "/dev", "mode=0755") },
    Needed { devices: true, ..needed("devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666") },
    needed("tmpfs", "/dev/shm", "mode=1777"),
    needed("mqueue", "/dev/mqueue", ""),
    Needed { exec: true, ..needed("tmpfs", "/run", "mode=0755") },
    needed("cgroup2", CGROUP, "nsdelegate,memory_recursiveprot"),
];

/// Where the one hierarchy of cgroups is.
const CGROUP: &str = "/sys/fs/cgroup";

/// Links that programs expect and devtmpfs does not make.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Brings the machine into the state that the supervisor expects.
pub(crate) fn prepare_machine() {
    for mount in &MOUNTS {
        note(mount.target, machine::ensure(mount).map(|_| ()));
    }
    note("stdio", machine::ensure_stdio());
    if machine::root_is_in_memory() {
        let tmp = Needed { exec: true, ..needed("tmpfs", "/tmp", "mode=1777") };
        note(tmp.target, machine::ensure(&tmp).map(|_| ()));
    }
    for (target, link) in LINKS {
        if !Path::new(link).exists() {
            note(link, symlink(target, link));
        }
    }
    enable_controllers();
    note("loopback", sys::loopback::up());
    set_hostname();
    note("file limit", machine::allow_files(FILES));
    note("oom_score_adj", fs::write("/proc/self/oom_score_adj", "-1000"));
    // Only the first PID namespace has such keys.
    let _ = sys::reboot::disable_ctrl_alt_del();
}

/// Hands every controller of the root down; one that cannot be handed down does not stop the
/// others.
fn enable_controllers() {
    let Ok(controllers) = fs::read_to_string(format!("{CGROUP}/cgroup.controllers")) else {
        return;
    };
    for name in controllers.split_ascii_whitespace() {
        let path = format!("{CGROUP}/cgroup.subtree_control");
        note(name, fs::write(path, format!("+{name}")));
    }
}

/// The name of /etc/hostname where the kernel still has its own.
fn set_hostname() {
    let now = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if !["(none)", "localhost", ""].contains(&now.trim()) {
        return;
    }
    let text = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = Some(text.trim()).filter(|name| !name.is_empty()).unwrap_or("podvisor");
    note("host name", sys::pin::set_hostname(name));
}

fn note(what: &str, result: std::io::Result<()>) {
    if let Err(error) = result {
        say(&format!("init: {what}: {error}"));
    }
}
