//! Namespaces, cgroup, sysctls, the shared PID 1, orphans.

use std::fs;
use std::process::Command;

use monitor::protocol::{RecordState, Request, Response};
use serde_json::json;

use crate::pod::{Pod, monitor_command, wait_for};

#[test]
fn members_share_network_ipc_and_host_name_and_nothing_else() {
    let name = "sandbox::members_share_network_ipc_and_host_name_and_nothing_else";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start_with(scope.folder(), |config| {
        config.sysctl.insert("net.core.somaxconn".into(), "77".into());
        config.sysctl.insert("kernel.shmmni".into(), "99".into());
    });
    let script = "hostname; for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; \
                  cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmni; ip -o link show lo; \
                  echo done; sleep 100";
    for member in ["a", "b"] {
        pod.run(member, script);
        pod.wait_log(member, "stdout done");
    }
    let (a, b) = (pod.log("a"), pod.log("b"));
    assert_eq!(a[0], "stdout testpod");
    assert_eq!(a[..4], b[..4]);
    assert_ne!(a[4], b[4], "PID namespaces are separate");
    assert_eq!(a[5..7], ["stdout 77", "stdout 99"]);
    assert!(a[7].contains("LOOPBACK,UP"), "{}", a[7]);
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert!(!a[1].contains(own.to_str().unwrap()));
    pod.end();
}

#[test]
fn a_shared_pid_namespace_has_a_tiny_init_that_reaps() {
    let name = "sandbox::a_shared_pid_namespace_has_a_tiny_init_that_reaps";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start_with(scope.folder(), |config| config.share_process_namespace = true);
    // Orphans whose parent has gone fall to PID 1; it also takes no signal from inside.
    let script = "{ kill -9 1; kill -15 1; } 2>/dev/null; \
                  for i in $(seq 50); do (sleep 0.1 &) ; done; sleep 0.5; \
                  i=0; while z=$(grep -sl 'State:.Z' /proc/[0-9]*/status | wc -l); \
                  [ $z != 0 ] && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.1; done; echo $z; \
                  cat /proc/1/comm; ls /proc/1/root/ 2>&1 | wc -l; echo done; sleep 100";
    let id = pod.run("web", script);
    pod.wait_log("web", "stdout done");
    let log = pod.log("web");
    assert_eq!(log[0], "stdout 0", "no zombie: {log:?}");
    assert_eq!(log[1], "stdout pod-init");
    let other = pod.run("side", "ps | grep -c 'sleep 100'; sleep 100 & echo started");
    pod.wait_exit(&other);
    assert_ne!(pod.log("side")[0], "stdout 1", "it sees its neighbour: {:?}", pod.log("side"));
    pod.kill(&id, 9);
    assert_eq!(pod.wait_exit(&id).code, 137);
    pod.end();
}

/// A member says of its signal that it comes from nobody, as one from outside would.
/// Red when `wait_for_ever` of `src/child/src/pid1.rs` asks for the sender alone.
#[test]
fn a_member_cannot_end_the_shared_init_by_a_signal_of_nobodys() {
    let name = "sandbox::a_member_cannot_end_the_shared_init_by_a_signal_of_nobodys";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start_with(scope.folder(), |config| config.share_process_namespace = true);
    let id = pod.run("web", "echo done; sleep 100");
    pod.wait_log("web", "stdout done");
    let file = |pid: &str, name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let init = pids
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|pid| file(pid, "comm").is_ok_and(|name| name == "pod-init\n"))
        .unwrap();
    // SIGTERM, no errno, SI_QUEUE, sender 0; the call's number is the same for no two machines.
    let number = if cfg!(target_arch = "x86_64") { 129 } else { 138 };
    let script = format!(
        "import ctypes; info = (ctypes.c_int * 32)(15, 0, -1); \
         print(ctypes.CDLL(None).syscall({number}, 1, 15, info))"
    );
    let mut member = Command::new("nsenter");
    let sent = member.args(["--target", &init, "--pid", "python3", "-c", &script]).output();
    assert_eq!(String::from_utf8_lossy(&sent.unwrap().stdout), "0\n");
    let none = "ShdPnd:\t0000000000000000";
    wait_for("it to take the signal", || {
        file(&init, "status").is_ok_and(|text| text.contains(none) && text.contains("S (sleeping)"))
    });
    assert!(matches!(pod.record(&id).state, RecordState::Running));
    pod.kill(&id, 9);
    pod.end();
}

#[test]
fn orphans_of_a_member_are_reaped() {
    let Some(scope) = scope::enter("sandbox::orphans_of_a_member_are_reaped") else { return };
    // Members in the host's PID namespace: their orphans fall to the monitor.
    let mut pod = Pod::start(scope.folder());
    let script = "for i in $(seq 200); do (sleep 0.2 &) ; done; echo made; sleep 100";
    let request = pod.request_with("web", script, |spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    let id = pod.run_request(request);
    pod.wait_log("web", "stdout made");
    let monitor = pod.monitor.id();
    wait_for("the monitor's children to be reaped", || {
        let path = format!("/proc/{monitor}/task/{monitor}/children");
        fs::read_to_string(path).unwrap().split_whitespace().count() == 1
    });
    let kill = Request::Kill { id: id.clone(), signal: 9, all: true };
    assert_eq!(pod.ask(&kill), Response::Ok);
    pod.wait_exit(&id);
    pod.end();
}

#[test]
fn the_pod_has_limits_of_its_own_and_the_monitor_is_outside() {
    let name = "sandbox::the_pod_has_limits_of_its_own_and_the_monitor_is_outside";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start_with(scope.folder(), |config| {
        config.resources = serde_json::from_value(json!({"pids": {"limit": 64}})).unwrap();
    });
    let limit = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .iter()
        .find_map(|root| fs::read_to_string(format!("{root}/podvisor/podu1/pids.max")).ok());
    assert_eq!(limit.unwrap().trim(), "64");
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", pod.monitor.id())).unwrap();
    assert!(cgroups.contains("/podvisor/monitors") && !cgroups.contains("podu1"), "{cgroups}");
    let id = pod.run("web", "cat /proc/self/cgroup; exit 0");
    pod.wait_exit(&id);
    let log = pod.log("web").join("\n");
    assert!(log.contains("/podvisor/podu1/web.0"), "{log}");
    pod.end();
}

#[test]
fn a_member_inherits_nothing_of_the_monitor() {
    let Some(scope) = scope::enter("sandbox::a_member_inherits_nothing_of_the_monitor") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let script = "grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd; \
                  cat /proc/self/oom_score_adj";
    let id = pod.run("web", script);
    pod.wait_exit(&id);
    let log = pod.log("web");
    assert_eq!(log[0], "stdout SigBlk:\t0000000000000000");
    assert_eq!(log[1], "stdout SigIgn:\t0000000000000000");
    // 0, 1, 2, the shell's and ls' own.
    assert!(log.len() <= 3 + 4, "{log:?}");
    assert_eq!(log.last().unwrap(), "stdout 0");
    pod.end();
}

#[test]
fn a_second_monitor_and_a_bad_sandbox_are_refused_with_words() {
    let name = "sandbox::a_second_monitor_and_a_bad_sandbox_are_refused_with_words";
    let Some(scope) = scope::enter(name) else { return };
    let pod = Pod::start(scope.folder());
    let second = monitor_command(&pod.dir).output().unwrap();
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && second.stdout.is_empty());
    assert!(words.contains("already has a living monitor"), "{words}");
    let bad = scope.folder().join("bad");
    fs::create_dir(&bad).unwrap();
    for (text, expected) in [
        ("{", "EOF"),
        (r#"{"uid":"u","hostname":"h","cgroup_parent":"x","oci_root":"/o"}"#, "cgroup_parent"),
    ] {
        fs::write(bad.join("sandbox.json"), text).unwrap();
        let output = monitor_command(&bad).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains(expected), "{words}");
    }
    pod.end();
}
