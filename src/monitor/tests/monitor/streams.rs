//! Attach, terminals, floods.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use monitor::Client;
use monitor::protocol::{Request, Response};

use crate::pod::{Pod, wait_for};

/// A client's side of an attachment.
pub(crate) struct Attached {
    client: Client,
    input: Option<PipeWriter>,
    output: PipeReader,
    _error: PipeReader,
}

pub(crate) fn attach(pod: &Pod, id: &str) -> Attached {
    let mut client = pod.connect();
    let (stdin, input) = std::io::pipe().unwrap();
    let (output, stdout) = std::io::pipe().unwrap();
    let (error, stderr) = std::io::pipe().unwrap();
    let fds: [BorrowedFd<'_>; 3] = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let (answer, _) = client.call(&Request::Attach { id: id.into() }, &fds).unwrap();
    assert_eq!(answer, Response::Ok);
    Attached { client, input: Some(input), output, _error: error }
}

/// Lines of one stream in the log, whatever the pieces they are in.
fn full_lines(pod: &Pod, name: &str, stream: &str) -> usize {
    let log = pod.log(name);
    log.iter().filter(|line| line.starts_with(stream) && !line.ends_with('~')).count()
}

fn exit_code(client: &mut Client) -> i32 {
    match client.next_answer().unwrap().0 {
        Response::Exited(exit) => exit.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attached_client_feeds_stdin_and_reads_output() {
    let Some(scope) = scope::enter("streams::an_attached_client_feeds_stdin_and_reads_output")
    else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let mut request = pod.request("cat", "echo early; cat; exit 7");
    (request.stdin, request.stdin_once) = (true, true);
    let id = pod.run_request(request);
    pod.wait_log("cat", "stdout early");
    let mut attached = attach(&pod, &id);
    // More than any pipe on the way holds.
    let lines: String = (0..40_000).map(|number| format!("line {number}\n")).collect();
    let mut input = attached.input.take().unwrap();
    let sent = lines.clone();
    let writer = std::thread::spawn(move || input.write_all(sent.as_bytes()).unwrap());
    let mut got = String::new();
    attached.output.read_to_string(&mut got).unwrap();
    writer.join().unwrap();
    assert_eq!(got, format!("early\n{lines}"));
    assert_eq!(exit_code(&mut attached.client), 7);
    assert_eq!(full_lines(&pod, "cat", "stdout"), 40_001);
    // Attaching to what has ended tells its end.
    let mut late = attach(&pod, &id);
    assert_eq!(exit_code(&mut late.client), 7);
    pod.end();
}

#[test]
fn a_regular_file_and_a_shared_terminal_description_are_left_as_they_were() {
    let name = "streams::a_regular_file_and_a_shared_terminal_description_are_left_as_they_were";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    let mut request = pod.request("cat", "cat");
    (request.stdin, request.stdin_once) = (true, true);
    let id = pod.run_request(request);
    let text = "x".repeat(300_000) + "\n";
    let source = scope.folder().join("source");
    std::fs::write(&source, &text).unwrap();
    let target = scope.folder().join("target");
    let (stdin, stdout) = (File::open(&source).unwrap(), File::create(&target).unwrap());
    let fds = [stdin.as_fd(), stdout.as_fd(), stdout.as_fd()];
    let mut client = pod.connect();
    assert_eq!(client.call(&Request::Attach { id }, &fds).unwrap().0, Response::Ok);
    assert_eq!(exit_code(&mut client), 0);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), text);
    pod.end();
}

#[test]
fn a_slow_client_holds_up_its_stream_only_and_a_dead_one_nothing() {
    let name = "streams::a_slow_client_holds_up_its_stream_only_and_a_dead_one_nothing";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    // Not before there is somebody to wait for.
    let wait = "until [ -e /go ]; do sleep 0.05; done";
    let id = pod.run("web", &format!("{wait}; seq 100000; echo flooded >&2; sleep 100"));
    let slow = attach(&pod, &id);
    std::fs::write(scope.folder().join("rootfs/go"), "").unwrap();
    pod.wait_log("web", "stdout 1");
    let other = pod.run("other", "seq 20000; echo fine; sleep 100");
    pod.wait_log("other", "stdout fine");
    assert!(pod.log("web").len() < 100_000, "the slow client was not waited for");
    let third = pod.run("third", "exit 0");
    assert_eq!(pod.wait_exit(&third).code, 0);
    drop(slow);
    pod.wait_log("web", "stderr flooded");
    assert_eq!(full_lines(&pod, "web", "stdout"), 100_000);
    drop(other);
    pod.end();
}

#[test]
fn a_client_that_reads_late_gets_everything_before_the_exit() {
    let name = "streams::a_client_that_reads_late_gets_everything_before_the_exit";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    let mut request = pod.request("web", "read line; seq 20000; exit 3");
    request.stdin = true;
    let id = pod.run_request(request);
    let mut late = attach(&pod, &id);
    late.input.as_mut().unwrap().write_all(b"go\n").unwrap();
    // More than the pipes hold: its end is told before its output has been taken.
    assert_eq!(pod.wait_exit(&id).code, 3);
    let mut text = String::new();
    late.output.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 20_000);
    assert_eq!(exit_code(&mut late.client), 3);
    pod.end();
}

#[test]
fn a_terminal_is_logged_attached_and_resized() {
    let Some(scope) = scope::enter("streams::a_terminal_is_logged_attached_and_resized") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let script = "tty; read line; stty size; echo got $line; exit 8";
    let request = pod.request_with("tty", script, |spec| spec["process"]["terminal"] = true.into());
    let id = pod.run_request(request);
    let resize = Request::Resize { id: id.clone(), rows: 33, cols: 99 };
    assert_eq!(pod.ask(&resize), Response::Ok);
    let mut attached = attach(&pod, &id);
    attached.input.as_mut().unwrap().write_all(b"hi\n").unwrap();
    let mut text = String::new();
    attached.output.read_to_string(&mut text).unwrap();
    for expected in ["/dev/pts/", "33 99", "got hi"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(exit_code(&mut attached.client), 8);
    assert!(pod.log("tty").iter().any(|line| line.contains("got hi")));
    pod.end();
}

#[test]
fn a_flood_is_logged_without_a_gap_in_little_memory() {
    let Some(scope) = scope::enter("streams::a_flood_is_logged_without_a_gap_in_little_memory")
    else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let mut request = pod.request("web", "seq 400000; exit 0");
    (request.log_max_bytes, request.log_max_files) = (4 << 20, 20);
    let log_path = request.log_path.clone();
    let id = pod.run_request(request);
    assert_eq!(pod.wait_exit(&id).code, 0);
    let mut next = 1u32;
    let mut rest = String::new();
    for number in (0..20).rev() {
        let path = match number {
            0 => log_path.clone(),
            _ => log_path.with_extension(format!("log.{number}")),
        };
        let Ok(text) = std::fs::read(&path) else { continue };
        assert!(text.len() <= 4 << 20);
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let line = monitor::log::parse(line).unwrap();
            rest.push_str(std::str::from_utf8(line.piece.bytes).unwrap());
            if line.piece.full {
                assert_eq!(rest, next.to_string());
                next += 1;
                rest.clear();
            }
        }
    }
    assert_eq!(next, 400_001);
    let private = pod.private_kib();
    assert!(private < 20_000, "{private} KiB");
    pod.end();
}

#[test]
fn output_held_open_by_a_descendant_does_not_hide_the_end() {
    let name = "streams::output_held_open_by_a_descendant_does_not_hide_the_end";
    let Some(scope) = scope::enter(name) else { return };
    let mut pod = Pod::start(scope.folder());
    // In the host's PID namespace a descendant outlives the first process.
    let request = pod.request_with("web", "sleep 100 & echo up; exit 1", |spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    let id = pod.run_request(request);
    assert_eq!(pod.wait_exit(&id).code, 1);
    assert_eq!(pod.log("web"), ["stdout up"]);
    assert_eq!(pod.ask(&Request::Remove { id }), Response::Ok);
    wait_for("the descendant's end", || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut lines = all.filter_map(|e| std::fs::read_to_string(e.path().join("cmdline")).ok());
        !lines.any(|line| line.starts_with("sleep\x00100"))
    });

    pod.end();
}
