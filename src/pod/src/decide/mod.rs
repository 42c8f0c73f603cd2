//! The decision about one pod: level-triggered, from a fresh listing and a durable memory.
//!
//! Order of a turn: (1) `observe` writes what the listing shows into the memory; (2) the pod's own
//! end is decided (deletion, deadline, all done); (3) exactly one of tear down, make a sandbox, or
//! run; (4) `stop` signals and kills; (5) ended attempts are removed; (6) `probe`; (7) status.
//!
//! Invariants, which the simulation checks: an action in flight is never handed out again; an
//! attempt is started only when no other attempt of its container may live; nothing is started for
//! a pod that is deleted or finished; an exit is in the memory before its record is removed.

mod absorb;
mod observe;
mod probe;
mod run;
mod stop;

pub use absorb::{absorb, request_delete};

pub(crate) use probe::started_and_ready;

use crate::backoff::BackoffPolicy;
use crate::manifest::{Container, Pod, RestartPolicy};
use crate::memory::{ContainerMemory, PodFailure, PodMemory, StopCause, Terminal, Termination};
use crate::state::{Action, ContainerObserved, Millis, PodObserved, SandboxState};
use crate::status::{self, PodStatusCore};

/// What to do about a pod now, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDecision {
    /// To be done, all at once; none of them is in flight.
    pub actions: Vec<Action>,
    /// How the pod is.
    pub status: PodStatusCore,
    /// When to decide again though nothing happens.
    pub wake_at: Option<Millis>,
    /// The pod was deleted and nothing is left of it: forget it.
    pub finished: bool,
}

/// Decides with the default back-off. See [`decide_pod_with`].
pub fn decide_pod(
    pod: &Pod,
    seen: &PodObserved,
    memory: &mut PodMemory,
    now: Millis,
) -> PodDecision {
    decide_pod_with(pod, seen, memory, now, &BackoffPolicy::default())
}

/// Decides what to do about a pod. `memory` must be durable before the first action is done.
/// `host` is the host's back-off, which the pod's annotations may change.
pub fn decide_pod_with(
    pod: &Pod,
    seen: &PodObserved,
    memory: &mut PodMemory,
    now: Millis,
    host: &BackoffPolicy,
) -> PodDecision {
    let policy = host.for_pod(&pod.metadata);
    let mut turn = Turn { pod, seen, memory, now, policy, actions: Vec::new(), wake: None };
    observe::observe(&mut turn);
    turn.deadline();
    let finished = turn.direct();
    stop::signal(&mut turn);
    turn.remove_ended();
    probe::probe(&mut turn);
    let Turn { actions, wake, .. } = turn;
    let status = status::status(pod, seen, memory, now, &policy);
    PodDecision { actions, status, wake_at: wake.map(|at| at.max(now)), finished }
}

/// State of one decision.
pub(crate) struct Turn<'t> {
    pub(crate) pod: &'t Pod,
    pub(crate) seen: &'t PodObserved,
    pub(crate) memory: &'t mut PodMemory,
    pub(crate) now: Millis,
    pub(crate) policy: BackoffPolicy,
    actions: Vec<Action>,
    wake: Option<Millis>,
}

/// Is it an init container that stays?
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy == Some(RestartPolicy::Always)
}

/// Restart policy of a main container.
pub(crate) fn main_policy(pod: &Pod, container: &Container) -> RestartPolicy {
    container.restart_policy.unwrap_or(pod.spec.restart_policy())
}

/// Restart policy of an init container that is no sidecar: Always means until it succeeds.
pub(crate) fn init_policy(pod: &Pod, container: &Container) -> RestartPolicy {
    match main_policy(pod, container) {
        RestartPolicy::Always => RestartPolicy::OnFailure,
        other => other,
    }
}

/// Is an ended attempt followed by another? (api/v1/pod/util.go; probe kills use policy only.)
pub(crate) fn restarts(policy: RestartPolicy, last: &Termination) -> bool {
    match last.cause {
        Some(StopCause::Replaced) => true,
        Some(StopCause::Probe(_)) => policy != RestartPolicy::Never,
        _ => match policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => last.code != 0,
            RestartPolicy::Never => false,
        },
    }
}

/// How a main container stands with respect to the end of the pod.
pub(crate) fn main_end<'m>(
    pod: &Pod,
    container: &Container,
    memory: &'m PodMemory,
) -> Option<&'m Termination> {
    let memory = memory.containers.get(&container.name)?;
    let last = memory.last.as_ref().filter(|_| memory.running_since.is_none())?;
    (!restarts(main_policy(pod, container), last)).then_some(last)
}

/// The init container that failed for good, if any.
pub(crate) fn init_failure<'p>(pod: &'p Pod, memory: &PodMemory) -> Option<&'p Container> {
    if memory.initialized {
        return None;
    }
    pod.spec.init_containers.iter().filter(|c| !is_sidecar(c)).find(|container| {
        memory.containers.get(&container.name).is_some_and(|m| {
            m.running_since.is_none()
                && m.last.as_ref().is_some_and(|last| {
                    last.code != 0 && !restarts(init_policy(pod, container), last)
                })
        })
    })
}

impl Turn<'_> {
    /// Hands an action out unless it is in flight; says whether it did.
    pub(crate) fn act(&mut self, action: Action) -> bool {
        if self.seen.in_flight.contains(&action) || self.actions.contains(&action) {
            return false;
        }
        self.actions.push(action);
        true
    }

    /// Asks for a decision at a time.
    pub(crate) fn wake(&mut self, at: Millis) {
        self.wake = Some(self.wake.map_or(at, |before| before.min(at)));
    }

    /// Is an action in flight or handed out in this turn that the test accepts?
    pub(crate) fn pending(&self, test: impl Fn(&Action) -> bool) -> bool {
        self.seen.in_flight.iter().chain(&self.actions).any(test)
    }

    pub(crate) fn memory_of(&mut self, name: &str) -> &mut ContainerMemory {
        self.memory.containers.entry(name.to_owned()).or_default()
    }

    /// Does any attempt of the container live, as listed?
    pub(crate) fn lives(&self, name: &str) -> bool {
        self.running().any(|(listed, _)| listed == name)
    }

    /// Living attempts, as listed.
    pub(crate) fn running(&self) -> impl Iterator<Item = (&str, u32)> {
        self.seen
            .containers
            .iter()
            .filter(|(_, seen)| matches!(seen, ContainerObserved::Running { .. }))
            .map(|((name, attempt), _)| (name.as_str(), *attempt))
    }

    /// The pod's own deadline.
    fn deadline(&mut self) {
        let Some(seconds) = self.pod.spec.active_deadline_seconds else { return };
        if self.memory.failure.is_some() || self.memory.terminal.is_some() {
            return;
        }
        let start = self.memory.started_at.unwrap_or(self.now);
        let at = start.saturating_add(seconds.saturating_mul(1000));
        if self.now < at {
            self.wake(at);
            return;
        }
        self.memory.failure = Some(PodFailure {
            reason: "DeadlineExceeded".to_owned(),
            message: format!("the pod was active for longer than {seconds} s"),
            at: self.now,
        });
    }

    /// Chooses between the ways a pod can go; true when it is deleted and nothing is left.
    fn direct(&mut self) -> bool {
        if self.memory.is_deleting() {
            let grace = self.deletion_grace();
            return self.tear_down(StopCause::Deleted, grace);
        }
        if self.memory.terminal.is_none() {
            self.end_of_containers();
        }
        if self.memory.terminal.is_some() {
            let grace = self.pod.spec.grace_ms();
            self.tear_down(StopCause::PodFailed, grace);
            return false;
        }
        let ending = self.memory.failure.is_some() || init_failure(self.pod, self.memory).is_some();
        if ending {
            self.stop_in_order(StopCause::PodFailed, self.pod.spec.grace_ms());
            return false;
        }
        match &self.seen.sandbox {
            SandboxState::Ready { .. } => run::run(self),
            SandboxState::Absent => self.create_sandbox(),
            SandboxState::Broken { .. } => {
                if self.stop_in_order(StopCause::SandboxBroken, self.pod.spec.grace_ms()) {
                    self.remove_sandbox();
                }
            }
        }
        false
    }

    /// Grace left from now to the deletion's deadline, which is fixed at the first decision.
    fn deletion_grace(&mut self) -> Millis {
        let own = self.pod.spec.grace_ms();
        let Some(deletion) = &mut self.memory.deletion else { return own };
        let deadline = *deletion.deadline.get_or_insert(deletion.requested_at.saturating_add(own));
        deadline.saturating_sub(self.now)
    }

    /// Enters the final phase when nothing runs and nothing will be started again.
    fn end_of_containers(&mut self) {
        let starting = self.pending(|a| matches!(a, Action::StartContainer { .. }));
        if self.running().next().is_some() || starting {
            return;
        }
        // With a broken sandbox the listing may not show what lives.
        let lives = self.memory.containers.values().any(|m| m.running_since.is_some());
        if lives {
            return;
        }
        if self.memory.failure.is_some() || init_failure(self.pod, self.memory).is_some() {
            self.memory.terminal = Some(Terminal::Failed);
            return;
        }
        let mains = &self.pod.spec.containers;
        let ends: Vec<_> = mains.iter().map_while(|c| main_end(self.pod, c, self.memory)).collect();
        if !ends.is_empty() && ends.len() == mains.len() {
            let failed = ends.iter().any(|end| end.code != 0);
            self.memory.terminal =
                Some(if failed { Terminal::Failed } else { Terminal::Succeeded });
        }
    }

    /// Stops everything, then removes containers and sandbox; true when nothing is left.
    fn tear_down(&mut self, cause: StopCause, grace_ms: Millis) -> bool {
        if !self.stop_in_order(cause, grace_ms) || !self.seen.containers.is_empty() {
            return false;
        }
        if self.seen.sandbox != SandboxState::Absent {
            self.remove_sandbox();
            return false;
        }
        self.seen.in_flight.is_empty()
    }

    fn create_sandbox(&mut self) {
        if let Some(problem) = &self.memory.sandbox.problem {
            let at = problem.failed_at.saturating_add(self.policy.retry_ms(problem.failures));
            if self.now < at {
                self.wake(at);
                return;
            }
        }
        if !self.pending(|a| matches!(a, Action::RemoveSandbox)) {
            self.act(Action::CreateSandbox);
        }
    }

    fn remove_sandbox(&mut self) {
        if let Some(problem) = &self.memory.sandbox.problem
            && problem.reason == crate::state::Reason::KillPodSandboxError
        {
            let at = problem.failed_at.saturating_add(REMOVE_RETRY_MS);
            if self.now < at {
                self.wake(at);
                return;
            }
        }
        // Anything in flight could put something into the sandbox that is being removed.
        let busy = |a: &Action| matches!(a, Action::CreateSandbox | Action::StartContainer { .. });
        if !self.pending(busy) {
            self.act(Action::RemoveSandbox);
        }
    }

    /// Removes ended attempts whose end is in the memory.
    fn remove_ended(&mut self) {
        let seen = self.seen;
        for ((name, attempt), state) in &seen.containers {
            if !matches!(state, ContainerObserved::Exited(_)) {
                continue;
            }
            let at = self.memory.containers.get(name).map_or(0, |m| m.remove_at);
            if self.now < at {
                self.wake(at);
                continue;
            }
            let (container, attempt) = (name.clone(), *attempt);
            let same = Some((name.as_str(), attempt));
            if !self.pending(|a| a.target() == same && !matches!(a, Action::Probe { .. })) {
                self.act(Action::RemoveContainer { container, attempt });
            }
        }
    }
}

/// Wait before a failed removal is tried again, in milliseconds.
pub(crate) const REMOVE_RETRY_MS: Millis = 5_000;

#[cfg(test)]
mod tests;
