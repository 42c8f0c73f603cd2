//! Messages and requests that are wrong: an error, never a crash, and the monitor goes on.

use std::os::fd::AsFd;

use monitor::protocol::{ErrorKind, Request, Response};
use serde_json::json;

use crate::pod::Pod;

#[test]
fn wrong_messages_are_answered_with_an_error() {
    let Some(scope) = scope::enter("bad_input::wrong_messages_are_answered_with_an_error") else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let socket = pod.client.as_fd();
    let huge = vec![b' '; 300 * 1024];
    for bytes in [&b"{"[..], b"\xff\xfe", b"[]", b"\"dance\"", br#"{"run":{}}"#, &huge] {
        sys::seqpacket::send(socket, bytes, &[]).unwrap();
        let answer = monitor::frame::receive::<Response>(socket).unwrap().0.unwrap();
        assert!(
            matches!(answer, Response::Error { kind: ErrorKind::BadRequest, .. }),
            "{:?}: {answer:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(20)])
        );
    }
    // Descriptors that nobody asked for are closed.
    let fds = [socket; 8];
    sys::seqpacket::send(socket, b"\"list\"", &fds).unwrap();
    let answer = monitor::frame::receive::<Response>(socket).unwrap().0.unwrap();
    assert!(matches!(answer, Response::Error { .. }), "{answer:?}");
    let stranger = sys::seqpacket::connect(&pod.dir.join("monitor.sock"), None).unwrap();
    monitor::frame::send(stranger.as_fd(), &Request::List, &[]).unwrap();
    let answer = monitor::frame::receive::<Response>(stranger.as_fd()).unwrap().0.unwrap();
    assert!(matches!(answer, Response::Error { kind: ErrorKind::BadRequest, .. }), "{answer:?}");
    assert!(pod.list().is_empty());
    pod.end();
}

#[test]
fn wrong_requests_are_refused() {
    let Some(scope) = scope::enter("bad_input::wrong_requests_are_refused") else { return };
    let mut pod = Pod::start(scope.folder());
    let id = pod.run("web", "sleep 100");
    let good = pod.request("other", "true");
    let mut requests = Vec::new();
    for bad in ["", "..", "a/b", "a\nb"] {
        let mut run = good.clone();
        run.id = bad.into();
        requests.push((Request::Run(run), ErrorKind::BadRequest));
        requests.push((Request::Remove { id: bad.into() }, ErrorKind::BadRequest));
    }
    let mut run = good.clone();
    run.log_path = "relative.log".into();
    requests.push((Request::Run(run), ErrorKind::BadRequest));
    let mut run = good.clone();
    run.terminal = true;
    requests.push((Request::Run(run), ErrorKind::BadRequest));
    let mut run = good.clone();
    run.bundle = "/nowhere".into();
    requests.push((Request::Run(run), ErrorKind::Runtime));
    let mut run = good;
    run.id.clone_from(&id);
    requests.push((Request::Run(run), ErrorKind::Busy));
    for signal in [0, -9, 65] {
        let kill = Request::Kill { id: id.clone(), signal, all: false };
        requests.push((kill, ErrorKind::BadRequest));
    }
    let unknown = Request::Kill { id: "nobody".into(), signal: 9, all: false };
    requests.push((unknown, ErrorKind::NoSuchContainer));
    let resize = Request::Resize { id: id.clone(), rows: 1, cols: 1 };
    requests.push((resize, ErrorKind::BadRequest));
    requests.push((Request::Attach { id: id.clone() }, ErrorKind::BadRequest));
    let process =
        serde_json::from_value(json!({"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["true"]}));
    let exec = Request::Exec { id, process: process.unwrap(), timeout_ms: None };
    requests.push((exec, ErrorKind::BadRequest));
    for (request, expected) in requests {
        match pod.ask(&request) {
            Response::Error { kind, .. } if kind == expected => {}
            other => panic!("{request:?}: {other:?}"),
        }
    }
    assert_eq!(pod.list().len(), 1);
    pod.end();
}

#[test]
fn many_clients_are_bounded_and_the_rest_served() {
    let Some(scope) = scope::enter("bad_input::many_clients_are_bounded_and_the_rest_served")
    else {
        return;
    };
    let mut pod = Pod::start(scope.folder());
    let path = pod.dir.join("monitor.sock");
    let mut clients = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        match monitor::Client::connect(&path) {
            Ok(client) => clients.push(client),
            Err(_) => refused += 1,
        }
    }
    assert!(clients.len() >= 60 && refused > 0, "{} {refused}", clients.len());
    assert!(pod.list().is_empty());
    drop(clients);
    let deadline = std::time::Instant::now() + crate::pod::DEADLINE;
    while monitor::Client::connect(&path).is_err() {
        assert!(std::time::Instant::now() < deadline);
    }
    pod.end();
}
