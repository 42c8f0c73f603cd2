//! What a listing shows, written into the memory: adoption, exits, losses.
//!
//! An exit is recorded exactly once, by attempt. An attempt that was listed as running and is gone
//! without an exit counts as ended with an unknown status; while the sandbox is broken a listing is
//! not believed to be complete.

use super::Turn;
use crate::memory::{ContainerMemory, Stop, Termination};
use crate::state::{ContainerObserved, ExitInfo, Millis, SandboxState};

pub(super) fn observe(turn: &mut Turn<'_>) {
    turn.memory.started_at.get_or_insert(turn.now);
    sandbox(turn);
    let seen = turn.seen;
    let generation = turn.memory.sandbox.generation;
    let (now, reset_ms) = (turn.now, turn.policy.reset_ms);
    for ((name, attempt), state) in &seen.containers {
        let memory = turn.memory_of(name);
        if memory.attempt.is_none_or(|latest| *attempt > latest) {
            adopt(memory, *attempt);
        }
        if memory.attempt != Some(*attempt) {
            continue;
        }
        match state {
            ContainerObserved::Running { started_at, .. } => {
                memory.running_since = Some(*started_at);
                memory.problem = None;
            }
            ContainerObserved::Exited(exit) => {
                if memory.last.as_ref().is_none_or(|last| last.attempt != *attempt) {
                    ended(memory, termination(exit, *attempt, generation), reset_ms);
                }
            }
        }
    }
    if !matches!(seen.sandbox, SandboxState::Broken { .. }) {
        lost(turn, now);
    }
    // Also after a loss of the memory: init containers never run beside a main container.
    if turn.pod.spec.containers.iter().any(|c| turn.lives(&c.name)) {
        turn.memory.initialized = true;
    }
    forget(turn);
}

fn sandbox(turn: &mut Turn<'_>) {
    let memory = &mut turn.memory.sandbox;
    match turn.seen.sandbox {
        SandboxState::Ready { .. } => {
            if !memory.seen {
                memory.problem = None;
            }
            memory.seen = true;
        }
        SandboxState::Absent if memory.seen => {
            memory.seen = false;
            memory.problem = None;
            memory.generation += 1;
            // A finished pod keeps what it has reached.
            if turn.memory.terminal.is_none() {
                turn.memory.initialized = false;
            }
        }
        SandboxState::Absent | SandboxState::Broken { .. } => {}
    }
}

/// An attempt the memory did not know becomes the current one.
fn adopt(memory: &mut ContainerMemory, attempt: u32) {
    memory.attempt = Some(attempt);
    memory.running_since = None;
    memory.stop = None;
    memory.probes.clear();
}

fn termination(exit: &ExitInfo, attempt: u32, generation: u32) -> Termination {
    let reason = match exit.code {
        0 => "Completed",
        _ if exit.oom_killed => "OOMKilled",
        _ => "Error",
    };
    Termination {
        attempt,
        code: exit.code,
        signal: exit.signal,
        reason: reason.to_owned(),
        message: exit.message.clone(),
        started_at: exit.started_at,
        finished_at: exit.finished_at,
        generation,
        cause: None,
    }
}

/// The current attempt has ended.
pub(super) fn ended(memory: &mut ContainerMemory, mut end: Termination, reset_ms: Millis) {
    let stop: Option<Stop> = memory.stop.take().filter(|stop| stop.attempt == end.attempt);
    end.cause = stop.map(|stop| stop.cause);
    let run_ms = end.finished_at.saturating_sub(end.started_at);
    memory.crashes = match end.cause {
        // A new definition starts with a clean slate.
        Some(crate::memory::StopCause::Replaced) => 0,
        _ if run_ms > reset_ms => 1,
        _ => memory.crashes.saturating_add(1),
    };
    memory.attempt = Some(end.attempt);
    memory.running_since = None;
    memory.problem = None;
    memory.probes.clear();
    memory.last = Some(end);
}

fn lost(turn: &mut Turn<'_>, now: Millis) {
    let seen = turn.seen;
    let absent = seen.sandbox == SandboxState::Absent;
    // The loss of the sandbox has been counted by now; what was in it ran in the one before.
    let generation = turn.memory.sandbox.generation.saturating_sub(u32::from(absent));
    let reset_ms = turn.policy.reset_ms;
    for (name, memory) in &mut turn.memory.containers {
        let (Some(started_at), Some(attempt)) = (memory.running_since, memory.attempt) else {
            continue;
        };
        if seen.containers.contains_key(&(name.clone(), attempt)) {
            continue;
        }
        let end = Termination {
            attempt,
            code: 137,
            signal: None,
            reason: "ContainerStatusUnknown".to_owned(),
            message: Some("the container is gone and left no exit status".to_owned()),
            started_at,
            finished_at: now,
            generation,
            cause: None,
        };
        ended(memory, end, reset_ms);
    }
}

/// Drops the memory of containers that are neither wanted nor listed.
fn forget(turn: &mut Turn<'_>) {
    let (pod, seen) = (turn.pod, turn.seen);
    turn.memory.containers.retain(|name, _| {
        pod.spec.container(name).is_some() || seen.containers.keys().any(|(n, _)| n == name)
    });
}
