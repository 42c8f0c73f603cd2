//! Bringing the containers of a living pod to where they are wanted.
//!
//! Source: kubelet/kuberuntime computePodActions. Init containers one by one; sidecars stay; main
//! containers in spec order, one start at a time; when no main container is left to keep or to
//! start, sidecars stop.

use super::{Turn, is_sidecar, main_end};
use crate::hash;
use crate::manifest::Container;
use crate::memory::StopCause;
use crate::state::Action;

pub(super) fn run(turn: &mut Turn<'_>) {
    strangers(turn);
    replaced(turn);
    if !turn.memory.initialized {
        if !initialize(turn) {
            return;
        }
        turn.memory.initialized = true;
    }
    let pod = turn.pod;
    let over = pod.spec.containers.iter().all(|c| main_end(pod, c, turn.memory).is_some());
    let alive = pod.spec.containers.iter().any(|c| turn.lives(&c.name));
    if over && !alive {
        turn.stop_in_order(StopCause::SidecarDone, pod.spec.grace_ms());
        return;
    }
    for sidecar in pod.spec.init_containers.iter().filter(|c| is_sidecar(c)) {
        start(turn, sidecar);
    }
    for main in &pod.spec.containers {
        if main_end(pod, main, turn.memory).is_some() {
            continue;
        }
        let mains = |name: &str| pod.spec.containers.iter().any(|c| c.name == name);
        let busy = turn.pending(|action| match action {
            Action::StartContainer { container, .. } => mains(container),
            _ => false,
        });
        if busy {
            break;
        }
        start(turn, main);
    }
}

/// One step of the init containers; true when all have done their work.
fn initialize(turn: &mut Turn<'_>) -> bool {
    let pod = turn.pod;
    for init in &pod.spec.init_containers {
        let memory = turn.memory_of(&init.name).clone();
        if is_sidecar(init) {
            if !turn.lives(&init.name) {
                start(turn, init);
                return false;
            }
            if !super::probe::started(init, &memory) {
                return false;
            }
            continue;
        }
        if turn.lives(&init.name) {
            return false;
        }
        let generation = turn.memory.sandbox.generation;
        let done = memory.last.as_ref().is_some_and(|last| {
            last.code == 0
                && last.generation == generation
                && !matches!(last.cause, Some(StopCause::Replaced))
        });
        if !done {
            start(turn, init);
            return false;
        }
    }
    true
}

/// Starts the next attempt of a container when it may.
fn start(turn: &mut Turn<'_>, container: &Container) {
    let name = container.name.as_str();
    // In flight, it may already live; the listing will tell.
    let busy = turn.pending(|a| match a {
        Action::StartContainer { container, .. } => container == name,
        _ => false,
    });
    if busy || turn.lives(name) {
        return;
    }
    let policy = turn.policy;
    let memory = turn.memory_of(name);
    let after_end = memory
        .last
        .as_ref()
        .map_or(0, |last| last.finished_at.saturating_add(policy.delay_ms(memory.crashes)));
    let after_problem = memory
        .problem
        .as_ref()
        .map_or(0, |p| p.failed_at.saturating_add(policy.retry_ms(p.failures)));
    let at = after_end.max(after_problem);
    if turn.now < at {
        turn.wake(at);
        return;
    }
    let attempt = turn.memory_of(name).attempt.map_or(0, |latest| latest.saturating_add(1));
    let action = Action::StartContainer { container: name.to_owned(), attempt };
    if turn.act(action) {
        turn.memory_of(name).definition = hash::container(container);
    }
}

/// Attempts of containers that the spec does not know are stopped.
fn strangers(turn: &mut Turn<'_>) {
    let pod = turn.pod;
    let strangers: Vec<(String, u32)> = turn
        .running()
        .filter(|(name, _)| pod.spec.container(name).is_none())
        .map(|(name, attempt)| (name.to_owned(), attempt))
        .collect();
    for (name, attempt) in strangers {
        turn.tell(&name, attempt, StopCause::Replaced, pod.spec.grace_ms());
    }
}

/// Attempts started from another definition are stopped, and so started anew.
fn replaced(turn: &mut Turn<'_>) {
    let pod = turn.pod;
    for container in pod.spec.all_containers() {
        let Some(memory) = turn.memory.containers.get_mut(&container.name) else { continue };
        let (Some(_), Some(attempt)) = (memory.running_since, memory.attempt) else { continue };
        let wanted = hash::container(container);
        if memory.definition == 0 {
            // Adopted without a memory: believed to be what is wanted.
            memory.definition = wanted;
        }
        if memory.definition != wanted && memory.stop.is_none() {
            turn.tell(&container.name, attempt, StopCause::Replaced, pod.spec.grace_ms());
        }
    }
}
