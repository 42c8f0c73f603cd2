//! What a pod's decisions must remember: durable, written in the transaction of each decision.
//!
//! All times are [`Millis`] since boot. After a reboot nothing that was seen lives any more and the
//! clock starts again: the shell calls [`PodMemory::after_reboot`] once.

use crate::state::{Millis, ProbeKind, Reason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Memory of one pod. `default()` is the memory of a new pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodMemory {
    /// First decision about the pod; its status.startTime.
    pub started_at: Option<Millis>,
    /// A deletion that was asked for.
    pub deletion: Option<Deletion>,
    /// Why the pod is to end whatever its containers do.
    pub failure: Option<PodFailure>,
    /// The final phase, once reached.
    pub terminal: Option<Terminal>,
    /// The sandbox.
    pub sandbox: SandboxMemory,
    /// All init containers of this sandbox have done their work.
    pub initialized: bool,
    /// By container name.
    pub containers: BTreeMap<String, ContainerMemory>,
    /// Condition type -> since when it has its value.
    pub conditions: BTreeMap<String, ConditionMemory>,
}

/// When a condition turned last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionMemory {
    /// Its value.
    pub value: bool,
    /// Since when.
    pub since: Millis,
}

/// A deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When it was asked for first.
    pub requested_at: Millis,
    /// When containers are to be killed; the pod's own grace when absent.
    pub deadline: Option<Millis>,
}

/// Why a pod ends by decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodFailure {
    /// As in `DeadlineExceeded`.
    pub reason: String,
    /// In words.
    pub message: String,
    /// When.
    pub at: Millis,
}

/// Final phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminal {
    /// All main containers ended with 0 and none is restarted.
    Succeeded,
    /// At least one main container failed and none is restarted.
    Failed,
}

/// Memory of the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxMemory {
    /// How many were lost before this one.
    pub generation: u32,
    /// This one has been seen ready.
    pub seen: bool,
    /// Why it could not be made.
    pub problem: Option<Problem>,
}

/// A failure with its back-off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Kind.
    pub reason: Reason,
    /// In words.
    pub message: String,
    /// Failures in a row.
    pub failures: u32,
    /// When it failed last.
    pub failed_at: Millis,
}

/// Memory of one container name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMemory {
    /// The latest attempt that exists or existed.
    pub attempt: Option<u32>,
    /// The latest attempt has been listed as running since this time, and its end was not seen.
    pub running_since: Option<Millis>,
    /// End of the latest attempt that ended.
    pub last: Option<Termination>,
    /// Ends in a row that count for the back-off.
    pub crashes: u32,
    /// A failed removal is not tried again before this.
    pub remove_at: Millis,
    /// Why the next attempt could not be made.
    pub problem: Option<Problem>,
    /// The current attempt is to end.
    pub stop: Option<Stop>,
    /// Probes of the current attempt.
    pub probes: BTreeMap<ProbeKind, ProbeMemory>,
    /// Hash of the definition the current attempt was started from.
    pub definition: u64,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// Which attempt.
    pub attempt: u32,
    /// Exit code; 128 + n for signal n.
    pub code: i32,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError` or `ContainerStatusUnknown`.
    pub reason: String,
    /// Termination message, or why it could not be started.
    pub message: Option<String>,
    /// When it was started.
    pub started_at: Millis,
    /// When it ended.
    pub finished_at: Millis,
    /// Generation of the sandbox it ran in.
    pub generation: u32,
    /// Why it was told to stop; `None` when it ended by itself.
    pub cause: Option<StopCause>,
}

/// An attempt that is to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Which attempt.
    pub attempt: u32,
    /// Why.
    pub cause: StopCause,
    /// When that was decided.
    pub decided_at: Millis,
    /// When it is to be killed; at least [`crate::MIN_KILL_MS`] after `signalled_at`.
    pub deadline: Millis,
    /// The stop signal was sent.
    pub signalled_at: Option<Millis>,
    /// When it was killed last.
    pub killed_at: Option<Millis>,
    /// The latest failure to signal or kill it.
    pub error: Option<String>,
    /// When the signal failed first.
    pub failed_at: Option<Millis>,
    /// When a failed signal or kill is tried again.
    pub retry_at: Millis,
}

/// Why an attempt is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCause {
    /// The pod is deleted.
    Deleted,
    /// The pod's deadline passed, or another failure of the whole pod.
    PodFailed,
    /// A sidecar that no main container needs any more.
    SidecarDone,
    /// A probe failed.
    Probe(ProbeKind),
    /// Its definition changed.
    Replaced,
    /// The sandbox is broken.
    SandboxBroken,
}

/// State of one probe of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeMemory {
    /// Decided result; `None` before the first threshold is reached.
    pub result: Option<bool>,
    /// Result of the latest attempt.
    pub last: Option<bool>,
    /// How many in a row had that result.
    pub run: u32,
    /// When the next attempt is due.
    pub next_at: Millis,
    /// Successes in a row that turn the result; from the spec, at the latest attempt.
    pub success_threshold: u32,
    /// Failures in a row that turn the result.
    pub failure_threshold: u32,
    /// Output of the latest failure.
    pub message: Option<String>,
}

impl PodMemory {
    /// Is the pod to be deleted?
    pub fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }

    /// To be called once after a reboot of the host, with `now` of the new boot: whatever lived is
    /// gone, times of the old boot count as now, and waiting is over.
    pub fn after_reboot(&mut self, now: Millis) {
        let late = |at: &mut Millis| *at = now;
        self.started_at.iter_mut().for_each(late);
        if let Some(deletion) = &mut self.deletion {
            deletion.requested_at = now;
            deletion.deadline.iter_mut().for_each(late);
        }
        self.failure.iter_mut().for_each(|failure| failure.at = now);
        self.sandbox.problem = None;
        self.conditions.values_mut().for_each(|condition| condition.since = now);
        for container in self.containers.values_mut() {
            container.running_since.iter_mut().for_each(late);
            if let Some(last) = &mut container.last {
                last.started_at = now;
                last.finished_at = now;
            }
            container.crashes = 0;
            container.remove_at = now;
            container.problem = None;
            container.stop = None;
            container.probes.clear();
        }
    }

    /// An image was loaded: what waits for an image is tried at once.
    pub fn image_arrived(&mut self) {
        for container in self.containers.values_mut() {
            if container.problem.as_ref().is_some_and(|problem| problem.reason.is_image()) {
                container.problem = None;
            }
        }
    }
}
