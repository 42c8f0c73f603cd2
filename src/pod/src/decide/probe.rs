//! When a probe is due, and what a failed one leads to.
//!
//! Source: kubelet/prober/worker.go. Startup gates the others and stops after its success; a
//! container that is to end is asked for readiness only. The next attempt is counted from the
//! moment an attempt is handed out, and never overlaps with it.

use super::{Turn, is_sidecar};
use crate::manifest::{Container, Probe};
use crate::memory::{ContainerMemory, StopCause};
use crate::state::{Action, ProbeKind};

/// Spec of a probe.
pub(crate) fn spec(container: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
    }
}

fn result(memory: &ContainerMemory, kind: ProbeKind) -> Option<bool> {
    memory.probes.get(&kind).and_then(|probe| probe.result)
}

/// Does it run, its startup probe (if any) behind it?
pub(crate) fn started(container: &Container, memory: &ContainerMemory) -> bool {
    memory.running_since.is_some()
        && (container.startup_probe.is_none() || result(memory, ProbeKind::Startup) == Some(true))
}

/// `started`, and whether it is ready for traffic.
pub(crate) fn started_and_ready(container: &Container, memory: &ContainerMemory) -> (bool, bool) {
    let started = started(container, memory);
    let probed =
        container.readiness_probe.is_none() || result(memory, ProbeKind::Readiness) == Some(true);
    (started, started && probed)
}

pub(super) fn probe(turn: &mut Turn<'_>) {
    let pod = turn.pod;
    let inits = pod.spec.init_containers.iter().filter(|c| is_sidecar(c));
    for container in inits.chain(&pod.spec.containers) {
        let Some(memory) = turn.memory.containers.get(&container.name) else { continue };
        let (Some(since), Some(attempt)) = (memory.running_since, memory.attempt) else { continue };
        if !turn.running().any(|listed| listed == (container.name.as_str(), attempt)) {
            continue;
        }
        let ending = memory.stop.is_some() || turn.memory.is_deleting();
        let gated = !started(container, memory);
        for kind in ProbeKind::ALL {
            let asked = match kind {
                ProbeKind::Startup => gated && !ending,
                ProbeKind::Liveness => !gated && !ending,
                ProbeKind::Readiness => !gated,
            };
            if let (true, Some(probe)) = (asked, spec(container, kind)) {
                ask(turn, (container, attempt, kind), probe, since);
            }
        }
    }
}

fn ask(turn: &mut Turn<'_>, of: (&Container, u32, ProbeKind), probe: &Probe, since: crate::Millis) {
    let (container, attempt, kind) = of;
    let now = turn.now;
    let first = since.saturating_add(probe.initial_delay_ms());
    let memory = turn.memory_of(&container.name).probes.entry(kind).or_default();
    if kind != ProbeKind::Readiness && memory.result == Some(false) {
        let own = probe.termination_grace_period_seconds.map(|s| s.saturating_mul(1000));
        let grace = own.unwrap_or(turn.pod.spec.grace_ms());
        turn.tell(&container.name, attempt, StopCause::Probe(kind), grace);
        // The signal goes out in this turn already.
        turn.act(Action::StopContainer { container: container.name.clone(), attempt });
        turn.wake(now.saturating_add(grace.max(crate::MIN_KILL_MS)));
        return;
    }
    let at = memory.next_at.max(first);
    let action = Action::Probe { container: container.name.clone(), attempt, kind };
    if now < at {
        turn.wake(at);
    } else if turn.act(action) {
        let memory = turn.memory_of(&container.name).probes.entry(kind).or_default();
        memory.next_at = now.saturating_add(probe.period_ms());
        memory.success_threshold = probe.success_threshold();
        memory.failure_threshold = probe.failure_threshold();
        let at = memory.next_at;
        turn.wake(at);
    }
}
