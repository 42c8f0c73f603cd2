//! `down --keep`: everything stops, what is wanted stays, and comes back at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::host::{Host, is_ready};

const WANTED: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: busybox, command: [sleep, '1000']}]
---
apiVersion: v1
kind: Pod
metadata: {name: store}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: disk, emptyDir: {}}, {name: ram, emptyDir: {medium: Memory}}]
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'echo started >> /disk/starts; sleep 1000']
    volumeMounts: [{name: disk, mountPath: /disk}, {name: ram, mountPath: /ram}]
---
apiVersion: v1
kind: Pod
metadata: {name: batch}
spec:
  restartPolicy: Never
  containers: [{name: main, image: busybox, command: [echo, done]}]
";

const SLEEPER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  restartPolicy: Always
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: busybox, command: [sleep, '1000']}]
";

/// Names and uids.
fn identities(host: &Host) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |pod: &Value| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
    host.pods().iter().map(of).collect()
}

/// Waits until everything wanted runs or has run.
fn settled(host: &Host) {
    host.until("all pods are there", || {
        let pods = host.pods();
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let done = pods.iter().filter(|pod| pod["status"]["phase"] == "Succeeded").count();
        ((pods.len(), ready, done) == (4, 3, 1)).then_some(())
    });
}

#[test]
fn what_is_kept_comes_back_as_it_was() {
    let Some(scope) = scope::enter("keep::what_is_kept_comes_back_as_it_was") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(WANTED);
    settled(&host);
    let before = identities(&host);
    host.down_keeping();
    let log = host.path(&format!("log/default_store_{}/main/0.log", before["store"]));
    assert!(log.exists() && host.path("root/podvisor.redb").exists());
    let again = host.podvisor(&["down", "--keep"]);
    assert!(again.err.contains("nothing runs"), "nothing is started to be kept: {}", again.err);

    host.serve();
    settled(&host);
    assert_eq!(identities(&host), before, "neither new names nor new uids");
    for name in before.keys() {
        let restarts = host.container(name, "main").expect("status")["restartCount"].clone();
        assert_eq!(restarts, u64::from(name != "batch"), "{name}: started once more, if at all");
    }
    let pods = host.pods();
    let addresses: BTreeSet<&str> =
        pods.iter().filter_map(|pod| pod["status"]["podIP"].as_str()).collect();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    let starts = host.path(&format!("root/volumes/{}/disk/starts", before["store"]));
    assert_eq!(fs::read_to_string(starts).expect("starts"), "started\nstarted\n");

    // What is deleted for good does not come back.
    host.podvisor(&["delete", "pod", "store"]).ok();
    host.down_keeping();
    host.serve();
    host.until("the replicas are back", || {
        (host.pods().iter().filter(|pod| is_ready(pod)).count() == 2).then_some(())
    });
    assert!(host.pod("store").is_none());
    host.down();
    assert!(!host.path("root/podvisor.redb").exists() && !host.path("root/volumes").exists());
}

/// Runs a command that has to succeed.
fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().expect(program).success(), "{args:?}");
}

#[test]
fn a_reboot_brings_back_what_is_kept() {
    let Some(scope) = scope::enter("keep::a_reboot_brings_back_what_is_kept") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(WANTED);
    settled(&host);
    let before = identities(&host);
    host.down_keeping();

    // What a boot changes: the kernel's id of it, and what lay in memory.
    let boot_id = "/proc/sys/kernel/random/boot_id";
    let fresh = host.file("boot_id", "00000000-0000-4000-8000-000000000002\n");
    run("mount", &["--bind", &fresh, boot_id]);
    fs::remove_dir_all(host.path("state")).expect("remove the state folder");

    host.serve();
    settled(&host);
    assert_eq!(identities(&host), before);
    let restarts = host.container("store", "main").expect("status")["restartCount"].clone();
    assert_eq!(restarts, 1);
    let starts = host.path(&format!("root/volumes/{}/disk/starts", before["store"]));
    assert_eq!(fs::read_to_string(starts).expect("starts"), "started\nstarted\n");
    host.down();
    run("umount", &[boot_id]);
}

#[test]
fn a_foreground_up_leaves_what_was_kept() {
    let Some(scope) = scope::enter("keep::a_foreground_up_leaves_what_was_kept") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(&SLEEPER.replace("NAME", "kept"));
    host.ready("kept");
    host.down_keeping();

    let file = host.file("own.yaml", &SLEEPER.replace("NAME", "own"));
    let mut up = host.command(&["up", "-f", &file]).spawn().expect("up");
    host.until("both run", || {
        let listed = host.podvisor(&["get", "pods", "-o", "json"]);
        let pods: Vec<Value> = serde_json::from_str(&listed.out).unwrap_or_default();
        (pods.iter().filter(|pod| is_ready(pod)).count() == 2).then_some(())
    });
    run("kill", &["-INT", &up.id().to_string()]);
    assert!(up.wait().expect("wait").success());
    host.ready("kept");
    assert!(host.pod("own").is_none(), "what it has brought is gone");
    host.podvisor(&["down"]).ok();
}

#[test]
fn a_pod_that_is_never_restarted_ends_with_what_is_kept() {
    let name = "keep::a_pod_that_is_never_restarted_ends_with_what_is_kept";
    let Some(scope) = scope::enter(name) else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(&SLEEPER.replace("NAME", "once").replace("Always", "Never"));
    host.ready("once");
    host.down_keeping();
    host.serve();
    // As on a node that comes back: what was stopped has ended, and is not run a second time.
    let pod = host.until("it has ended", || {
        host.pod("once").filter(|pod| pod["status"]["phase"] == "Failed")
    });
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{pod}");
    host.down();
}
