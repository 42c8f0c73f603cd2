//! Waiting for objects through the API, across a change of supervisor.
//!
//! Invariants: it waits on watches, never on a clock, but for the pause between two attempts to
//! reach a supervisor; it gives up when none has answered for [`PATIENCE`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::time::{Duration, Instant};

use api::client::{Filter, WatchStream};
use api::wire::{Change, Kind, WatchEvent};
use api::{Client, ClientError};
use serde_json::Value;

use crate::failure::Failure;

/// How long a supervisor may be away, as when another takes over.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Pause between two attempts, milliseconds.
const RETRY_MS: u64 = 50;

/// Repeats a request while no supervisor answers, up to [`PATIENCE`].
///
/// # Errors
/// The last error.
pub async fn patiently<T, F: Future<Output = Result<T, ClientError>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, ClientError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(ClientError::Unreachable { .. } | ClientError::Broken(_))
                if Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
            }
            other => return other,
        }
    }
}

/// Objects of a kind as they change; reconnects.
pub struct Following<'a> {
    client: &'a Client,
    kind: Kind,
    filter: Filter,
    stream: Option<WatchStream>,
    known: Known,
}

/// What has been told, so that what went while nobody answered is told, too.
#[derive(Default)]
struct Known {
    told: BTreeMap<String, Value>,
    /// Told since the last connection, until its first bookmark.
    again: Option<BTreeSet<String>>,
    late: VecDeque<WatchEvent>,
}

impl Known {
    fn reconnected(&mut self) {
        self.again = Some(BTreeSet::new());
    }

    /// Takes an event in; after the first bookmark of a connection the missed ends wait in `late`,
    /// and the bookmark after them.
    fn take(&mut self, event: WatchEvent) -> Option<WatchEvent> {
        let meta = &event.object["metadata"];
        let key = format!("{}/{}", meta["namespace"], meta["name"]);
        match event.change {
            Change::Added | Change::Modified => {
                if let Some(again) = &mut self.again {
                    again.insert(key.clone());
                }
                self.told.insert(key, event.object.clone());
            }
            Change::Deleted => {
                self.told.remove(&key);
            }
            Change::Bookmark | Change::Error => {
                let again =
                    self.again.take().unwrap_or_else(|| self.told.keys().cloned().collect());
                let missed: Vec<String> =
                    self.told.keys().filter(|key| !again.contains(*key)).cloned().collect();
                for key in missed {
                    let object = self.told.remove(&key).unwrap_or_default();
                    self.late.push_back(WatchEvent { change: Change::Deleted, object });
                }
                self.late.push_back(event);
                return self.late.pop_front();
            }
        }
        Some(event)
    }
}

impl<'a> Following<'a> {
    /// Follows a kind from now on.
    #[must_use]
    pub fn new(client: &'a Client, kind: Kind, filter: Filter) -> Following<'a> {
        Following { client, kind, filter, stream: None, known: Known::default() }
    }

    /// The next event. After a reconnection everything comes again as added, and what has gone
    /// meanwhile as deleted. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Nobody answers any more, or the request is refused.
    pub async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        loop {
            if let Some(late) = self.known.late.pop_front() {
                return Ok(late);
            }
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let open = patiently(|| self.client.watch(self.kind, &self.filter)).await?;
                    self.known.reconnected();
                    self.stream.insert(open)
                }
            };
            match stream.next().await {
                Ok(Some(event)) => {
                    if let Some(event) = self.known.take(event) {
                        return Ok(event);
                    }
                }
                Ok(None) | Err(ClientError::Broken(_)) => self.stream = None,
                Err(ClientError::Refused(status)) if matches!(status.code, 410 | 503) => {
                    self.stream = None;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits until a pod is as wanted; `None` when it does not exist (any more).
///
/// # Errors
/// As [`Following::next`].
pub async fn pod_until(
    client: &Client,
    namespace: &str,
    name: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Option<Value>, ClientError> {
    let filter = Filter {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..Filter::default()
    };
    let mut events = Following::new(client, Kind::Pods, filter);
    let mut seen = false;
    loop {
        let event = events.next().await?;
        match event.change {
            Change::Deleted => return Ok(None),
            Change::Bookmark if !seen => return Ok(None),
            Change::Bookmark | Change::Error => {}
            Change::Added | Change::Modified => {
                seen = true;
                if wanted(&event.object) {
                    return Ok(Some(event.object));
                }
            }
        }
    }
}

/// Waits until an object has gone.
///
/// # Errors
/// As [`Following::next`].
pub async fn gone(client: &Client, kind: Kind, namespace: &str, name: &str) -> Result<(), Failure> {
    let filter = Filter {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..Filter::default()
    };
    let mut events = Following::new(client, kind, filter);
    let mut seen = false;
    loop {
        let what = || format!("wait for {} {name} to go", kind.name().to_lowercase());
        let event = events.next().await.map_err(|error| Failure::api(what(), &error))?;
        match event.change {
            Change::Deleted => return Ok(()),
            Change::Bookmark if !seen => return Ok(()),
            Change::Bookmark | Change::Error => {}
            Change::Added | Change::Modified => seen = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_went_while_nobody_answered_is_told() {
        let event = |change, name: &str| WatchEvent {
            change,
            object: json!({"metadata": {"name": name, "namespace": "default"}}),
        };
        let mut known = Known::default();
        known.reconnected();
        for name in ["a", "b"] {
            assert!(known.take(event(Change::Added, name)).is_some());
        }
        let first = known.take(event(Change::Bookmark, "")).unwrap();
        assert_eq!((first.change, known.late.len()), (Change::Bookmark, 0));
        known.reconnected();
        known.take(event(Change::Added, "b"));
        let gone = known.take(event(Change::Bookmark, "")).unwrap();
        assert_eq!((gone.change, &gone.object["metadata"]["name"]), (Change::Deleted, &json!("a")));
        assert_eq!(known.late.pop_front().map(|e| e.change), Some(Change::Bookmark));
    }
}
