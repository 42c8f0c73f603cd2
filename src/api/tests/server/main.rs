//! A real server on a real socket, before a supervisor of the tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test like the test itself"
)]

mod fake;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use api::backend::Target;
use api::client::Filter;
use api::route::LogOptions;
use api::wire::{ApplyRequest, Change, Kind, ShutdownRequest};
use api::{ClientError, Limits};
use fake::{Running, pod};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn target() -> Target {
    Target { namespace: "default".into(), pod: "web".into(), container: Some("main".into()) }
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// What the server answers to these bytes.
async fn raw(running: &Running, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(running.client.socket()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut text = Vec::new();
    let _ = in_time(stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn objects_are_created_listed_selected_and_deleted() {
    let running = Running::new("objects", Limits::default());
    let client = &running.client;
    let mode = std::fs::metadata(client.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for name in ["web", "db"] {
        let text = pod(name, json!({})).to_string();
        let request = ApplyRequest { source: "x".into(), text, create_only: false };
        assert_eq!(client.apply(&request).await.unwrap()[0].outcome, "created");
    }
    let names = |list: api::wire::List| {
        list.items.iter().map(|i| i["metadata"]["name"].clone()).collect::<Vec<_>>()
    };
    let all = client.list(Kind::Pods, &Filter::default()).await.unwrap();
    assert_eq!(all.metadata.resource_version, "3");
    assert_eq!(names(all), ["db", "web"]);
    let labelled = Filter { labels: Some("app in (web)".into()), ..Filter::default() };
    assert_eq!(names(client.list(Kind::Pods, &labelled).await.unwrap()), ["web"]);
    assert_eq!(client.get(Kind::Pods, "default", "db").await.unwrap()["metadata"]["uid"], "db");
    client.delete(Kind::Pods, "default", "db", Some(0)).await.unwrap();
    let error = client.get(Kind::Pods, "default", "db").await.unwrap_err();
    assert_eq!(error.reason(), Some("NotFound"));
    assert_eq!(client.status().await.unwrap(), json!({"pods": 1}));
    assert_eq!(client.version().await.unwrap().api, api::VERSION);
}

#[tokio::test]
async fn errors_are_status_documents_with_hints() {
    let running = Running::new("errors", Limits::default());
    let error = running.client.scale("default", "web", 3).await.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("get deployments"));
    let text =
        raw(&running, b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 404") && text.contains("\"kind\":\"Status\""), "{text}");
    let text = raw(
        &running,
        b"POST /podvisor/v1/apply HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
    )
    .await;
    assert!(text.starts_with("HTTP/1.1 400") && text.contains("source"), "{text}");
    let missing = std::path::Path::new("/no/such/podvisor.sock");
    let error = api::Client::new(missing).version().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }));
    assert!(error.hint().unwrap().contains("podvisor serve"));
}

#[tokio::test]
async fn a_watch_tells_every_change_once() {
    let running = Running::new("watch", Limits::default());
    running.fake.change(|pods| pods.push(pod("web", json!({"waiting": {}}))));
    let mut stream = running.client.watch(Kind::Pods, &Filter::default()).await.unwrap();
    let mut next = async || {
        let event = in_time(stream.next()).await.unwrap().unwrap();
        (event.change, event.object["metadata"]["name"].as_str().unwrap_or("").to_owned())
    };
    assert_eq!(next().await, (Change::Added, "web".into()));
    assert_eq!(next().await.0, Change::Bookmark);
    running.fake.change(|pods| pods.push(pod("db", json!({}))));
    assert_eq!(next().await, (Change::Added, "db".into()));
    running.fake.change(|pods| pods[0] = pod("web", json!({"running": {}})));
    assert_eq!(next().await, (Change::Modified, "web".into()));
    running.fake.change(|pods| pods.clear());
    assert_eq!(next().await, (Change::Deleted, "db".into()));
    assert_eq!(next().await, (Change::Deleted, "web".into()));
}

#[tokio::test]
async fn a_watch_from_an_old_version_is_refused() {
    let running = Running::new("expired", Limits::default());
    running.fake.change(|_| {});
    let old =
        b"GET /api/v1/pods?watch=1&resourceVersion=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let text = raw(&running, old).await;
    assert!(text.starts_with("HTTP/1.1 410") && text.contains("list again"), "{text}");
}

#[tokio::test]
async fn a_log_is_followed_until_its_container_ends() {
    let running = Running::new("logs", Limits::default());
    running.fake.change(|pods| {
        let mut object = pod("web", json!({"running": {}}));
        object["status"]["containerStatuses"][0]["restartCount"] = json!(1);
        pods.push(object);
    });
    let log = running.fake.folder.join("1.log");
    std::fs::write(running.fake.folder.join("0.log"), "T stderr F crashed\n").unwrap();
    std::fs::write(&log, "T stdout F one\n").unwrap();
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let mut stream = running.client.logs(&target(), &follow).await.unwrap();
    assert_eq!(in_time(stream.next()).await.unwrap().unwrap(), "one\n");
    std::fs::write(&log, "T stdout F one\nT stdout P tw\nT stdout F o\n").unwrap();
    assert_eq!(in_time(stream.next()).await.unwrap().unwrap(), "two\n");
    running.fake.change(|pods| {
        pods[0]["status"]["containerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 0}});
    });
    assert_eq!(in_time(stream.next()).await.unwrap(), None);
    let previous = LogOptions { previous: true, ..LogOptions::default() };
    let mut stream = running.client.logs(&target(), &previous).await.unwrap();
    assert_eq!(in_time(stream.next()).await.unwrap().unwrap(), "crashed\n");
}

#[tokio::test]
async fn a_log_that_is_not_there_yet_says_why() {
    let running = Running::new("nolog", Limits::default());
    let waiting = json!({"waiting": {"reason": "ErrImageNeverPull", "message": "no image x"}});
    running.fake.change(|pods| pods.push(pod("web", waiting)));
    let error = running.client.logs(&target(), &LogOptions::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("ErrImageNeverPull") && text.contains("no image x"), "{text}");
}

#[tokio::test]
async fn limits_hold() {
    let limits = Limits { connections: 1, request_ms: 300, ..Limits::default() };
    let running = Running::new("limits", limits);
    // A head that never ends is cut off.
    assert_eq!(raw(&running, b"GET /version HTTP/1.1\r\n").await.find("200"), None);
    let long = format!("GET /version HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024));
    let mut stream = UnixStream::connect(running.client.socket()).await.unwrap();
    let _ = stream.write_all(long.as_bytes()).await;
    let mut text = Vec::new();
    let _ = in_time(stream.read_to_end(&mut text)).await;
    assert!(!String::from_utf8_lossy(&text).contains("200 OK"));
    // One watch takes the only connection.
    let watch = running.client.watch(Kind::Pods, &Filter::default()).await.unwrap();
    let error = running.client.version().await.unwrap_err();
    assert_eq!(error.reason(), Some("ServiceUnavailable"), "{error}");
    drop(watch);
    in_time(async {
        while running.client.version().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let body = format!(
        "POST /podvisor/v1/apply HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        5 << 20
    );
    assert!(raw(&running, body.as_bytes()).await.contains("413"));
}

#[tokio::test]
async fn an_ending_server_sees_its_clients_off() {
    let mut running = Running::new("ending", Limits::default());
    let mut watch = running.client.watch(Kind::Pods, &Filter::default()).await.unwrap();
    assert_eq!(in_time(watch.next()).await.unwrap().unwrap().change, Change::Bookmark);
    let client = running.client.clone();
    let asked = tokio::spawn(async move { client.shutdown(&ShutdownRequest::default()).await });
    running.stop.send(true).unwrap();
    in_time(&mut running.task).await.unwrap();
    assert!(matches!(in_time(watch.next()).await, Ok(None) | Err(ClientError::Broken(_))));
    // Answered, or never let in: in any case it returned.
    let _ = in_time(asked).await.unwrap();
    assert!(!running.client.socket().exists());
}
