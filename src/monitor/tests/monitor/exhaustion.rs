//! Processes of a container that would take the monitor's memory, descriptors or time.

use std::fs;
use std::time::{Duration, Instant};

use monitor::protocol::{ErrorKind, MAX_PROBE_OUTPUT_BYTES, Request, Response};
use serde_json::json;

use crate::pod::{Pod, wait_for};
use crate::streams::attach;

/// Longest wait of others for their answers, on a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// How many descriptors, threads and children the monitor has.
fn held(pod: &Pod) -> [usize; 3] {
    let of = |what: &str| fs::read_dir(format!("/proc/{}/{what}", pod.monitor.id()));
    let children = format!("/proc/{0}/task/{0}/children", pod.monitor.id());
    let children = fs::read_to_string(children).unwrap();
    [of("fd").unwrap().count(), of("task").unwrap().count(), children.split_whitespace().count()]
}

/// Of a probe that writes without end a little is kept, and others are answered meanwhile.
/// Red without `room` in `read_probe` (the answer is too long to be sent), or with a loop there
/// that ends with the output.
#[test]
fn cve_2022_1708_a_probe_without_end_costs_neither_memory_nor_time() {
    let name = "exhaustion::cve_2022_1708_a_probe_without_end_costs_neither_memory_nor_time";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    let mut probing = pod.connect();
    let argv = ["/bin/cat", "/dev/zero"].map(String::from).to_vec();
    let probe = Request::Probe { id, argv, timeout_ms: 2000, max_output: usize::MAX };
    let begun = Instant::now();
    probing.send(&probe, &[]).unwrap();
    while begun.elapsed() < Duration::from_millis(1500) {
        let asked = Instant::now();
        assert_eq!(pod.list().len(), 1);
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }
    match probing.next_answer().unwrap().0 {
        Response::ProbeResult { code: 137, output, timed_out: true } => {
            assert_eq!(output.len(), MAX_PROBE_OUTPUT_BYTES);
        }
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
    let private = pod.private_kib();
    assert!(private < 20_000, "{private} KiB");
    pod.end();
}

/// What a command with a terminal needs is gone with it, when it could not be started, too.
/// Red with a `std::mem::forget` of what `Monitor::exec` has of the terminal.
#[test]
fn cve_2022_23471_execs_that_fail_leave_nothing() {
    let name = "exhaustion::cve_2022_23471_execs_that_fail_leave_nothing";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    let exec = |args: &[&str]| Request::Exec {
        id: id.clone(),
        process: serde_json::from_value(json!({"terminal": true, "args": args, "cwd": "/",
            "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]}))
        .unwrap(),
        timeout_ms: None,
    };
    let mut before = None;
    for _ in 0..20 {
        match pod.client.call(&exec(&["/bin/nothing"]), &[]).unwrap().0 {
            Response::Error { kind: ErrorKind::NotFound, .. } => {}
            other => panic!("{other:?}"),
        }
        let (answer, fds) = pod.client.call(&exec(&["sh", "-c", "exit 7"]), &[]).unwrap();
        assert!(matches!(answer, Response::Started { .. }) && fds.len() == 1, "{answer:?}");
        match pod.client.next_answer().unwrap().0 {
            Response::Exited(exit) => assert_eq!(exit.code, 7),
            other => panic!("{other:?}"),
        }
        // The first may make what stays: its own connection's place.
        before.get_or_insert_with(|| held(&pod));
    }
    wait_for("the end of what the execs held", || Some(held(&pod)) == before);
    pod.end();
}

/// Clients that attach and go, without a word and in the middle of output, leave nothing.
/// Red where `detach` of `src/monitor/src/relay.rs` keeps the attachment.
#[test]
fn cve_2024_64329_attachments_that_end_leave_nothing() {
    let name = "exhaustion::cve_2024_64329_attachments_that_end_leave_nothing";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "while :; do echo line; sleep 0.01; done");
    let before = held(&pod);
    for _ in 0..20 {
        drop(attach(&pod, &id));
    }
    assert_eq!(pod.list().len(), 1);
    wait_for("the end of what the attachments held", || held(&pod) == before);
    let private = pod.private_kib();
    assert!(private < 20_000, "{private} KiB");
    pod.end();
}
