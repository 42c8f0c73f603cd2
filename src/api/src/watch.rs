//! Watches: one list, then what changes, without a gap.
//!
//! Level-triggered: a new resource version only wakes; the fresh list is compared with what the
//! reader was told last. A burst is told as its result. A reader that does not read is dropped
//! (see [`crate::reply`]). From an older version than the current one a watch cannot say what was
//! deleted since, so it is refused with 410 and the reader lists again, as Kubernetes' clients do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::answer::selects;
use crate::backend::Backend;
use crate::error::ApiError;
use crate::reply::{Feed, Gone};
use crate::route::Selection;
use crate::wire::{Change, Kind, WatchEvent};

/// A burst of changes is gathered for so long, milliseconds.
const GATHER_MS: u64 = 20;

/// One watch.
pub struct Watching<B> {
    backend: B,
    kind: Kind,
    selection: Selection,
    changes: watch::Receiver<u64>,
    /// The reader knows the current state already.
    known: bool,
}

impl<B: Backend> Watching<B> {
    /// Prepares a watch, `from` the resource version of a list or from a list of its own.
    ///
    /// # Errors
    /// 410 when that version is not the current one.
    pub fn begin(
        backend: B,
        kind: Kind,
        selection: Selection,
        from: Option<u64>,
    ) -> Result<Watching<B>, ApiError> {
        let mut changes = backend.changes();
        let now = *changes.borrow_and_update();
        if from.is_some_and(|version| version != now) {
            return Err(ApiError::expired(format!("the resource version is {now} by now"))
                .hint("list again, and watch from the list's version"));
        }
        Ok(Watching { backend, kind, selection, changes, known: from.is_some() })
    }

    /// Tells until the reader is gone or the supervisor ends.
    pub async fn run(mut self, feed: &Feed) {
        // `Gone` is how a watch ends.
        let _ = self.tell(feed).await;
    }

    async fn tell(&mut self, feed: &Feed) -> Result<(), Gone> {
        let mut told = BTreeMap::new();
        let fresh = self.fresh(feed).await?;
        if self.known {
            told = fresh;
        } else {
            self.differences(feed, &mut told, fresh).await?;
            let version = self.changes.borrow().to_string();
            let object = json!({
                "kind": self.kind.name(),
                "apiVersion": self.kind.api_version(),
                "metadata": {
                    "resourceVersion": version,
                    "annotations": {"k8s.io/initial-events-end": "true"},
                },
            });
            feed.send_line(&WatchEvent { change: Change::Bookmark, object }).await?;
        }
        while self.changes.changed().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(GATHER_MS)).await;
            self.changes.borrow_and_update();
            let fresh = self.fresh(feed).await?;
            self.differences(feed, &mut told, fresh).await?;
        }
        let error = ApiError::unavailable("the supervisor ends");
        let object = serde_json::to_value(error.status()).unwrap_or_default();
        feed.send_line(&WatchEvent { change: Change::Error, object }).await
    }

    /// What is now, by identity.
    async fn fresh(&self, feed: &Feed) -> Result<BTreeMap<String, Value>, Gone> {
        match self.backend.list(self.kind).await {
            Ok(items) => Ok(items
                .into_iter()
                .filter(|object| selects(&self.selection, object))
                .map(|object| (identity(&object), object))
                .collect()),
            Err(error) => {
                let object = serde_json::to_value(error.status()).unwrap_or_default();
                feed.send_line(&WatchEvent { change: Change::Error, object }).await?;
                Err(Gone)
            }
        }
    }

    async fn differences(
        &self,
        feed: &Feed,
        told: &mut BTreeMap<String, Value>,
        fresh: BTreeMap<String, Value>,
    ) -> Result<(), Gone> {
        for (_, object) in told.iter().filter(|(id, _)| !fresh.contains_key(*id)) {
            let event = WatchEvent { change: Change::Deleted, object: object.clone() };
            feed.send_line(&event).await?;
        }
        for (id, object) in &fresh {
            let change = match told.get(id) {
                None => Change::Added,
                Some(old) if old != object => Change::Modified,
                Some(_) => continue,
            };
            feed.send_line(&WatchEvent { change, object: object.clone() }).await?;
        }
        *told = fresh;
        Ok(())
    }
}

/// An object's uid, or its place when it has none.
fn identity(object: &Value) -> String {
    let meta = &object["metadata"];
    match meta["uid"].as_str() {
        Some(uid) => uid.to_owned(),
        None => format!("{}/{}", meta["namespace"], meta["name"]),
    }
}
