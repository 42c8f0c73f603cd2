//! Start, end, exit codes on disk, OOM, events.

use std::os::fd::AsFd;

use monitor::protocol::{ErrorKind, ExitRecord, RecordState, Request, Response};
use serde_json::json;

use crate::pod::{Pod, wait_for};

fn exit_file(pod: &Pod, id: &str) -> Option<ExitRecord> {
    monitor::record::read(&monitor::record::exit_path(&pod.dir, id)).unwrap()
}

#[test]
fn exit_codes_and_output_are_kept() {
    let Some(scope) = scope::enter("lifecycle::exit_codes_and_output_are_kept") else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "echo out; echo err >&2; printf partial; exit 3");
    let exit = pod.wait_exit(&id);
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (3, None, false));
    assert!(exit.finished_at_ns >= exit.started_at_ns);
    assert_eq!(exit_file(&pod, &id), Some(exit));
    let log = pod.log("web");
    for line in ["stdout out", "stderr err", "stdout partial~", "stdout "] {
        assert!(log.iter().any(|found| found == line), "{line}: {log:?}");
    }
    assert_eq!(pod.ask(&Request::Remove { id: id.clone() }), Response::Ok);
    assert_eq!(exit_file(&pod, &id), None);
    assert_eq!(pod.ask(&Request::Remove { id }), Response::Ok, "removal is idempotent");
    assert!(pod.list().is_empty());
    pod.end();
}

#[test]
fn a_signal_is_an_exit_code_over_128() {
    let Some(scope) = scope::enter("lifecycle::a_signal_is_an_exit_code_over_128") else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done");
    pod.wait_log("web", "stdout up");
    let refused = pod.ask(&Request::Remove { id: id.clone() });
    assert!(matches!(refused, Response::Error { kind: ErrorKind::Busy, .. }), "{refused:?}");
    let refused = pod.ask(&Request::Shutdown);
    assert!(matches!(refused, Response::Error { kind: ErrorKind::Busy, .. }), "{refused:?}");
    pod.kill(&id, 15);
    assert_eq!(pod.wait_exit(&id).code, 5);
    let id = pod.run("other", "echo up; sleep 100");
    pod.wait_log("other", "stdout up");
    pod.kill(&id, 9);
    let exit = pod.wait_exit(&id);
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    pod.kill(&id, 9);
    pod.end();
}

#[test]
fn an_exit_is_on_disk_before_it_is_announced() {
    let Some(scope) = scope::enter("lifecycle::an_exit_is_on_disk_before_it_is_announced") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let mut watcher = pod.connect();
    let (first, _) = watcher.call(&Request::Subscribe, &[]).unwrap();
    assert_eq!(first, Response::Containers(vec![]));
    for number in 0..10 {
        let id = pod.run(&format!("c{number}"), &format!("exit {number}"));
        let mut seen = Vec::new();
        wait_for("the event of the end", || {
            while let Some(event) = watcher.try_next_event().unwrap() {
                if let RecordState::Exited(exit) = &event.state {
                    assert_eq!(exit_file(&pod, &event.id).as_ref(), Some(exit));
                }
                seen.push(event);
            }
            seen.iter().any(|e| e.id == id && e.state != RecordState::Running)
        });
        assert_eq!(seen[0].state, RecordState::Running);
    }
    pod.end();
}

#[test]
fn running_out_of_memory_is_told_from_a_kill() {
    let Some(scope) = scope::enter("lifecycle::running_out_of_memory_is_told_from_a_kill") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let request = pod.request_with("greedy", "head -c 200m /dev/zero | tail -c 150m", |spec| {
        spec["linux"]["resources"]["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    });
    let id = pod.run_request(request);
    let exit = pod.wait_exit(&id);
    assert!(exit.oom_killed, "{exit:?}");
    let id = pod.run("killed", "sleep 100");
    pod.kill(&id, 9);
    assert!(!pod.wait_exit(&id).oom_killed);
    pod.end();
}

#[test]
fn a_failed_start_leaves_nothing() {
    let Some(scope) = scope::enter("lifecycle::a_failed_start_leaves_nothing") else { return };
    let mut pod = Pod::start(scope.folder());
    for (args, kind) in [
        (json!(["/bin/nothing"]), ErrorKind::NotFound),
        (json!(["nothing"]), ErrorKind::NotFound),
        (json!(["/tmp"]), ErrorKind::NotExecutable),
    ] {
        let request = pod.request_with("bad", "", |spec| spec["process"]["args"] = args.clone());
        match pod.ask(&Request::Run(request)) {
            Response::Error { kind: found, .. } if found == kind => {}
            other => panic!("{args}: {other:?}"),
        }
        assert!(pod.list().is_empty());
    }
    let id = pod.run("bad", "exit 0");
    assert_eq!(pod.wait_exit(&id).code, 0);
    pod.end();
}

#[test]
fn the_death_of_a_client_changes_nothing() {
    let Some(scope) = scope::enter("lifecycle::the_death_of_a_client_changes_nothing") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let request = pod.request("web", "echo up; sleep 1; echo later; exit 4");
    let mut other = pod.connect();
    other.send(&Request::Run(request), &[]).unwrap();
    drop(other);
    wait_for("the container", || !pod.list().is_empty());
    assert_eq!(pod.wait_exit("u1.web.0").code, 4);
    assert_eq!(pod.log("web"), ["stdout up", "stdout later"]);
    assert!(pod.client.as_fd().try_clone_to_owned().is_ok());
    pod.end();
}
