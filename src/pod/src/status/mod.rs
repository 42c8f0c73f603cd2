//! How a pod is: phase, conditions and container states, as data with times since boot.
//!
//! Source: kubelet/kubelet_pods.go getPhase and convertStatusToAPIStatus, and
//! kubelet/status/generate.go.
//! Computed from spec, listing and memory; the memory keeps only since when conditions hold.

mod kube;

pub use kube::{StatusFacts, pod_status_json, rfc3339};

use crate::backoff::BackoffPolicy;
use crate::decide::{is_sidecar, main_end, restarts, started_and_ready};
use crate::manifest::{Container, Pod};
use crate::memory::{ConditionMemory, ContainerMemory, PodMemory, Terminal, Termination};
use crate::resources::{self, QosClass};
use crate::state::{Action, Millis, PodObserved, Reason, SandboxState};
use serde::{Deserialize, Serialize};

/// Phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Not all containers have been started once.
    Pending,
    /// At least one runs, or will run again.
    Running,
    /// All ended with 0 for good.
    Succeeded,
    /// All ended for good, at least one with a failure.
    Failed,
}

impl Phase {
    /// The phase as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }

    /// Is it final?
    pub fn is_final(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// As in `Ready`.
    pub kind: String,
    /// Its value.
    pub value: bool,
    /// Since when.
    pub since: Millis,
    /// Why it is false.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
}

/// State of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// It is to run and does not yet.
    Waiting {
        /// As in `CrashLoopBackOff`.
        reason: String,
        /// In words.
        message: Option<String>,
    },
    /// It runs.
    Running {
        /// Since when.
        started_at: Millis,
    },
    /// It has ended.
    Terminated(Termination),
}

/// Status of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Name.
    pub name: String,
    /// Image as in the spec.
    pub image: String,
    /// State.
    pub state: ContainerState,
    /// How the attempt before ended.
    pub last_state: Option<Termination>,
    /// Ready for traffic; of a plain init container: done.
    pub ready: bool,
    /// Runs, its startup probe behind it.
    pub started: bool,
    /// Number of the latest attempt.
    pub restart_count: u32,
    /// The latest attempt, when there was one; part of the container's id.
    pub attempt: Option<u32>,
}

/// Status of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatusCore {
    /// Phase.
    pub phase: Phase,
    /// As in `DeadlineExceeded`.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// First decision about the pod.
    pub started_at: Option<Millis>,
    /// Conditions in the order of Kubernetes.
    pub conditions: Vec<Condition>,
    /// Of `initContainers`, in spec order.
    pub init_containers: Vec<ContainerStatus>,
    /// Of `containers`, in spec order.
    pub containers: Vec<ContainerStatus>,
    /// Quality of service.
    pub qos: QosClass,
}

impl PodStatusCore {
    /// Is the pod ready for traffic?
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.value)
    }

    /// Since when it is ready.
    pub fn ready_since(&self) -> Option<Millis> {
        self.condition("Ready").filter(|c| c.value).map(|c| c.since)
    }

    /// Sum of the restarts of the main containers.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().map(|c| c.restart_count).sum()
    }

    /// A condition by name.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// What a status is computed from.
struct View<'v> {
    pod: &'v Pod,
    seen: &'v PodObserved,
    memory: &'v PodMemory,
    now: Millis,
    policy: &'v BackoffPolicy,
}

/// Computes the status; notes in the memory when conditions turn.
pub(crate) fn status(
    pod: &Pod,
    seen: &PodObserved,
    memory: &mut PodMemory,
    now: Millis,
    policy: &BackoffPolicy,
) -> PodStatusCore {
    let view = View { pod, seen, memory, now, policy };
    let init_containers: Vec<ContainerStatus> =
        pod.spec.init_containers.iter().map(|c| view.container(c, true)).collect();
    let containers: Vec<ContainerStatus> =
        pod.spec.containers.iter().map(|c| view.container(c, false)).collect();
    let phase = view.phase(&containers);
    let found = view.conditions(&init_containers, &containers);
    let failure = memory.failure.clone();
    let conditions = found.into_iter().map(|c| turned(memory, c, now)).collect();
    PodStatusCore {
        phase,
        reason: failure.as_ref().map(|failure| failure.reason.clone()),
        message: failure.map(|failure| failure.message),
        started_at: memory.started_at,
        conditions,
        init_containers,
        containers,
        qos: resources::qos_class(&pod.spec),
    }
}

/// Since when a condition has its value.
fn turned(memory: &mut PodMemory, mut condition: Condition, now: Millis) -> Condition {
    let fresh = ConditionMemory { value: condition.value, since: now };
    let known = memory.conditions.entry(condition.kind.clone()).or_insert(fresh);
    if known.value != condition.value {
        *known = fresh;
    }
    condition.since = known.since;
    condition
}

impl View<'_> {
    fn container(&self, container: &Container, init: bool) -> ContainerStatus {
        let nothing = ContainerMemory::default();
        let memory = self.memory.containers.get(&container.name).unwrap_or(&nothing);
        let plain_init = init && !is_sidecar(container);
        let (started, ready) = started_and_ready(container, memory);
        let state = self.state(container, memory, plain_init, init);
        let last_state = match &state {
            ContainerState::Terminated(_) => None,
            _ => memory.last.clone(),
        };
        let done = matches!(&state, ContainerState::Terminated(end) if end.code == 0);
        ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone(),
            state,
            last_state,
            ready: if plain_init { done } else { ready },
            started,
            restart_count: memory.attempt.unwrap_or(0),
            attempt: memory.attempt,
        }
    }

    fn state(
        &self,
        container: &Container,
        memory: &ContainerMemory,
        plain_init: bool,
        init: bool,
    ) -> ContainerState {
        if let Some(started_at) = memory.running_since {
            return ContainerState::Running { started_at };
        }
        let waiting = |reason: &str, message: Option<String>| ContainerState::Waiting {
            reason: reason.to_owned(),
            message,
        };
        if let Some(last) = &memory.last {
            let over = self.pod_over() || !self.again(container, last, plain_init, init);
            if over {
                return ContainerState::Terminated(last.clone());
            }
        }
        if let Some(problem) = &memory.problem {
            let reason = match problem.reason {
                Reason::ErrImagePull if problem.failures > 1 => "ImagePullBackOff",
                other => other.as_str(),
            };
            return waiting(reason, Some(problem.message.clone()));
        }
        if let Some(last) = &memory.last {
            let delay = self.policy.delay_ms(memory.crashes);
            if self.now < last.finished_at.saturating_add(delay) {
                return waiting("CrashLoopBackOff", Some(crash_message(container, last, delay)));
            }
            if self.starting(container) || !self.sandbox_ready() {
                return waiting("ContainerCreating", None);
            }
            return ContainerState::Terminated(last.clone());
        }
        if let Some(problem) = &self.memory.sandbox.problem {
            return waiting(problem.reason.as_str(), Some(problem.message.clone()));
        }
        if self.memory.initialized || self.pod.spec.init_containers.is_empty() {
            return waiting("ContainerCreating", None);
        }
        if init && (self.starting(container) || !self.sandbox_ready()) {
            return waiting("ContainerCreating", None);
        }
        waiting("PodInitializing", None)
    }

    fn sandbox_ready(&self) -> bool {
        matches!(self.seen.sandbox, SandboxState::Ready { .. })
    }

    fn starting(&self, container: &Container) -> bool {
        self.seen.in_flight.iter().any(|action| match action {
            Action::StartContainer { container: name, .. } => *name == container.name,
            _ => false,
        })
    }

    fn pod_over(&self) -> bool {
        self.memory.is_deleting()
            || self.memory.terminal.is_some()
            || self.memory.failure.is_some()
            || crate::decide::init_failure(self.pod, self.memory).is_some()
    }

    /// Will an ended container be started again?
    fn again(&self, container: &Container, last: &Termination, plain: bool, init: bool) -> bool {
        if plain {
            let policy = crate::decide::init_policy(self.pod, container);
            let rerun = last.code == 0
                && !self.memory.initialized
                && last.generation != self.memory.sandbox.generation;
            rerun || (!self.memory.initialized && restarts(policy, last))
        } else if init {
            let mains = &self.pod.spec.containers;
            !mains.iter().all(|main| main_end(self.pod, main, self.memory).is_some())
        } else {
            main_end(self.pod, container, self.memory).is_none()
        }
    }

    fn phase(&self, containers: &[ContainerStatus]) -> Phase {
        match self.memory.terminal {
            Some(Terminal::Succeeded) => return Phase::Succeeded,
            Some(Terminal::Failed) => return Phase::Failed,
            None => {}
        }
        let never = |c: &ContainerStatus| {
            matches!(c.state, ContainerState::Waiting { .. }) && c.last_state.is_none()
        };
        if !self.memory.initialized && !self.ran_before(containers) || containers.iter().any(never)
        {
            Phase::Pending
        } else {
            Phase::Running
        }
    }

    /// Main containers ran in an earlier sandbox: the pod stays Running while init runs again.
    fn ran_before(&self, containers: &[ContainerStatus]) -> bool {
        containers.iter().all(|container| container.attempt.is_some())
    }

    fn conditions(&self, inits: &[ContainerStatus], mains: &[ContainerStatus]) -> Vec<Condition> {
        let of = |kind: &str, value: bool, why: Option<(&str, Option<String>)>| Condition {
            kind: kind.to_owned(),
            value,
            since: 0,
            reason: why.as_ref().filter(|_| !value).map(|(reason, _)| (*reason).to_owned()),
            message: why.filter(|_| !value).and_then(|(_, message)| message),
        };
        let unready = |list: &[ContainerStatus]| -> Vec<String> {
            list.iter().filter(|c| !c.ready).map(|c| c.name.clone()).collect()
        };
        let waiting: Vec<String> =
            if self.memory.initialized { Vec::new() } else { unready(inits) };
        let initialized = self.memory.initialized || self.pod.spec.init_containers.is_empty();
        let incomplete = format!("containers with incomplete status: [{}]", waiting.join(" "));
        let sidecars = self.pod.spec.init_containers.iter().zip(inits);
        let mut not_ready: Vec<String> = sidecars
            .filter(|(spec, status)| is_sidecar(spec) && !status.ready)
            .map(|(_, status)| status.name.clone())
            .collect();
        not_ready.extend(unready(mains));
        let why = match self.memory.terminal {
            Some(Terminal::Succeeded) => ("PodCompleted", None),
            Some(Terminal::Failed) => ("PodFailed", None),
            None => {
                let names = not_ready.join(" ");
                let message = format!("containers with unready status: [{names}]");
                ("ContainersNotReady", Some(message))
            }
        };
        let ready = not_ready.is_empty() && initialized && self.memory.terminal.is_none();
        vec![
            of("PodReadyToStartContainers", self.sandbox_ready(), None),
            of("Initialized", initialized, Some(("ContainersNotInitialized", Some(incomplete)))),
            of("Ready", ready, Some(why.clone())),
            of("ContainersReady", ready, Some(why)),
            of("PodScheduled", true, None),
        ]
    }
}

fn crash_message(container: &Container, last: &Termination, delay_ms: Millis) -> String {
    let seconds = delay_ms.div_ceil(1000);
    if last.code == 0 {
        format!(
            "back-off {seconds}s before {} runs again: it exited with 0, and its restart policy \
             starts it whatever the exit code (OnFailure or Never would let it complete)",
            container.name
        )
    } else {
        format!("back-off {seconds}s before failed container {} runs again", container.name)
    }
}
