//! Full disks, no descriptors left, a dead PID 1: running members go on, and it recovers.

use std::fs;
use std::path::Path;
use std::process::Command;

use monitor::protocol::{ExitRecord, Request, Response};

use crate::pod::{Pod, wait_for};

/// A small file system for as long as it lives.
struct Small<'a> {
    target: &'a Path,
}

impl Small<'_> {
    fn mount<'a>(target: &'a Path, options: &str) -> Small<'a> {
        fs::create_dir_all(target).unwrap();
        run("mount", &["-t", "tmpfs", "-o", options, "small", target.to_str().unwrap()]);
        Small { target }
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        run("umount", &["-l", self.target.to_str().unwrap()]);
    }
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}

#[test]
fn a_full_log_disk_stops_no_container_and_is_told() {
    let Some(scope) = scope::enter("faults::a_full_log_disk_stops_no_container_and_is_told") else {
        return;
    };
    let logs = scope.folder().join("logs");
    let _small = Small::mount(&logs, "size=256k");
    let mut pod = Pod::start(scope.folder());
    let request = pod.request("web", "seq 100000; echo alive >/tmp/alive; sleep 100");
    let log_path = request.log_path.clone();
    let id = pod.run_request(request);
    let alive = scope.folder().join("rootfs/tmp/alive");
    wait_for("the container to go on", || alive.exists());
    let told = pod.record(&id).log_error.unwrap();
    assert!(told.contains("No space left"), "{told}");
    fs::write(&log_path, "").unwrap();
    let late = Request::Kill { id: id.clone(), signal: 9, all: false };
    assert_eq!(pod.ask(&late), Response::Ok);
    pod.wait_exit(&id);
    pod.end();
}

#[test]
fn an_exit_that_cannot_be_written_is_told_and_written_later() {
    let name = "faults::an_exit_that_cannot_be_written_is_told_and_written_later";
    let Some(scope) = scope::enter(name) else { return };
    let pods = scope.folder().join("pods");
    let _small = Small::mount(&pods, "size=2m,mode=700");
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "until [ -e /tmp/go ]; do sleep 0.05; done; exit 6");
    let filler = pods.join("filler");
    let full = fs::write(&filler, vec![0u8; 4 << 20]);
    assert!(full.is_err());
    fs::write(scope.folder().join("rootfs/tmp/go"), "").unwrap();
    assert_eq!(pod.wait_exit(&id).code, 6);
    fs::remove_file(&filler).unwrap();
    let path = monitor::record::exit_path(&pod.dir, &id);
    wait_for("the exit record", || {
        monitor::record::read::<ExitRecord>(&path)
            .is_ok_and(|exit| exit.is_some_and(|e| e.code == 6))
    });
    pod.end();
}

#[test]
fn without_descriptors_it_answers_and_recovers() {
    let Some(scope) = scope::enter("faults::without_descriptors_it_answers_and_recovers") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    let pid = pod.monitor.id().to_string();
    run("prlimit", &["--pid", &pid, "--nofile=20:4096"]);
    let path = pod.dir.join("monitor.sock");
    let clients: Vec<_> = (0..20).map(|_| monitor::Client::connect(&path)).collect();
    assert!(clients.iter().any(Result::is_err), "some were sent away");
    let refused = pod.request("more", "true");
    let answer = pod.ask(&Request::Run(refused.clone()));
    assert!(matches!(answer, Response::Error { .. }), "{answer:?}");
    assert_eq!(pod.list().len(), 1);
    drop(clients);
    run("prlimit", &["--pid", &pid, "--nofile=4096:4096"]);
    let more = pod.run_request(refused);
    assert_eq!(pod.wait_exit(&more).code, 0);
    pod.kill(&id, 9);
    pod.wait_exit(&id);
    pod.end();
}

#[test]
fn a_dead_pid_1_takes_its_members_and_is_replaced() {
    let Some(scope) = scope::enter("faults::a_dead_pid_1_takes_its_members_and_is_replaced") else {
        return;
    };
    let mut pod = Pod::start_with(scope.folder(), |config| config.share_process_namespace = true);
    let id = pod.run("web", "sleep 100");
    let identity = |pod: &Pod| -> monitor::Identity {
        monitor::record::read(&pod.dir.join("monitor.json")).unwrap().unwrap()
    };
    let (pid, _) = identity(&pod).pid1.unwrap();
    run("kill", &["-9", &pid.to_string()]);
    assert_eq!(pod.wait_exit(&id).code, 137);
    wait_for("a new PID 1", || identity(&pod).pid1.is_some_and(|(new, _)| new != pid));
    let next = pod.run("next", "cat /proc/1/comm");
    assert_eq!(pod.wait_exit(&next).code, 0);
    assert_eq!(pod.log("next"), ["stdout pod-init"]);
    pod.end();
}
