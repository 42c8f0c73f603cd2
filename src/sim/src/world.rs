//! The fake machine: one sandbox, its containers, and actions that take effect when they will.
//!
//! An action has two moments: its effect and its completion. Delays differ from action to action,
//! so both reorder. When the supervisor dies, effects under way happen or do not, and completions
//! reach nobody. Starting an attempt that exists changes nothing, as with a real monitor.

use crate::random::Random;
use crate::scenario::Scenario;
use pod::{Action, ContainerObserved, ExitInfo, Outcome, Reason, SandboxState};
use std::collections::BTreeMap;

/// Something that is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// An action takes effect; its completion follows.
    Effect(Action),
    /// The supervisor learns of a completion.
    Completion(Action, Outcome),
    /// A container ends.
    Exit(String, u32, i32),
    /// The sandbox breaks or vanishes.
    SandboxBreaks,
    /// The supervisor is started (again).
    Boot,
    /// The supervisor asked to be woken.
    Wake,
    /// A person deletes the pod.
    Delete,
}

/// The machine.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) sandbox: SandboxState,
    pub(crate) containers: BTreeMap<(String, u32), ContainerObserved>,
    /// By time and order of their making.
    pub(crate) queue: BTreeMap<(u64, u64), Event>,
    pub(crate) random: Random,
    serial: u64,
}

impl World {
    pub(crate) fn new(random: Random) -> World {
        World {
            now: 1_000,
            sandbox: SandboxState::Absent,
            containers: BTreeMap::new(),
            queue: BTreeMap::new(),
            random,
            serial: 0,
        }
    }

    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.serial += 1;
        self.queue.insert((time.max(self.now), self.serial), event);
    }

    pub(crate) fn after(&mut self, max_ms: u64, event: Event) {
        let delay = self.random.between(0, max_ms);
        self.at(self.now + delay, event);
    }

    /// The supervisor died: what was under way happens soon or never.
    pub(crate) fn supervisor_died(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        for ((time, _), event) in queue {
            match event {
                Event::Completion(..) | Event::Wake => {}
                Event::Effect(Action::Probe { .. }) => {}
                Event::Effect(action) => {
                    if self.random.chance(50) {
                        self.after(500, Event::Effect(action));
                    }
                }
                other => self.at(time, other),
            }
        }
    }

    /// An action takes effect. `attempts` says whether the caller may start it (it has checked).
    pub(crate) fn effect(&mut self, action: &Action, scenario: &Scenario) -> Outcome {
        let faulty = self.now < scenario.calm_at;
        let fails = faulty && self.random.chance(scenario.action_fails);
        match action {
            Action::CreateSandbox if fails => failed(Reason::CreatePodSandboxError),
            Action::CreateSandbox => match self.sandbox {
                SandboxState::Broken { .. } => failed(Reason::CreatePodSandboxError),
                _ => {
                    self.sandbox = SandboxState::Ready { ip: None };
                    if faulty && self.random.chance(scenario.sandbox_breaks) {
                        self.after(300_000, Event::SandboxBreaks);
                    }
                    Outcome::Ok
                }
            },
            Action::RemoveSandbox if fails => failed(Reason::KillPodSandboxError),
            Action::RemoveSandbox => {
                self.sandbox = SandboxState::Absent;
                self.containers.clear();
                Outcome::Ok
            }
            Action::StartContainer { container, attempt } => {
                self.start((container, *attempt), scenario, fails)
            }
            Action::StopContainer { .. } | Action::KillContainer { .. } if fails => {
                failed(Reason::KillContainerError)
            }
            Action::StopContainer { container, attempt } => {
                if !self.random.chance(scenario.ignores_signal) {
                    self.after(15_000, Event::Exit(container.clone(), *attempt, 143));
                }
                Outcome::Ok
            }
            Action::KillContainer { container, attempt } => {
                self.after(50, Event::Exit(container.clone(), *attempt, 137));
                Outcome::Ok
            }
            Action::RemoveContainer { container, attempt } => {
                let key = (container.clone(), *attempt);
                let alive =
                    matches!(self.containers.get(&key), Some(ContainerObserved::Running { .. }));
                if alive || fails {
                    return failed(Reason::KillContainerError);
                }
                self.containers.remove(&key);
                Outcome::Ok
            }
            Action::Probe { .. } => {
                let success = !(faulty && self.random.chance(scenario.probe_fails));
                Outcome::Probe { success, message: "probed".to_owned() }
            }
        }
    }

    fn start(&mut self, of: (&str, u32), scenario: &Scenario, fails: bool) -> Outcome {
        let key = (of.0.to_owned(), of.1);
        if self.containers.contains_key(&key) {
            return Outcome::Ok;
        }
        if !matches!(self.sandbox, SandboxState::Ready { .. }) {
            return failed(Reason::CreateContainerError);
        }
        if fails {
            return failed(self.random.pick(&[
                Reason::ErrImageNeverPull,
                Reason::CreateContainerError,
                Reason::StartError,
            ]));
        }
        let started_at = self.now;
        self.containers.insert(key.clone(), ContainerObserved::Running { started_at, pid: 1 });
        let faulty = self.now < scenario.calm_at;
        let spec = scenario.pod.spec.container(of.0);
        let sidecar = spec.is_some_and(|c| c.restart_policy.is_some());
        let init = of.0.starts_with("init") && !sidecar;
        let always = scenario.pod.spec.restart_policy() == pod::manifest::RestartPolicy::Always;
        if faulty && self.random.chance(scenario.container_crashes) {
            let code = self.random.pick(&[0, 1, 1, 139]);
            let life = self.random.pick(&[0, 500, 30_000, 900_000]);
            let life = life.min(scenario.calm_at - self.now);
            self.after(life, Event::Exit(key.0, key.1, code));
        } else if init || (!always && !sidecar) {
            self.after(20_000, Event::Exit(key.0, key.1, 0));
        }
        Outcome::Ok
    }

    /// A container ends, unless it has already.
    pub(crate) fn exit(&mut self, name: &str, attempt: u32, code: i32) -> bool {
        let Some(state) = self.containers.get_mut(&(name.to_owned(), attempt)) else {
            return false;
        };
        let ContainerObserved::Running { started_at, .. } = *state else { return false };
        *state = ContainerObserved::Exited(ExitInfo {
            code,
            signal: (code > 128).then_some(code - 128),
            oom_killed: false,
            started_at,
            finished_at: self.now,
            message: None,
        });
        true
    }

    /// The sandbox breaks, with its containers alive, or vanishes with all of them.
    pub(crate) fn break_sandbox(&mut self) {
        if !matches!(self.sandbox, SandboxState::Ready { .. }) {
            return;
        }
        if self.random.chance(50) {
            self.sandbox = SandboxState::Broken { reason: "its namespace is gone".to_owned() };
        } else {
            self.sandbox = SandboxState::Absent;
            self.containers.clear();
        }
    }
}

fn failed(reason: Reason) -> Outcome {
    Outcome::Failed { reason, message: "a fault of the simulation".to_owned() }
}
