//! A root that is moved and not pivoted, where the container's mounts are the host's, too.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::trial::Trial;

fn mount(args: &[&str]) {
    let status = Command::new("mount").args(args).status();
    assert!(status.expect("mount").success(), "mount {args:?}");
}

/// The mounts of the host's root, procfs and sysfs.
fn seen() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the host's own procfs");
    let place = |line: &&str| matches!(line.split(' ').nth(4), Some("/" | "/proc" | "/sys"));
    table.lines().filter(place).map(str::to_owned).collect()
}

/// What is unmounted or moved on a shared mount is unmounted or moved for the host, too.
/// Red without `cover`, and without `MS_SLAVE` before `MoveRoot`, in the plan of the root.
#[test]
fn the_host_keeps_its_root_and_procfs() {
    let Some(scope) = scope::enter("moved_root::the_host_keeps_its_root_and_procfs") else {
        return;
    };
    let trial = Trial::new(scope, &["grep", "-c", " - proc ", "/proc/self/mountinfo"]);
    trial.change(|config| config["linux"]["rootfsPropagation"] = json!("rshared"));
    let (bundle, rootfs) = (trial.path("b"), trial.path("b/rootfs"));
    let (bundle, rootfs) = (bundle.display().to_string(), rootfs.display().to_string());
    mount(&["--bind", &rootfs, &rootfs]);
    mount(&["--make-rshared", "/"]);
    let before = seen();
    trial.oci(&["run", "--no-pivot", "--bundle", &bundle, "c"]).ok();
    assert_eq!(seen(), before);
    let status = Command::new("umount").arg(&rootfs).status();
    assert!(status.expect("umount").success(), "umount {rootfs}");
}
