//! An exec against a monitor of the test: what is sent, and what each answer becomes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test like the test itself"
)]

use std::os::fd::AsFd;
use std::path::Path;

use cli::session::{Wishes, exec};
use monitor::frame;
use monitor::protocol::{ErrorKind, ExitRecord, Request, Response, VERSION};

/// Answers one connection: a greeting, then these to an Exec; how many descriptors came with it.
fn monitor(path: &Path, answers: Vec<Response>) -> std::thread::JoinHandle<usize> {
    let listener = sys::seqpacket::listen(path, 1).unwrap();
    std::thread::spawn(move || {
        let connection = loop {
            let wanted = sys::foreground::Wanted { fd: listener.as_fd(), write: false };
            sys::foreground::any_ready(&[wanted]).unwrap();
            if let Some(connection) = sys::seqpacket::accept(listener.as_fd()).unwrap() {
                break connection;
            }
        };
        let next = || {
            let wanted = sys::foreground::Wanted { fd: connection.as_fd(), write: false };
            sys::foreground::any_ready(&[wanted]).unwrap();
            frame::receive::<Request>(connection.as_fd()).unwrap()
        };
        assert_eq!(next().0, Some(Request::Hello { version: VERSION }));
        let hello = Response::Hello { version: VERSION, pid: 1 };
        frame::send(connection.as_fd(), &hello, &[]).unwrap();
        let (request, fds) = next();
        assert!(matches!(request, Some(Request::Exec { .. })), "{request:?}");
        for answer in &answers {
            frame::send(connection.as_fd(), answer, &[]).unwrap();
        }
        fds.len()
    })
}

async fn run(name: &str, answers: Vec<Response>) -> (Result<u8, (u8, String)>, usize) {
    let folder = scope::Folder::new(name);
    let path = folder.join("s.sock");
    let thread = monitor(&path, answers);
    let wishes = Wishes { interactive: false, terminal: false };
    let process = oci::runtime::Process::default();
    let result = exec(&path, "uid.main.0", process, wishes, "exec web").await;
    (result.map_err(|failure| (failure.code, failure.text())), thread.join().unwrap())
}

#[tokio::test]
async fn a_process_brings_its_exit_code_home() {
    let record = ExitRecord {
        code: 137,
        signal: Some(9),
        oom_killed: false,
        started_at_ns: 0,
        finished_at_ns: 0,
        started_boot_ms: 0,
        finished_boot_ms: 0,
        message: None,
    };
    let started = Response::Started { pid: 7, started_at_ns: 0, started_boot_ms: 0 };
    let (result, fds) = run("exec", vec![started, Response::Exited(record)]).await;
    assert_eq!((result, fds), (Ok(137), 3));
}

#[tokio::test]
async fn a_refusal_has_the_code_of_its_kind() {
    for (kind, code) in [
        (ErrorKind::NotFound, 127),
        (ErrorKind::NotExecutable, 126),
        (ErrorKind::NoSuchContainer, 125),
    ] {
        let error = Response::Error { kind, message: "no way".into(), hint: Some("go on".into()) };
        let (result, _) = run("refused", vec![error]).await;
        assert_eq!(result, Err((code, "podvisor: exec web: no way\nhint: go on\n".into())));
    }
}

#[tokio::test]
async fn a_monitor_that_dies_is_told() {
    let started = Response::Started { pid: 7, started_at_ns: 0, started_boot_ms: 0 };
    let (result, _) = run("died", vec![started]).await;
    let (code, text) = result.unwrap_err();
    assert!(code == 125 && text.contains("closed the connection"), "{code} {text}");
}
