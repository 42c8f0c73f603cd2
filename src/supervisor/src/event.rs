//! What happened, for people: Kubernetes' v1 Events, counted and bounded.
//!
//! Invariants: at most [`EVENTS_MAX`] events, the one not seen for longest goes first; an event
//! that says the same of the same object again is counted, not repeated. The number of an event is
//! its key in the store and the end of its name, so that it survives a restart.
//! Not here: what is worth an event, the clock, the file.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// Most events that are kept.
const EVENTS_MAX: usize = 1_000;
/// Longest message, in bytes; Kubernetes cuts there, too.
const MESSAGE_MAX_BYTES: usize = 1_024;

/// A Kubernetes v1 Event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    api_version: String,
    kind: String,
    metadata: EventMeta,
    involved_object: InvolvedObject,
    #[serde(rename = "type")]
    severity: Severity,
    reason: String,
    message: String,
    count: u32,
    first_timestamp: String,
    last_timestamp: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventMeta {
    name: String,
    namespace: String,
    uid: String,
    creation_timestamp: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InvolvedObject {
    kind: String,
    namespace: String,
    name: String,
    uid: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Severity {
    Normal,
    Warning,
}

impl Event {
    fn new(key: u64, about: &About, severity: Severity, now: &str) -> Event {
        Event {
            api_version: "v1".to_owned(),
            kind: "Event".to_owned(),
            metadata: EventMeta {
                name: format!("{}.{key:016x}", about.name),
                namespace: about.namespace.clone(),
                uid: format!("event-{key:016x}"),
                creation_timestamp: now.to_owned(),
            },
            involved_object: InvolvedObject {
                kind: about.kind.to_owned(),
                namespace: about.namespace.clone(),
                name: about.name.clone(),
                uid: about.uid.clone(),
            },
            severity,
            reason: String::new(),
            message: String::new(),
            count: 1,
            first_timestamp: now.to_owned(),
            last_timestamp: now.to_owned(),
        }
    }

    /// The number in its name.
    pub(crate) fn key(&self) -> Option<u64> {
        let (_, number) = self.metadata.name.rsplit_once('.')?;
        u64::from_str_radix(number, 16).ok()
    }
}

/// The object an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// `Pod` or `Deployment`.
    pub(crate) kind: &'static str,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its identity.
    pub(crate) uid: String,
}

/// All events that are remembered, the latest last.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    events: VecDeque<(u64, Event)>,
    next_key: u64,
    dirty: BTreeSet<u64>,
    forgotten: Vec<u64>,
}

impl EventLog {
    /// Goes on with what the store has.
    pub(crate) fn new(saved: Vec<Event>) -> EventLog {
        let mut events: Vec<(u64, Event)> =
            saved.into_iter().filter_map(|event| Some((event.key()?, event))).collect();
        events.sort_by(|(a_key, a), (b_key, b)| {
            (&a.last_timestamp, a_key).cmp(&(&b.last_timestamp, b_key))
        });
        let highest = events.iter().map(|(key, _)| *key).max();
        let next_key = highest.map_or(0, |key| key.saturating_add(1));
        let mut log = EventLog { events: events.into(), next_key, ..EventLog::default() };
        log.bound();
        log
    }

    /// Notes that something happened at `unix_ms`, with its reason in one word.
    pub(crate) fn add(
        &mut self,
        about: &About,
        warning: bool,
        (reason, message): (&str, &str),
        unix_ms: u64,
    ) {
        let severity = if warning { Severity::Warning } else { Severity::Normal };
        let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
        let now = pod::status::rfc3339(seconds);
        let message = cut(message);
        let same = |(_, event): &(u64, Event)| {
            event.involved_object.uid == about.uid
                && event.severity == severity
                && event.reason == reason
                && event.message == message
        };
        let known = self.events.iter().rposition(same).and_then(|at| self.events.remove(at));
        let (key, event) = match known {
            Some((key, event)) => {
                let count = event.count.saturating_add(1);
                (key, Event { count, last_timestamp: now, ..event })
            }
            None => {
                let key = self.next_key;
                self.next_key = key.saturating_add(1);
                let (reason, message) = (reason.to_owned(), message.to_owned());
                (key, Event { reason, message, ..Event::new(key, about, severity, &now) })
            }
        };
        self.dirty.insert(key);
        self.events.push_back((key, event));
        self.bound();
    }

    /// All events, the latest last.
    pub(crate) fn list(&self) -> Vec<Event> {
        self.events.iter().map(|(_, event)| event.clone()).collect()
    }

    /// What is new or changed since the last call, with its key in the store.
    pub(crate) fn take_dirty(&mut self) -> Vec<(u64, Event)> {
        let dirty = std::mem::take(&mut self.dirty);
        self.events.iter().filter(|(key, _)| dirty.contains(key)).cloned().collect()
    }

    /// Keys that have gone since the last call.
    pub(crate) fn take_forgotten(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.forgotten)
    }

    /// Drops all about one object.
    pub(crate) fn forget_object(&mut self, uid: &str) {
        let (gone, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|(_, event)| event.involved_object.uid == uid);
        self.events = kept;
        gone.into_iter().for_each(|(key, _)| self.forget(key));
    }

    fn bound(&mut self) {
        while self.events.len() > EVENTS_MAX {
            if let Some((key, _)) = self.events.pop_front() {
                self.forget(key);
            }
        }
    }

    fn forget(&mut self, key: u64) {
        self.dirty.remove(&key);
        self.forgotten.push(key);
    }
}

/// At most [`MESSAGE_MAX_BYTES`] of a text, whole characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn about(uid: &str) -> About {
        let (namespace, name) = ("shop".to_owned(), "web".to_owned());
        About { kind: "Pod", namespace, name, uid: uid.to_owned() }
    }

    #[test]
    fn an_event_is_kubernetes_own() {
        let mut log = EventLog::new(Vec::new());
        log.add(&about("u"), true, ("BackOff", "waits"), 1_500);
        let value = serde_json::to_value(&log.list()[0]).unwrap();
        let want = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {
                "name": "web.0000000000000000", "namespace": "shop",
                "uid": "event-0000000000000000", "creationTimestamp": "1970-01-01T00:00:01Z",
            },
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web", "uid": "u"},
            "type": "Warning", "reason": "BackOff", "message": "waits", "count": 1,
            "firstTimestamp": "1970-01-01T00:00:01Z", "lastTimestamp": "1970-01-01T00:00:01Z",
        });
        assert_eq!(value, want);
        assert_eq!(serde_json::from_value::<Event>(value).unwrap(), log.list()[0]);
    }

    #[test]
    fn the_same_again_is_counted_and_moves_to_the_end() {
        let mut log = EventLog::new(Vec::new());
        log.add(&about("u"), true, ("BackOff", "waits"), 1_000);
        log.add(&about("other"), true, ("BackOff", "waits"), 2_000);
        assert_eq!(log.take_dirty().len(), 2);
        log.add(&about("u"), true, ("BackOff", "waits"), 9_000);
        let dirty = log.take_dirty();
        assert_eq!(dirty.len(), 1);
        let (key, event) = &dirty[0];
        assert_eq!((*key, event.count), (0, 2));
        assert_eq!(event.first_timestamp, "1970-01-01T00:00:01Z");
        assert_eq!(event.last_timestamp, "1970-01-01T00:00:09Z");
        assert_eq!(log.list().last(), Some(event));
        log.add(&about("u"), false, ("BackOff", "waits"), 9_000);
        assert_eq!(log.list().len(), 3, "another type is another event");
        assert!(log.take_forgotten().is_empty());
    }

    #[test]
    fn the_oldest_go_and_are_told() {
        let mut log = EventLog::new(Vec::new());
        for number in 0..=EVENTS_MAX {
            log.add(&about("u"), false, ("Pulled", &number.to_string()), 1_000);
        }
        assert_eq!(log.list().len(), EVENTS_MAX);
        assert_eq!(log.take_forgotten(), [0]);
        assert!(log.take_dirty().iter().all(|(key, _)| *key != 0));
        log.add(&about("kept"), false, ("Pulled", "x"), 1_000);
        log.forget_object("u");
        assert_eq!(log.list().len(), 1);
        assert_eq!(log.take_forgotten().len(), EVENTS_MAX);
        assert_eq!(log.take_dirty().len(), 1);
    }

    #[test]
    fn saved_events_go_on() {
        let mut log = EventLog::new(Vec::new());
        log.add(&about("u"), false, ("A", "a"), 1_000);
        log.add(&about("u"), false, ("B", "b"), 2_000);
        log.add(&about("u"), false, ("A", "a"), 3_000);
        let mut saved = log.list();
        saved.sort_by_key(Event::key);
        let mut again = EventLog::new(saved);
        assert_eq!(again.list(), log.list());
        again.add(&about("u"), false, ("C", "c"), 4_000);
        assert_eq!(again.take_dirty()[0].0, 2, "keys go on");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let mut log = EventLog::new(Vec::new());
        let long = "ä".repeat(MESSAGE_MAX_BYTES);
        log.add(&about("u"), false, ("A", &long), 0);
        log.add(&about("u"), false, ("A", &long), 0);
        assert_eq!(log.list()[0].message.len(), MESSAGE_MAX_BYTES);
        assert_eq!(log.list().len(), 1);
    }
}
