//! Outcomes of actions, and requests of people, into the memory.
//!
//! What succeeded is shown by the next listing, so `Ok` changes little here. An outcome about an
//! attempt that is not the current one came too late and is dropped.

use super::REMOVE_RETRY_MS;
use super::observe::ended;
use crate::memory::{Deletion, PodMemory, Problem, Termination};
use crate::state::{Action, Millis, Outcome, ProbeKind, Reason};

/// Takes the outcome of an action in. Safe to be called with an outcome that comes late or twice.
pub fn absorb(memory: &mut PodMemory, action: &Action, outcome: &Outcome, now: Millis) {
    match action {
        Action::CreateSandbox | Action::RemoveSandbox => sandbox(memory, outcome, now),
        Action::StartContainer { container, attempt } => {
            started(memory, container, *attempt, outcome, now);
        }
        Action::StopContainer { container, attempt }
        | Action::KillContainer { container, attempt } => {
            let Some(stop) = memory.containers.get_mut(container).and_then(|m| m.stop.as_mut())
            else {
                return;
            };
            if stop.attempt != *attempt {
                return;
            }
            match outcome {
                Outcome::Failed { message, .. } => {
                    stop.error = Some(message.clone());
                    stop.failed_at.get_or_insert(now);
                    stop.retry_at = now.saturating_add(STOP_RETRY_MS);
                }
                _ if matches!(action, Action::StopContainer { .. }) => {
                    stop.signalled_at.get_or_insert(now);
                }
                _ => stop.killed_at = Some(now),
            }
        }
        Action::RemoveContainer { container, .. } => {
            if let (Outcome::Failed { .. }, Some(memory)) =
                (outcome, memory.containers.get_mut(container))
            {
                memory.remove_at = now.saturating_add(REMOVE_RETRY_MS);
            }
        }
        Action::Probe { container, attempt, kind } => {
            probed(memory, (container, *attempt, *kind), outcome);
        }
    }
}

/// Wait before a failed signal or kill is tried again, in milliseconds.
const STOP_RETRY_MS: Millis = 1_000;

fn problem(before: Option<&Problem>, outcome: &Outcome, now: Millis) -> Option<Problem> {
    let Outcome::Failed { reason, message } = outcome else { return None };
    let failures = before.map_or(0, |p| p.failures).saturating_add(1);
    Some(Problem { reason: *reason, message: message.clone(), failures, failed_at: now })
}

fn sandbox(memory: &mut PodMemory, outcome: &Outcome, now: Millis) {
    memory.sandbox.problem = problem(memory.sandbox.problem.as_ref(), outcome, now);
}

fn started(memory: &mut PodMemory, name: &str, attempt: u32, outcome: &Outcome, now: Millis) {
    let generation = memory.sandbox.generation;
    let memory = memory.containers.entry(name.to_owned()).or_default();
    if memory.attempt.is_some_and(|latest| attempt <= latest) {
        return;
    }
    match outcome {
        Outcome::Failed { reason, message } if reason.is_attempt() => {
            // It was made and could not be started: an ended attempt with exit code 128.
            let end = Termination {
                attempt,
                code: 128,
                signal: None,
                reason: Reason::StartError.as_str().to_owned(),
                message: Some(message.clone()),
                started_at: now,
                finished_at: now,
                generation,
                cause: None,
            };
            ended(memory, end, Millis::MAX);
        }
        _ => memory.problem = problem(memory.problem.as_ref(), outcome, now),
    }
}

fn probed(memory: &mut PodMemory, of: (&str, u32, ProbeKind), outcome: &Outcome) {
    let (name, attempt, kind) = of;
    let Some(memory) = memory.containers.get_mut(name) else { return };
    if memory.attempt != Some(attempt) || memory.running_since.is_none() {
        return;
    }
    let Some(probe) = memory.probes.get_mut(&kind) else { return };
    let (success, message) = match outcome {
        Outcome::Probe { success, message } => (*success, message),
        // The probe itself could not be made: unknown, which changes nothing (kubelet prober).
        Outcome::Ok | Outcome::Failed { .. } => return,
    };
    if probe.last == Some(success) {
        probe.run = probe.run.saturating_add(1);
    } else {
        probe.last = Some(success);
        probe.run = 1;
    }
    if !success {
        probe.message = Some(message.clone());
    }
    let threshold = if success { probe.success_threshold } else { probe.failure_threshold };
    if probe.run >= threshold {
        probe.result = Some(success);
    }
}

/// A person, or a Deployment, wants the pod gone. `grace_ms` replaces the pod's own grace; a later
/// request can only shorten what is left.
pub fn request_delete(memory: &mut PodMemory, grace_ms: Option<u64>, now: Millis) {
    let wanted = grace_ms.map(|grace| now.saturating_add(grace));
    match &mut memory.deletion {
        None => memory.deletion = Some(Deletion { requested_at: now, deadline: wanted }),
        Some(deletion) => {
            if let Some(wanted) = wanted {
                let before = deletion.deadline.unwrap_or(Millis::MAX);
                deletion.deadline = Some(before.min(wanted));
            }
        }
    }
}
