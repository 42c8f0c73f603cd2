//! Replicas and roll-outs: which pods a Deployment makes and deletes now.
//!
//! Source: kubernetes pkg/controller/deployment (rolling.go, recreate.go, progress.go) and
//! pkg/controller/replicaset. Each revision of the template has a wanted number of pods, which the
//! roll-out moves; a second step makes or deletes pods of each revision to meet it.
//!
//! Invariants: pods that are not being deleted never exceed `replicas + maxSurge` by a decision of
//! ours; no available pod is deleted for a roll-out when that leaves fewer than
//! `replicas - maxUnavailable` available.

mod replicas;
mod rollout;
#[cfg(test)]
mod tests;

use crate::hash;
use crate::manifest::{Deployment, PodTemplateSpec};
use crate::state::Millis;
use crate::status::{Condition, Phase};
use serde::{Deserialize, Serialize};

/// A pod of the Deployment, as the shell knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedPod {
    /// Identity.
    pub uid: String,
    /// Name.
    pub name: String,
    /// Hash of the template it was made from.
    pub template_hash: String,
    /// Condition Ready.
    pub ready: bool,
    /// Since when it is ready.
    pub ready_since: Option<Millis>,
    /// Its phase.
    pub phase: Phase,
    /// When it was made.
    pub created_at: Millis,
    /// Restarts of its containers.
    pub restarts: u32,
    /// `controller.kubernetes.io/pod-deletion-cost`; 0 without it.
    pub deletion_cost: i32,
    /// A deletion was asked for.
    pub deleting: bool,
}

/// A pod to be made; the shell chooses name and uid and takes the template from
/// [`DeploymentMemory::template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodToCreate {
    /// Which template.
    pub template_hash: String,
}

/// One revision of the template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// From 1, counting up.
    pub number: u32,
    /// Hash of the template.
    pub hash: String,
    /// Wanted pods.
    pub wanted: u32,
    /// The template.
    pub template: PodTemplateSpec,
}

/// Durable memory of a Deployment. `default()` is the memory of a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeploymentMemory {
    /// Oldest first; the last one is current (or, while paused, the last one rolled out).
    pub revisions: Vec<Revision>,
    /// How many pods may be made at once; doubles while that goes well.
    pub batch: u32,
    /// Pods that were there or expected after the last decision that made some.
    pub expected: Option<u32>,
    /// When the roll-out last made progress.
    pub progressed_at: Option<Millis>,
    /// What progress is measured by: new wanted, new available, old pods.
    pub progress: Option<(u32, u32, u32)>,
    /// The replicas last decided for.
    pub replicas: Option<u32>,
}

impl DeploymentMemory {
    /// Template of a revision.
    pub fn template(&self, hash: &str) -> Option<&PodTemplateSpec> {
        self.revisions.iter().find(|r| r.hash == hash).map(|r| &r.template)
    }

    /// The revision that is rolled out.
    pub fn current(&self) -> Option<&Revision> {
        self.revisions.last()
    }

    /// To be called once after a reboot, with `now` of the new boot.
    pub fn after_reboot(&mut self, now: Millis) {
        self.progressed_at.iter_mut().for_each(|at| *at = now);
        self.batch = 0;
        self.expected = None;
    }
}

/// Status of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStatus {
    /// Pods that are not being deleted.
    pub replicas: u32,
    /// Of them, made from the current template.
    pub updated_replicas: u32,
    /// Ready.
    pub ready_replicas: u32,
    /// Ready for at least `minReadySeconds`.
    pub available_replicas: u32,
    /// Wanted and not available.
    pub unavailable_replicas: u32,
    /// Pods that are being deleted.
    pub terminating_replicas: u32,
    /// Number of the current revision.
    pub revision: u32,
    /// Everything is as wanted.
    pub complete: bool,
    /// `Available` and `Progressing`.
    pub conditions: Vec<Condition>,
}

/// What to do about a Deployment now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentDecision {
    /// Pods to make.
    pub create: Vec<PodToCreate>,
    /// Uids of pods to delete, with their own grace.
    pub delete: Vec<String>,
    /// How it is.
    pub status: DeploymentStatus,
    /// When to decide again though nothing happens.
    pub wake_at: Option<Millis>,
}

/// One revision's pods, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) active: u32,
    pub(crate) ready: u32,
    pub(crate) available: u32,
}

/// State of one decision.
pub(crate) struct Turn<'t> {
    deployment: &'t Deployment,
    owned: &'t [OwnedPod],
    memory: &'t mut DeploymentMemory,
    now: Millis,
    wake: Option<Millis>,
}

/// Decides. `owned` are all pods of the Deployment, those being deleted too; the memory must be
/// durable before anything is done.
pub fn decide_deployment(
    deployment: &Deployment,
    owned: &[OwnedPod],
    memory: &mut DeploymentMemory,
    now: Millis,
) -> DeploymentDecision {
    let mut turn = Turn { deployment, owned, memory, now, wake: None };
    turn.adopt_revision();
    rollout::roll(&mut turn);
    let (create, delete) = replicas::meet(&mut turn);
    let status = rollout::status(&mut turn);
    rollout::forget(&mut turn);
    let wake_at = turn.wake.map(|at| at.max(now));
    DeploymentDecision { create, delete, status, wake_at }
}

impl Turn<'_> {
    fn wake(&mut self, at: Millis) {
        self.wake = Some(self.wake.map_or(at, |before| before.min(at)));
    }

    /// Makes the template's revision the last one; an earlier one that comes back (a roll-back)
    /// moves to the end with a new number. Paused, a change waits, unless there is none yet.
    fn adopt_revision(&mut self) {
        let template = &self.deployment.spec.template;
        let hash = hash::template(template);
        let paused = self.deployment.spec.paused == Some(true);
        let current = self.memory.revisions.last().is_some_and(|last| last.hash == hash);
        if current || (paused && !self.memory.revisions.is_empty()) {
            return;
        }
        let number = self.memory.revisions.iter().map(|r| r.number).max().unwrap_or(0) + 1;
        let known = self.memory.revisions.iter().position(|r| r.hash == hash);
        let wanted = known.map_or(0, |at| self.memory.revisions.remove(at).wanted);
        let template = template.clone();
        self.memory.revisions.push(Revision { number, hash, wanted, template });
        self.memory.progressed_at = Some(self.now);
        self.memory.progress = None;
        self.memory.batch = 0;
    }

    /// Pods of a revision that count: neither being deleted nor finished.
    pub(crate) fn active<'p>(&'p self, hash: &'p str) -> impl Iterator<Item = &'p OwnedPod> {
        self.owned
            .iter()
            .filter(move |pod| pod.template_hash == hash && !pod.deleting && !pod.phase.is_final())
    }

    /// Is the pod available, and if not yet: when?
    fn available_at(&self, pod: &OwnedPod) -> Option<Millis> {
        let since = pod.ready_since.filter(|_| pod.ready)?;
        let wait = u64::from(self.deployment.spec.min_ready_seconds.unwrap_or(0)) * 1000;
        Some(since.saturating_add(wait))
    }

    pub(crate) fn count(&self, hash: &str) -> Count {
        let mut count = Count::default();
        for pod in self.active(hash) {
            count.active += 1;
            count.ready += u32::from(pod.ready);
            count.available += u32::from(self.available_at(pod).is_some_and(|at| at <= self.now));
        }
        count
    }
}
