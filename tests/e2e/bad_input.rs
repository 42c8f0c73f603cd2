//! Every wrong manifest, image, flag or state gets an error that names the place and says what to
//! try; nothing is half-made afterwards.

use std::fs;
use std::process::Command;

use crate::host::Host;

/// name of the case, manifest, what the error must say
const MANIFESTS: &[(&str, &str, &[&str])] = &[
    (
        "unknown field with a near name",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - name: a\n    image: busybox\n    comand: [true]\n",
        &["manifest.yaml:8:", "spec.containers[0]", "comand", "command"],
    ),
    (
        "wrong type",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  replicas: three\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: a, image: busybox}]}\n",
        &["manifest.yaml:5:", "spec.replicas", "three"],
    ),
    (
        "missing field",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a}]}\n",
        &["spec.containers[0]", "image"],
    ),
    ("unknown kind", "apiVersion: v1\nkind: Pood\nmetadata: {name: x}\n", &["Pood", "Pod"]),
    (
        "bad quantity",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - {name: a, image: busybox, resources: {limits: {memory: 10XB}}}\n",
        &["manifest.yaml:6:", "memory", "10XB"],
    ),
    ("not YAML", "kind: [Pod\n", &["manifest.yaml:"]),
];

#[test]
fn wrong_manifests_name_line_field_and_a_way_out() {
    let Some(scope) = scope::enter("bad_input::wrong_manifests_name_line_field_and_a_way_out")
    else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    host.serve();
    for (name, manifest, words) in MANIFESTS {
        let file = host.file("manifest.yaml", manifest);
        let error = host.podvisor(&["apply", "-f", &file]).fails(1, words);
        assert!(host.pods().is_empty(), "{name}: something was made\n{error}");
    }
    host.podvisor(&["apply", "-f", "/no/such/file.yaml"]).fails(1, &["/no/such/file.yaml"]);
    host.down();
}

#[test]
fn a_missing_image_waits_with_words() {
    let Some(scope) = scope::enter("bad_input::a_missing_image_waits_with_words") else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    host.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: lost}\nspec: {containers: [{name: main, image: busibox, imagePullPolicy: Never}]}\n",
    );
    let status = host.until("it waits for its image", || {
        host.container("lost", "main").filter(|c| c["state"]["waiting"]["message"].is_string())
    });
    let message = status["state"]["waiting"]["message"].as_str().expect("message");
    assert!(message.contains("busibox") && message.contains("podvisor load"), "{message}");
    host.podvisor(&["delete", "pod", "lost"]).ok();
    host.until("it is gone", || host.pod("lost").is_none().then_some(()));
    host.down();
}

#[test]
fn a_second_supervisor_is_told_who_holds_the_lock() {
    let Some(scope) = scope::enter("bad_input::a_second_supervisor_is_told_who_holds_the_lock")
    else {
        return;
    };
    let mut host = Host::new(scope);
    let pid = host.serve().to_string();
    host.podvisor(&["serve"]).fails(100, &[&pid]);
    host.down();
}

#[test]
fn a_read_only_store_says_so() {
    let Some(scope) = scope::enter("bad_input::a_read_only_store_says_so") else { return };
    let host = Host::with_busybox(scope);
    let (root, tar) = (host.path("root"), host.path("more.tar"));
    assert!(Command::new(crate::host::recipe("busybox")).arg(&tar).status().expect("sh").success());
    let mount = |line: &str| {
        let line = format!("mount {line} {}", root.display());
        assert!(Command::new("sh").args(["-c", &line]).status().expect("mount").success());
    };
    mount(&format!("--bind {}", root.display()));
    mount("-o remount,ro,bind");
    let tar = tar.display().to_string();
    host.podvisor(&["import", &tar, "more:latest"]).fails(1, &["EROFS", "read-only"]);
    let listed = host.podvisor(&["images"]).ok();
    assert!(listed.contains("busybox"), "reading goes on: {listed}");
    assert!(Command::new("umount").arg(&root).status().expect("umount").success());
}

#[test]
fn no_space_left_leaves_the_store_as_it_was() {
    let Some(scope) = scope::enter("bad_input::no_space_left_leaves_the_store_as_it_was") else {
        return;
    };
    let host = Host::new(scope);
    let root = host.path("root");
    fs::create_dir(&root).expect("mkdir");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "small"])
        .arg(&root)
        .status()
        .expect("mount");
    assert!(mounted.success());
    host.podvisor(&["images"]).ok();
    let before = Command::new("find").arg(&root).output().expect("find").stdout;
    let big = host.path("big");
    fs::create_dir(&big).expect("mkdir");
    fs::write(big.join("blob"), vec![7u8; 8 << 20]).expect("write");
    let tar = host.path("big.tar").display().to_string();
    let packed = Command::new("tar").arg("-C").arg(&big).args(["-cf", &tar, "."]).status();
    assert!(packed.expect("tar").success());
    host.podvisor(&["import", &tar, "big:latest"]).fails(1, &["ENOSPC", "hint:"]);
    let after = Command::new("find").arg(&root).output().expect("find").stdout;
    assert_eq!(String::from_utf8_lossy(&before), String::from_utf8_lossy(&after));
    assert!(Command::new("umount").arg(&root).status().expect("umount").success());
}

#[test]
fn a_host_without_the_controller_is_named() {
    let Some(scope) = scope::enter("bad_input::a_host_without_the_controller_is_named") else {
        return;
    };
    let mut host = Host::with_busybox(scope);
    let unmounted = Command::new("umount").arg("/sys/fs/cgroup/memory").status().expect("umount");
    assert!(unmounted.success());
    host.serve();
    host.apply(
        "
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: busybox, command: [sleep, '9'], resources: {limits: {memory: 64Mi}}}
",
    );
    let pod = host.until("the error is in the status or the events", || {
        let words = host.podvisor(&["describe", "pod", "limited"]).out;
        words.contains("memory").then_some(words).filter(|w| w.contains("controller"))
    });
    assert!(pod.contains("limited"));
    host.podvisor(&["delete", "pod", "limited"]).ok();
    host.until("it is gone", || host.pod("limited").is_none().then_some(()));
    host.down();
    // The scope's own view is put back for the census.
    let back = Command::new("mount")
        .args(["-t", "cgroup", "-o", "memory", "cgroup", "/sys/fs/cgroup/memory"])
        .status();
    assert!(back.expect("mount").success());
}

#[test]
fn near_names_are_offered() {
    let Some(scope) = scope::enter("bad_input::near_names_are_offered") else { return };
    let mut host = Host::with_busybox(scope);
    host.podvisor(&["imagse"]).fails(2, &["images"]);
    host.podvisor(&["inspect", "busybx"]).fails(1, &["busybx", "busybox"]);
    host.serve();
    host.podvisor(&["describe", "pod", "nobody"]).fails(1, &["nobody"]);
    host.podvisor(&["logs", "nobody"]).fails(1, &["nobody"]);
    host.down();
    host.podvisor(&["get", "pods"]).fails(1, &["podvisor.sock", "podvisor serve"]);
}

#[test]
fn a_run_that_fails_names_its_flag_and_a_way_out() {
    let name = "bad_input::a_run_that_fails_names_its_flag_and_a_way_out";
    let Some(scope) = scope::enter(name) else { return };
    let mut host = Host::with_busybox(scope);
    host.serve();
    let taken = std::net::TcpListener::bind("0.0.0.0:9001").expect("bind");
    let run = |words: &str| host.podvisor(&words.split_whitespace().collect::<Vec<_>>());
    let told = run("run -p 9001:80 busybox true").fails(125, &["9001/tcp", "(EADDRINUSE)\nhint: "]);
    assert!(!told.contains("os error"), "{told}");
    drop(taken);
    run("run --name A_B busybox true").fails(125, &["run busybox: --name: \"A_B\"", "\nhint: "]);
    // Missing on the way to the command, not the command itself.
    run("run -w /proc/nope busybox true").fails(125, &["/proc/nope"]);
    run("run -d --name web -p 9001:80 busybox sleep 100").ok();
    run("run -p 9001:80 busybox true").fails(125, &["pod web already\nhint: "]);
    run("exec web -- nope").fails(127, &["executable file not found", "\nhint: "]);
    run("up -f /no/such.yaml").fails(1, &["/no/such.yaml", "ENOENT", "\nhint: "]);
    run("up -f -").fails(1, &["-:1:1: no object in it", "hint: "]);
    assert!(run("help").ok().contains("Usage: podvisor"));
    assert!(run("help run").ok().contains("podvisor run"));
    host.down();
}
