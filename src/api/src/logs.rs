//! Log streams: a container's CRI log files as text, from any point on, across rotations.
//!
//! Whether the container has ended is asked *before* its file is read to the end, so that nothing
//! written before its end is missed. Waiting is for a change of the folder or of the supervisor's
//! state, never for a clock. The writer is the pod's monitor; nothing here writes.

mod files;
pub mod line;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

use crate::answer::{self, Answering};
use crate::backend::{Backend, Target};
use crate::error::ApiError;
use crate::reply::{Feed, Gone};
use crate::route::LogOptions;
use crate::server::stopped;
use crate::stamp;
use crate::wire::Kind;

use files::Reader;
use line::Printer;

/// Wakes when something in a folder has changed since the last wake, or since it was made.
pub trait Changes: Send {
    /// Returns after a change; early or twice is fine.
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>>;
}

/// How to be woken for a folder: given by whoever hosts the server.
pub type WatchFolder = fn(&Path) -> io::Result<Box<dyn Changes>>;

/// After the supervisor's state has changed, so long until it is asked again, milliseconds.
const GATHER_MS: u64 = 20;

/// A log that is ready to be streamed.
pub struct Opened {
    reader: Reader,
    printer: Printer,
    changes: Option<Box<dyn Changes>>,
    attempt: u64,
}

/// Opens a container's log at the place that the options say.
///
/// # Errors
/// 400 while the container waits for its first start, 404 when the log is gone, 500 for I/O.
pub async fn open<B: Backend>(
    on: &Answering<B>,
    target: &Target,
    options: &LogOptions,
) -> Result<Opened, ApiError> {
    let path = on.backend.log_path(target.clone(), options.previous).await?;
    let broken = |error: io::Error| {
        ApiError::internal(format!("reading the log {}: {error}", path.display()))
    };
    let folder = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    // Watched before it is read: what comes in between wakes.
    let changes = if options.follow && !options.previous && folder.is_dir() {
        Some((on.watch_folder)(&folder).map_err(broken)?)
    } else {
        None
    };
    let (file, tail) = (path.clone(), options.tail);
    let opened = tokio::task::spawn_blocking(move || Reader::open(&file, tail)).await;
    let reader = match opened.map_err(|error| ApiError::internal(error.to_string()))? {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(absent(on, target, &path).await);
        }
        Err(error) => return Err(broken(error)),
    };
    let ago = |seconds: u64| {
        let ns = i64::try_from(seconds.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX);
        stamp::now().saturating_sub(ns)
    };
    let since = options.since_ns.or(options.since_seconds.map(ago));
    let attempt = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
    Ok(Opened {
        reader,
        printer: Printer::new(options, since),
        changes,
        attempt: attempt.unwrap_or(0),
    })
}

/// Why there is no log.
async fn absent<B: Backend>(on: &Answering<B>, target: &Target, path: &Path) -> ApiError {
    let pod = answer::get(&on.backend, Kind::Pods, &target.namespace, &target.pod).await;
    let Ok(pod) = pod else {
        return ApiError::not_found(format!("pod \"{}\" has gone", target.pod));
    };
    let status = container_status(&pod, target.container.as_deref());
    let waiting = &status["state"]["waiting"];
    let name = status["name"].as_str().or(target.container.as_deref()).unwrap_or("?");
    match waiting["reason"].as_str() {
        Some(reason) => {
            let words = waiting["message"].as_str().map(|m| format!(": {m}")).unwrap_or_default();
            ApiError::bad_request(format!(
                "container \"{name}\" of pod \"{}\" waits to start: {reason}{words}",
                target.pod
            ))
            .hint(format!("podvisor describe pod {}", target.pod))
        }
        None => ApiError::not_found(format!("the log {} does not exist", path.display())),
    }
}

/// Streams an opened log.
pub async fn stream<B: Backend>(
    on: Answering<B>,
    target: Target,
    follow: bool,
    mut log: Opened,
    feed: Feed,
) {
    let mut stop = on.stop.clone();
    tokio::select! {
        // `Gone` is how a stream ends.
        _ = copy(&on, &target, follow, &mut log, &feed) => {}
        () = feed.gone() => {}
        () = stopped(&mut stop) => {}
    }
}

async fn copy<B: Backend>(
    on: &Answering<B>,
    target: &Target,
    follow: bool,
    log: &mut Opened,
    feed: &Feed,
) -> Result<(), Gone> {
    let mut versions = on.backend.changes();
    loop {
        versions.borrow_and_update();
        let ended = !follow || log.changes.is_none() || ended(on, target, log.attempt).await;
        // A log that cannot be read any more ends like one that has ended.
        while let Ok(Some(lines)) = log.reader.next_lines() {
            feed.send(log.printer.print(&lines)).await?;
            if log.printer.is_full() {
                return Ok(());
            }
        }
        let Some(changes) = log.changes.as_mut().filter(|_| !ended) else { return Ok(()) };
        tokio::select! {
            woken = changes.changed() => if woken.is_err() { return Ok(()) },
            more = versions.changed() => {
                if more.is_err() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(GATHER_MS)).await;
            }
        }
    }
}

/// Whether this attempt of the container writes no more.
async fn ended<B: Backend>(on: &Answering<B>, target: &Target, attempt: u64) -> bool {
    let pod = answer::get(&on.backend, Kind::Pods, &target.namespace, &target.pod).await;
    let Ok(pod) = pod else { return true };
    let status = container_status(&pod, target.container.as_deref());
    let now = status["restartCount"].as_u64().unwrap_or(0);
    let state = &status["state"];
    now > attempt || state["terminated"].is_object() || state["waiting"].is_object() && now > 0
}

/// The status of a container, of the only or first one when it is not named.
#[must_use]
pub fn container_status<'a>(pod: &'a Value, name: Option<&str>) -> &'a Value {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut all = lists.iter().filter_map(|list| pod["status"][list].as_array()).flatten();
    all.find(|status| name.is_none_or(|name| status["name"] == name)).unwrap_or(&Value::Null)
}
