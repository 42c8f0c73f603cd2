//! Ending what runs: who is told when, the signal, and the kill at the deadline.
//!
//! Main containers are told all at once; a sidecar waits for every main container and every later
//! sidecar (40-pods "Hooks and termination"). The kill comes at the deadline, and never sooner than
//! [`crate::MIN_KILL_MS`] after the signal.

use super::{Turn, is_sidecar};
use crate::MIN_KILL_MS;
use crate::memory::{Stop, StopCause};
use crate::state::{Action, Millis};

/// How much longer an attempt may live when nothing is known of its signal (the supervisor died in
/// between, or the monitor is slow), in milliseconds.
const UNKNOWN_SIGNAL_MS: Millis = 10_000;
/// Wait before a kill that had no effect is sent again, in milliseconds.
const KILL_AGAIN_MS: Millis = 5_000;

impl Turn<'_> {
    /// Tells everything to stop, in order; true when nothing runs and nothing is being started.
    pub(super) fn stop_in_order(&mut self, cause: StopCause, grace_ms: Millis) -> bool {
        let running: Vec<(String, u32)> =
            self.running().map(|(name, attempt)| (name.to_owned(), attempt)).collect();
        let lives = |name: &str| running.iter().any(|(listed, _)| listed == name);
        let starting = self.pending(|a| matches!(a, Action::StartContainer { .. }));
        let pod = self.pod;
        let sidecars: Vec<&str> = pod
            .spec
            .init_containers
            .iter()
            .filter(|c| is_sidecar(c))
            .map(|c| c.name.as_str())
            .collect();
        let others = running.iter().any(|(name, _)| !sidecars.contains(&name.as_str()));
        for (name, attempt) in &running {
            let position = sidecars.iter().position(|sidecar| sidecar == name);
            let waits = position.is_some_and(|at| {
                others || starting || sidecars[at + 1..].iter().any(|later| lives(later))
            });
            if !waits {
                self.tell(name, *attempt, cause, grace_ms);
            }
        }
        running.is_empty() && !starting
    }

    /// Notes that an attempt is to end. A later reason can only make the deadline earlier.
    pub(super) fn tell(&mut self, name: &str, attempt: u32, cause: StopCause, grace_ms: Millis) {
        let now = self.now;
        let deadline = now.saturating_add(grace_ms);
        let memory = self.memory_of(name);
        match &mut memory.stop {
            Some(stop) if stop.attempt == attempt => {
                stop.deadline = stop.deadline.min(deadline);
                if matches!(cause, StopCause::Deleted | StopCause::PodFailed) {
                    stop.cause = cause;
                }
            }
            _ => {
                memory.stop = Some(Stop {
                    attempt,
                    cause,
                    decided_at: now,
                    deadline,
                    signalled_at: None,
                    killed_at: None,
                    error: None,
                    failed_at: None,
                    retry_at: now,
                });
            }
        }
    }
}

/// Sends what is due to every attempt that is to end.
pub(super) fn signal(turn: &mut Turn<'_>) {
    let running: Vec<(String, u32)> =
        turn.running().map(|(name, attempt)| (name.to_owned(), attempt)).collect();
    for (container, attempt) in running {
        let Some(memory) = turn.memory.containers.get(&container) else { continue };
        if memory.attempt.is_some_and(|latest| attempt < latest) {
            // Two attempts at once: the older one has no right to live.
            turn.act(Action::KillContainer { container, attempt });
            continue;
        }
        let Some(stop) = memory.stop.clone().filter(|stop| stop.attempt == attempt) else {
            continue;
        };
        due(turn, container, &stop);
    }
}

fn due(turn: &mut Turn<'_>, container: String, stop: &Stop) {
    let (now, attempt) = (turn.now, stop.attempt);
    let from = |told: Millis| stop.deadline.max(told.saturating_add(MIN_KILL_MS));
    let kill_at = match (stop.killed_at, stop.signalled_at) {
        (Some(killed), _) => killed.saturating_add(KILL_AGAIN_MS),
        (None, Some(told)) => from(told),
        (None, None) => match stop.failed_at {
            Some(failed) => from(failed),
            None => from(stop.decided_at).saturating_add(UNKNOWN_SIGNAL_MS),
        },
    };
    if now < kill_at {
        turn.wake(kill_at);
        if stop.signalled_at.is_some() || stop.killed_at.is_some() {
            return;
        }
    }
    if now < stop.retry_at {
        turn.wake(stop.retry_at);
        return;
    }
    turn.act(if now < kill_at {
        Action::StopContainer { container, attempt }
    } else {
        Action::KillContainer { container, attempt }
    });
}
