//! Waiting for objects through the API, across a change of supervisor.
//!
//! Invariants: it waits on watches, never on a clock, but for the pause between two attempts to
//! reach a supervisor; it gives up when none has answered for [`PATIENCE`].

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
}

impl<'a> Following<'a> {
    /// Follows a kind from now on.
    #[must_use]
    pub fn new(client: &'a Client, kind: Kind, filter: Filter) -> Following<'a> {
        Following { client, kind, filter, stream: None }
    }

    /// The next event. After a reconnection everything comes again as added.
    ///
    /// # Errors
    /// Nobody answers any more, or the request is refused.
    pub async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let open = patiently(|| self.client.watch(self.kind, &self.filter)).await?;
                    self.stream.insert(open)
                }
            };
            match stream.next().await {
                Ok(Some(event)) => return Ok(event),
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
