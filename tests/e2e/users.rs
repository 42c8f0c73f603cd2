//! Pods whose users are not the host's (`hostUsers: false`): ids of their own, layers and volumes
//! shared without a copy.
//!
//! To see it red: `Source::Overlay` of runtime's plan without its map (files of the image are
//! nobody's), "idmap" of the supervisor's mounts left out (volumes are), `used` of `free_ids` empty
//! (two pods share ids), `ids` of the packing left out (what is committed is nobody's).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::host::Host;
use crate::supervise::member_pid;

/// A pod that sleeps, with more lines of its spec and of its container.
fn manifest(name: &str, spec: &str, container: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  hostUsers: false
  terminationGracePeriodSeconds: 0
{spec}
  containers:
  - name: main
    image: busybox
    command: [sleep, '1000']
{container}
"
    )
}

fn sh(host: &Host, pod: &str, script: &str) -> String {
    host.podvisor(&["exec", pod, "--", "sh", "-c", script]).ok().trim().to_owned()
}

/// Real, effective, saved and file system uid of a process.
fn uids(pid: i32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("Uid");
    line.split_whitespace().map(|word| word.parse().expect("a number")).collect()
}

fn uid_of(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().expect("uid").to_owned()
}

/// The folder of a container's changes.
fn upper(host: &Host, pod: &Value) -> PathBuf {
    host.path("root/containers").join(format!("{}.main.0", uid_of(pod))).join("upper")
}

/// Files below a folder that hold something.
fn filled(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("read") {
        let (path, facts) =
            entry.map(|e| (e.path(), e.metadata().expect("metadata"))).expect("entry");
        match facts.is_dir() {
            true => found.extend(filled(&path)),
            false if facts.len() > 0 => found.push(path),
            false => {}
        }
    }
    found
}

#[test]
fn two_pods_share_an_image_and_no_id() {
    let Some(scope) = scope::enter("users::two_pods_share_an_image_and_no_id") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    let snapshots = || {
        let all = fs::read_dir(host.path("root/snapshots")).expect("snapshots");
        all.map(|entry| entry.expect("entry").file_name()).collect::<BTreeSet<_>>()
    };
    let before = snapshots();
    let pods: Vec<Value> = ["one", "two"]
        .iter()
        .map(|name| {
            host.apply(&manifest(name, "", ""));
            host.ready(name)
        })
        .collect();
    assert_eq!(snapshots(), before, "the image is not unpacked again");
    let layer = host.path("root/snapshots/1/bin/busybox");
    let (inode, owner) = fs::metadata(&layer).map(|m| (m.ino(), m.uid())).expect("the layer");
    assert_eq!(owner, 0, "the layer stays root's");
    let mut ranges = BTreeSet::new();
    for (name, pod) in ["one", "two"].iter().zip(&pods) {
        let seen =
            sh(&host, name, "id -u; stat -c '%u:%g %i' /bin/busybox; cat /proc/self/uid_map");
        let mut lines = seen.lines();
        assert_eq!(lines.next(), Some("0"), "{seen}");
        assert_eq!(lines.next(), Some(format!("0:0 {inode}").as_str()), "the layer's own file");
        let map: Vec<u32> =
            lines.next().expect("map").split_whitespace().map(|w| w.parse().expect("id")).collect();
        assert!(map[0] == 0 && map[1] > 65535 && map[2] == 65536, "{seen}");
        assert_eq!(uids(member_pid(&host, name, "main.0").expect("pid")), vec![map[1]; 4]);
        assert!(ranges.insert(map[1]), "both have {map:?}");
        // What is changed is copied, and belongs to the pod's root.
        let folder = upper(&host, pod);
        assert_eq!(filled(&folder), Vec::<PathBuf>::new(), "nothing is copied");
        sh(&host, name, "echo new > /new; chmod 700 /bin/busybox; chown 5:6 /new");
        let owner = |name: &str| fs::metadata(folder.join(name)).map(|m| m.uid()).expect(name);
        assert_eq!((owner("new"), owner("bin/busybox")), (map[1] + 5, map[1]));
        assert_eq!(fs::metadata(&folder).expect("upper").uid(), map[1]);
    }
    assert_eq!(fs::metadata(&layer).expect("the layer").mode() & 0o777, 0o755);
    // Both lie one after the other, 65,536 each.
    assert_eq!(ranges.last().unwrap() - ranges.first().unwrap(), 65536);
    // A new supervisor knows whose they are.
    host.kill_supervisor();
    host.serve();
    host.apply(&manifest("three", "", ""));
    host.ready("three");
    let first = |name: &str| sh(&host, name, "awk '{print $2}' /proc/self/uid_map");
    let third: u32 = first("three").parse().expect("id");
    assert!(!ranges.contains(&third), "{third} is of {ranges:?}");
    // What a deleted pod had is free again.
    host.podvisor(&["delete", "pod", "one"]).ok();
    host.apply(&manifest("four", "", ""));
    host.ready("four");
    assert_eq!(first("four"), ranges.first().unwrap().to_string());
    // An image that is made of it is nobody's but root's, as all images are.
    host.podvisor(&["commit", "two", "kept"]).ok();
    let kept = ["run", "--rm", "kept", "stat", "-c", "%u:%g %n", "/new", "/bin/busybox", "/"];
    assert_eq!(host.podvisor(&kept).ok(), "5:6 /new\n0:0 /bin/busybox\n0:0 /\n");
    let tar = host.path("two.tar").display().to_string();
    host.podvisor(&["export", "-o", &tar, "two"]).ok();
    let listed = Command::new("tar").args(["-tvf", &tar, "--numeric-owner"]).output();
    let listed = String::from_utf8(listed.expect("tar").stdout).expect("text");
    assert!(
        listed.lines().any(|line| line.contains(" 5/6 ") && line.ends_with(" new")),
        "{listed}"
    );
    host.down();
}

#[test]
fn volumes_look_as_they_do_to_other_pods() {
    let Some(scope) = scope::enter("users::volumes_look_as_they_do_to_other_pods") else { return };
    let mut host = Host::with_busybox(scope);
    let shown = host.path("shown");
    fs::create_dir(&shown).expect("mkdir");
    fs::write(shown.join("file"), "of the host\n").expect("write");
    host.serve();
    let spec = format!(
        "  securityContext:
    fsGroup: 777
    sysctls: [{{name: net.ipv4.ip_unprivileged_port_start, value: '0'}}]
  volumes:
  - {{name: disk, emptyDir: {{}}}}
  - {{name: ram, emptyDir: {{medium: Memory}}}}
  - {{name: shown, hostPath: {{path: {}}}}}",
        shown.display()
    );
    let mounts = "    volumeMounts:
    - {name: disk, mountPath: /disk}
    - {name: disk, mountPath: /part, subPath: a/b}
    - {name: ram, mountPath: /ram}
    - {name: shown, mountPath: /shown}
    securityContext: {capabilities: {add: [NET_ADMIN]}}";
    host.apply(&manifest("own", &spec, mounts));
    let pod = host.ready("own");
    let made = "for d in /disk /part /ram /shown; do echo x > $d/f; chown 3:4 $d/f; done; \
                stat -c '%u:%g' /disk/f /part/f /ram/f /shown/f /shown/file /shown";
    assert_eq!(sh(&host, "own", made), "3:4\n3:4\n3:4\n3:4\n0:0\n0:0");
    let disk = host.path("root/volumes").join(uid_of(&pod)).join("disk");
    for file in [disk.join("f"), disk.join("a/b/f"), shown.join("f")] {
        let found = fs::metadata(&file).expect("the host's file");
        assert_eq!((found.uid(), found.gid()), (3, 4), "{}", file.display());
    }
    assert_eq!(fs::metadata(&disk).expect("disk").gid(), 777);
    // Its network, its devices, its files and its outputs are its own.
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ip addr add 10.1.2.3/32 dev lo && echo link; \
                  ls /sys/class/net | grep -c eth0; echo a > /dev/null && echo null; \
                  stat -c %u /etc/hosts /dev/shm; echo x > /dev/shm/s; echo out > /proc/1/fd/1; hostname";
    assert_eq!(sh(&host, "own", script), "0\nlink\n1\nnull\n0\n0\nown");
    assert_eq!(host.podvisor(&["logs", "own"]).ok(), "out\n");
    host.down();
}

#[test]
fn one_pid_namespace_belongs_to_the_pods_users() {
    let Some(scope) = scope::enter("users::one_pid_namespace_belongs_to_the_pods_users") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    let spec = "  shareProcessNamespace: true";
    host.apply(&manifest("shared", spec, "    securityContext: {runAsUser: 1000}"));
    let pod = host.ready("shared");
    let pid = member_pid(&host, "shared", "main.0").expect("pid");
    let first = uids(pid)[0] - 1000;
    let seen = sh(&host, "shared", "cat /proc/1/comm; stat -c %u /proc/1; id -u");
    assert_eq!(seen, "pod-init\n65534\n1000");
    let init = member_pid(&host, "shared", "init").expect("pid");
    assert_eq!(uids(init), vec![first + 65534; 4]);
    // A monitor that dies is followed by one that finds all that was there.
    let monitor =
        fs::read_to_string(host.path("state/pods").join(uid_of(&pod)).join("monitor.json"));
    let monitor: Value = serde_json::from_str(&monitor.expect("monitor.json")).expect("JSON");
    let killed = Command::new("kill").args(["-9", &monitor["pid"].to_string()]).status();
    assert!(killed.expect("kill").success());
    host.until("the pod goes on", || {
        let done = host.podvisor(&["exec", "shared", "--", "cat", "/proc/1/comm"]);
        (done.out == "pod-init\n").then_some(())
    });
    assert_eq!(member_pid(&host, "shared", "main.0"), Some(pid));
    host.down();
}

#[test]
fn what_a_pod_does_not_have_is_refused() {
    let Some(scope) = scope::enter("users::what_a_pod_does_not_have_is_refused") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(&manifest("beyond", "", "    securityContext: {runAsUser: 65536}"));
    host.until("it says why", || {
        let status = host.container("beyond", "main")?;
        let waiting = &status["state"]["waiting"];
        let words = waiting["message"].as_str()?;
        (waiting["reason"] == "CreateContainerConfigError"
            && words.contains("user 65536 is none of the pod's ids"))
        .then_some(())
    });
    let file = host.file("bad.yaml", &manifest("bad", "  hostNetwork: true", ""));
    let bad = host.podvisor(&["apply", "-f", &file]);
    bad.fails(1, &["hostUsers", "cannot be used with hostNetwork"]);
    host.down();
}
