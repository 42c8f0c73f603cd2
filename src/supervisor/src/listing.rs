//! What a monitor tells of its containers, in the words of the decisions.
//!
//! A listing is whole when it is subscribed to and then kept by events. Pure.

use std::collections::BTreeMap;

use monitor::protocol::{ContainerRecord, RecordState};
use pod::{ContainerObserved, ExitInfo};

/// A container by name and attempt.
pub(crate) type Key = (String, u32);

/// One container with what it left in its termination message file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) record: ContainerRecord,
    pub(crate) message: Option<String>,
}

impl Listed {
    /// Its key.
    pub(crate) fn key(&self) -> Key {
        (self.record.name.clone(), self.record.attempt)
    }

    /// Does it live?
    pub(crate) fn is_running(&self) -> bool {
        self.record.state == RecordState::Running
    }

    /// As the decision sees it.
    pub(crate) fn observed(&self) -> ContainerObserved {
        match &self.record.state {
            RecordState::Running => ContainerObserved::Running {
                started_at: self.record.started_boot_ms,
                pid: self.record.pid,
            },
            RecordState::Exited(exit) => ContainerObserved::Exited(ExitInfo {
                code: exit.code,
                signal: exit.signal,
                oom_killed: exit.oom_killed,
                started_at: exit.started_boot_ms,
                finished_at: exit.finished_boot_ms,
                message: self.message.clone().or_else(|| exit.message.clone()),
            }),
        }
    }
}

/// All containers of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing(BTreeMap<Key, Listed>);

impl Listing {
    /// A first listing.
    pub(crate) fn new(all: Vec<Listed>) -> Listing {
        Listing(all.into_iter().map(|listed| (listed.key(), listed)).collect())
    }

    /// A container has changed. What has ended does not live again.
    pub(crate) fn changed(&mut self, listed: Listed) {
        let known = self.0.get(&listed.key());
        if known.is_some_and(|known| !known.is_running() && listed.is_running()) {
            return;
        }
        self.0.insert(listed.key(), listed);
    }

    /// A container was started; its own event may come sooner or later.
    pub(crate) fn started(&mut self, record: ContainerRecord) {
        self.0
            .entry((record.name.clone(), record.attempt))
            .or_insert(Listed { record, message: None });
    }

    /// A container was removed, of which nothing is announced.
    pub(crate) fn removed(&mut self, name: &str, attempt: u32) {
        self.0.remove(&(name.to_owned(), attempt));
    }

    /// As the decision sees it.
    pub(crate) fn observed(&self) -> BTreeMap<Key, ContainerObserved> {
        self.0.iter().map(|(key, listed)| (key.clone(), listed.observed())).collect()
    }

    /// The running attempt of a container.
    pub(crate) fn running(&self, name: &str) -> Option<&ContainerRecord> {
        let mut of_name = self.0.values().filter(|listed| listed.record.name == name);
        of_name.rfind(|listed| listed.is_running()).map(|listed| &listed.record)
    }

    /// Why log lines were lost, if some were.
    pub(crate) fn log_error(&self) -> Option<&str> {
        self.0.values().find_map(|listed| listed.record.log_error.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monitor::protocol::ExitRecord;

    fn running(name: &str, attempt: u32) -> ContainerRecord {
        ContainerRecord {
            id: format!("u.{name}.{attempt}"),
            name: name.to_owned(),
            attempt,
            pid: 7,
            start_time: 1,
            started_at_ns: 2_000_000,
            started_boot_ms: 3,
            state: RecordState::Running,
            log_error: None,
        }
    }

    fn exited(name: &str, attempt: u32, code: i32) -> Listed {
        let exit = ExitRecord {
            code,
            signal: None,
            oom_killed: true,
            started_at_ns: 1,
            finished_at_ns: 2,
            started_boot_ms: 3,
            finished_boot_ms: 4,
            message: Some("of the monitor".to_owned()),
        };
        let record = ContainerRecord { state: RecordState::Exited(exit), ..running(name, attempt) };
        Listed { record, message: None }
    }

    #[test]
    fn records_become_observations() {
        let mut listing = Listing::new(vec![Listed { record: running("a", 0), message: None }]);
        let seen = listing.observed();
        assert_eq!(
            seen[&("a".to_owned(), 0)],
            ContainerObserved::Running { started_at: 3, pid: 7 }
        );
        listing.changed(exited("a", 0, 137));
        let exit = ExitInfo {
            code: 137,
            signal: None,
            oom_killed: true,
            started_at: 3,
            finished_at: 4,
            message: Some("of the monitor".to_owned()),
        };
        assert_eq!(listing.observed()[&("a".to_owned(), 0)], ContainerObserved::Exited(exit));
        let told = Listed { message: Some("its own".to_owned()), ..exited("a", 0, 1) };
        assert!(matches!(told.observed(), ContainerObserved::Exited(e)
            if e.message.as_deref() == Some("its own")));
    }

    #[test]
    fn an_end_is_final_whatever_comes_late() {
        let mut listing = Listing::default();
        listing.started(running("a", 0));
        listing.changed(exited("a", 0, 3));
        listing.started(running("a", 0));
        listing.changed(Listed { record: running("a", 0), message: None });
        assert_eq!(listing.running("a"), None);
        listing.started(running("a", 1));
        assert_eq!(listing.running("a").map(|record| record.attempt), Some(1));
        listing.removed("a", 0);
        assert_eq!(listing.observed().len(), 1);
    }
}
