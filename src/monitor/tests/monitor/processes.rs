//! Exec and probes.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use monitor::protocol::{ErrorKind, Request, Response};
use oci::runtime::Process;
use serde_json::json;

use crate::pod::{Pod, wait_for};

fn process(script: &str, terminal: bool) -> Process {
    serde_json::from_value(json!({
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/sh", "-c", script],
        "env": ["PATH=/bin"],
        "cwd": "/",
    }))
    .unwrap()
}

fn exec(id: &str, process: Process) -> Request {
    Request::Exec { id: id.into(), process, timeout_ms: None }
}

fn probe(id: &str, script: &str, timeout_ms: u64) -> Request {
    let argv = vec!["/bin/sh".into(), "-c".into(), script.into()];
    Request::Probe { id: id.into(), argv, timeout_ms, max_output: 10 * 1024 }
}

#[test]
fn exec_uses_the_callers_descriptors() {
    let Some(scope) = scope::enter("processes::exec_uses_the_callers_descriptors") else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    let (stdin, mut input) = std::io::pipe().unwrap();
    let (mut output, stdout) = std::io::pipe().unwrap();
    let request = exec(&id, process("cat; echo err >&2; exit 9", false));
    let fds = [stdin.as_fd(), stdout.as_fd(), stdout.as_fd()];
    let (answer, _) = pod.client.call(&request, &fds).unwrap();
    assert!(matches!(answer, Response::Started { .. }), "{answer:?}");
    drop((stdin, stdout));
    input.write_all(b"hello\n").unwrap();
    drop(input);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\nerr\n");
    match pod.client.next_answer().unwrap().0 {
        Response::Exited(exit) => assert_eq!((exit.code, exit.signal), (9, None)),
        other => panic!("{other:?}"),
    }
    let missing = serde_json::from_value(json!({"user": {"uid": 0, "gid": 0}, "cwd": "/",
        "args": ["/bin/nothing"]}));
    let null = std::fs::File::open("/dev/null").unwrap();
    let fds = [null.as_fd(); 3];
    match pod.client.call(&exec(&id, missing.unwrap()), &fds).unwrap().0 {
        Response::Error { kind: ErrorKind::NotFound, .. } => {}
        other => panic!("{other:?}"),
    }
    pod.end();
}

#[test]
fn exec_with_a_terminal_hands_the_master_over() {
    let name = "processes::exec_with_a_terminal_hands_the_master_over";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    let request = exec(&id, process("tty; read line; echo got $line; exit 6", true));
    let (answer, fds) = pod.client.call(&request, &[]).unwrap();
    assert!(matches!(answer, Response::Started { .. }), "{answer:?}");
    let mut master = std::fs::File::from(fds.into_iter().next().unwrap());
    master.write_all(b"hi\n").unwrap();
    let mut text = Vec::new();
    let mut block = [0u8; 256];
    // The end of a terminal is EIO.
    while let Ok(len @ 1..) = master.read(&mut block) {
        text.extend_from_slice(&block[..len]);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("/dev/pts/") && text.contains("got hi"), "{text}");
    match pod.client.next_answer().unwrap().0 {
        Response::Exited(exit) => assert_eq!(exit.code, 6),
        other => panic!("{other:?}"),
    }
    pod.end();
}

#[test]
fn an_exec_ends_with_its_client_its_timeout_or_a_signal() {
    let name = "processes::an_exec_ends_with_its_client_its_timeout_or_a_signal";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    let null = std::fs::File::open("/dev/null").unwrap();
    let fds = [null.as_fd(); 3];
    let sleepers = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|e| std::fs::read_to_string(e.path().join("cmdline")).ok());
        lines.filter(|line| line.starts_with("sleep\x00777")).count()
    };
    let mut other = pod.connect();
    let start = |client: &mut monitor::Client, timeout_ms| {
        let process = process("sleep 777; exit 1", false);
        let request = Request::Exec { id: id.clone(), process, timeout_ms };
        assert!(matches!(client.call(&request, &fds).unwrap().0, Response::Started { .. }));
    };
    start(&mut other, None);
    wait_for("the sleeper", || sleepers() == 1);
    drop(other);
    wait_for("the end of the sleeper", || sleepers() == 0);

    start(&mut pod.client, Some(200));
    match pod.client.next_answer().unwrap().0 {
        Response::Exited(exit) => assert!(exit.code == 137 && exit.message.is_some()),
        other => panic!("{other:?}"),
    }
    start(&mut pod.client, None);
    assert_eq!(pod.ask(&Request::ExecSignal { signal: 15 }), Response::Ok);
    match pod.client.next_answer().unwrap().0 {
        Response::Exited(exit) => assert_eq!(exit.code, 143),
        other => panic!("{other:?}"),
    }
    // The shell may be gone a moment before what it had started.
    wait_for("the end of the last sleeper", || sleepers() == 0);
    pod.end();
}

#[test]
fn probes_answer_with_output_code_and_timeout() {
    let name = "processes::probes_answer_with_output_code_and_timeout";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    match pod.ask(&probe(&id, "echo $WHO; echo bad >&2; exit 2", 5000)) {
        Response::ProbeResult { code: 2, output, timed_out: false } => {
            assert_eq!(output, "container\nbad\n");
        }
        other => panic!("{other:?}"),
    }
    match pod.ask(&probe(&id, "yes | head -c 300000; exit 0", 10_000)) {
        Response::ProbeResult { code: 0, output, timed_out: false } => {
            assert_eq!(output.len(), 10 * 1024);
        }
        other => panic!("{other:?}"),
    }
    let begin = Instant::now();
    match pod.ask(&probe(&id, "echo begun; sleep 100 & sleep 100", 2000)) {
        Response::ProbeResult { code: 137, output, timed_out: true } => {
            assert_eq!(output, "begun\n");
        }
        other => panic!("{other:?}"),
    }
    assert!(begin.elapsed().as_millis() < 15_000);
    // Several at a time do not wait for each other: each ends when all have begun.
    let mut clients: Vec<_> = (0..5).map(|_| pod.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let script =
            format!("touch /tmp/p{number}; until [ $(ls /tmp | wc -l) = 5 ]; do sleep 0.05; done");
        client.send(&probe(&id, &script, 15_000), &[]).unwrap();
    }
    for client in &mut clients {
        let (answer, _) = client.next_answer().unwrap();
        assert!(matches!(answer, Response::ProbeResult { code: 0, .. }), "{answer:?}");
    }
    pod.kill(&id, 9);
    pod.wait_exit(&id);
    match pod.ask(&probe(&id, "true", 1000)) {
        Response::Error { kind: ErrorKind::NoSuchContainer, .. } => {}
        other => panic!("{other:?}"),
    }

    pod.end();
}
