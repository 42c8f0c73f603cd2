//! The life of a container in the monitor, as one total table: state x event -> cell.
//!
//! Pure. Every cell is decided, "nothing" too, so that a late, doubled or impossible event has a
//! written answer. The loop asks [`cell`] first and then does the cell's action; the state changes
//! nowhere else, and only after the action worked.

use crate::protocol::ErrorKind;

/// Where a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not known: never run, or removed.
    Absent,
    /// Its first process lives.
    Running,
    /// Its first process has ended and that is on disk; its last output is being read.
    Draining,
    /// Ended and told to everybody.
    Exited,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Asked to run.
    Run,
    /// Asked to be signalled.
    Kill,
    /// Asked to run one more process, or a probe.
    Exec,
    /// A client wants its stdio.
    Attach,
    /// A new window size.
    Resize,
    /// Asked to be removed.
    Remove,
    /// Its first process has ended.
    ProcessEnded,
    /// Nobody holds its outputs open any more, and all of them is read.
    OutputsEnded,
    /// A descendant held its outputs open for too long after the end.
    DrainDeadline,
}

/// What the loop is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Create and start it.
    Start,
    /// Send the signal.
    Signal,
    /// Start the process inside.
    Enter,
    /// Connect the client's streams; its `Exited` comes with the end.
    Join,
    /// Connect the client's outputs for what was kept, then send it `Exited`.
    Replay,
    /// Set the terminal's size.
    SetSize,
    /// Drop runtime state, cgroup, record and FIFOs, also those of a half-made container.
    Delete,
    /// Write the exit record, then drain within a deadline.
    Record,
    /// Tell everybody of the end.
    Publish,
    /// Nothing; a request is answered with `Ok`.
    Nothing,
    /// Refuse the request with an error.
    Refuse(Refusal),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No container of that id.
    Unknown,
    /// The id is in use.
    Exists,
    /// It has ended.
    Ended,
    /// It has not ended.
    StillRuns,
}

impl Refusal {
    /// Kind, words and hint of the error for container `id`.
    #[must_use]
    pub fn describe(self, id: &str) -> (ErrorKind, String, Option<String>) {
        let (kind, words, hint) = match self {
            Refusal::Unknown => (ErrorKind::NoSuchContainer, "does not exist", None),
            Refusal::Exists => (ErrorKind::Busy, "already exists", Some("remove it first")),
            Refusal::Ended => (ErrorKind::NoSuchContainer, "is not running", None),
            Refusal::StillRuns => (ErrorKind::Busy, "is still running", Some("kill it first")),
        };
        (kind, format!("container \"{id}\" {words}"), hint.map(str::to_owned))
    }
}

/// The action for an event, and the state once the action has worked.
#[must_use]
pub fn cell(state: State, event: Event) -> (Action, State) {
    use Action::{
        Delete, Enter, Join, Nothing, Publish, Record, Refuse, Replay, SetSize, Signal, Start,
    };
    use State::{Absent, Draining, Exited, Running};
    match (state, event) {
        (Absent, Event::Run) => (Start, Running),
        (Absent, Event::Remove) => (Delete, Absent),
        (Absent, Event::Kill | Event::Exec | Event::Attach | Event::Resize) => {
            (Refuse(Refusal::Unknown), Absent)
        }
        (Absent, Event::ProcessEnded | Event::OutputsEnded | Event::DrainDeadline) => {
            (Nothing, Absent)
        }

        (Running, Event::Run) => (Refuse(Refusal::Exists), Running),
        (Running, Event::Kill) => (Signal, Running),
        (Running, Event::Exec) => (Enter, Running),
        (Running, Event::Attach) => (Join, Running),
        (Running, Event::Resize) => (SetSize, Running),
        (Running, Event::Remove) => (Refuse(Refusal::StillRuns), Running),
        (Running, Event::ProcessEnded) => (Record, Draining),
        // It may close its outputs and live on.
        (Running, Event::OutputsEnded | Event::DrainDeadline) => (Nothing, Running),

        (Draining, Event::Run) => (Refuse(Refusal::Exists), Draining),
        // Descendants may live on where PID namespaces are shared.
        (Draining, Event::Kill) => (Signal, Draining),
        (Draining, Event::Exec) => (Refuse(Refusal::Ended), Draining),
        (Draining, Event::Attach) => (Join, Draining),
        (Draining, Event::Remove) => (Refuse(Refusal::StillRuns), Draining),
        (Draining, Event::Resize | Event::ProcessEnded) => (Nothing, Draining),
        (Draining, Event::OutputsEnded | Event::DrainDeadline) => (Publish, Exited),

        (Exited, Event::Run) => (Refuse(Refusal::Exists), Exited),
        (Exited, Event::Exec) => (Refuse(Refusal::Ended), Exited),
        (Exited, Event::Attach) => (Replay, Exited),
        (Exited, Event::Remove) => (Delete, Absent),
        // A kill that crosses the exit has reached its aim.
        (Exited, Event::Kill | Event::Resize) => (Nothing, Exited),
        (Exited, Event::ProcessEnded | Event::OutputsEnded | Event::DrainDeadline) => {
            (Nothing, Exited)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 4] = [State::Absent, State::Running, State::Draining, State::Exited];
    const EVENTS: [Event; 9] = [
        Event::Run,
        Event::Kill,
        Event::Exec,
        Event::Attach,
        Event::Resize,
        Event::Remove,
        Event::ProcessEnded,
        Event::OutputsEnded,
        Event::DrainDeadline,
    ];

    #[test]
    fn a_refusal_or_nothing_never_changes_the_state() {
        for state in STATES {
            for event in EVENTS {
                let (action, next) = cell(state, event);
                if matches!(action, Action::Refuse(_) | Action::Nothing) {
                    assert_eq!(next, state, "{state:?} x {event:?}");
                }
            }
        }
    }

    #[test]
    fn an_exit_is_recorded_before_it_is_published_and_published_once() {
        let mut state = State::Running;
        let mut done = Vec::new();
        for event in [
            Event::OutputsEnded,
            Event::ProcessEnded,
            Event::ProcessEnded,
            Event::OutputsEnded,
            Event::DrainDeadline,
            Event::OutputsEnded,
        ] {
            let (action, next) = cell(state, event);
            state = next;
            done.push(action);
        }
        done.retain(|action| *action != Action::Nothing);
        assert_eq!((done, state), (vec![Action::Record, Action::Publish], State::Exited));
    }

    #[test]
    fn only_what_has_ended_can_be_removed_and_removal_is_idempotent() {
        assert_eq!(cell(State::Exited, Event::Remove), (Action::Delete, State::Absent));
        assert_eq!(cell(State::Absent, Event::Remove), (Action::Delete, State::Absent));
        for state in [State::Running, State::Draining] {
            assert_eq!(cell(state, Event::Remove).0, Action::Refuse(Refusal::StillRuns));
        }
    }

    #[test]
    fn a_container_is_started_from_nothing_only() {
        for state in STATES {
            let starts = cell(state, Event::Run).0 == Action::Start;
            assert_eq!(starts, state == State::Absent, "{state:?}");
        }
    }
}
