//! A pod and a Deployment as the loop knows them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use oci::IdRange;
use pod::deployment::DeploymentStatus;
use pod::{
    Action, BackoffPolicy, Deployment, DeploymentMemory, Millis, Pod, PodMemory, PodObserved,
    PodStatusCore, SandboxState,
};

use crate::act::Wanted;
use crate::event::About;
use crate::listing::Listing;
use crate::store::{SavedDeployment, SavedPod};
use crate::volumes::Keep;

/// What is known of a pod's sandbox.
#[derive(Debug)]
pub(crate) enum Sandbox {
    /// There is none.
    Absent,
    /// There is one, and its monitor is being looked for: nothing is decided meanwhile.
    Unknown,
    /// Its monitor is subscribed to.
    Up(Up),
    /// It cannot be used, and there is nobody to ask what is in it.
    Broken(String),
}

/// A subscribed sandbox.
#[derive(Debug)]
pub(crate) struct Up {
    /// Number of the connection whose news count.
    pub(crate) link: u64,
    pub(crate) listing: Listing,
    /// Why it has to be made anew although it works.
    pub(crate) outdated: Option<String>,
    /// The connection ended while the sandbox was being removed.
    pub(crate) lost: bool,
}

/// A pod.
#[derive(Debug)]
pub(crate) struct PodEntry {
    pub(crate) uid: String,
    pub(crate) pod: Arc<Pod>,
    pub(crate) owner: Option<String>,
    pub(crate) template_hash: Option<String>,
    pub(crate) created_at: Millis,
    pub(crate) created_unix_ms: u64,
    pub(crate) memory: PodMemory,
    /// The memory as the database has it.
    pub(crate) durable: PodMemory,
    pub(crate) sandbox: Sandbox,
    pub(crate) in_flight: BTreeSet<Action>,
    pub(crate) status: PodStatusCore,
    pub(crate) wake_at: Option<Millis>,
    /// To be decided about in the next turn.
    pub(crate) dirty: bool,
    /// Resource version of its last visible change.
    pub(crate) version: u64,
    /// The host's ids that are its own, once it was to have a sandbox with `hostUsers: false`.
    pub(crate) ids: Option<IdRange>,
    /// What its actions wait for is worth waiting for.
    pub(crate) wanted: Arc<Wanted>,
    /// Container name -> digest of its image.
    pub(crate) image_ids: BTreeMap<String, String>,
}

impl PodEntry {
    /// A pod with what was saved of it.
    pub(crate) fn new(saved: SavedPod, sandbox: Sandbox, now: Millis) -> PodEntry {
        let status = glimpse(&saved.pod, &saved.memory, now);
        PodEntry {
            uid: saved.uid,
            pod: Arc::new(saved.pod),
            owner: saved.owner,
            template_hash: saved.template_hash,
            created_at: saved.created_at,
            created_unix_ms: saved.created_unix_ms,
            durable: saved.memory.clone(),
            memory: saved.memory,
            sandbox,
            in_flight: BTreeSet::new(),
            status,
            wake_at: None,
            dirty: true,
            version: 0,
            ids: saved.ids,
            wanted: Arc::default(),
            image_ids: BTreeMap::new(),
        }
    }

    /// As it is saved.
    pub(crate) fn saved(&self) -> SavedPod {
        SavedPod {
            uid: self.uid.clone(),
            pod: self.pod.as_ref().clone(),
            owner: self.owner.clone(),
            template_hash: self.template_hash.clone(),
            created_at: self.created_at,
            created_unix_ms: self.created_unix_ms,
            memory: self.memory.clone(),
            ids: self.ids,
        }
    }

    /// What the decision is to see.
    pub(crate) fn observed(&self, ip: Option<Ipv4Addr>) -> PodObserved {
        let broken = |reason: &String| SandboxState::Broken { reason: reason.clone() };
        let (sandbox, listing) = match &self.sandbox {
            Sandbox::Absent => (SandboxState::Absent, None),
            Sandbox::Unknown => (broken(&"its monitor is being looked for".to_owned()), None),
            Sandbox::Broken(reason) => (broken(reason), None),
            Sandbox::Up(up) => match &up.outdated {
                Some(reason) => (broken(reason), Some(&up.listing)),
                None => (SandboxState::Ready { ip }, Some(&up.listing)),
            },
        };
        let containers = listing.map(Listing::observed).unwrap_or_default();
        PodObserved { sandbox, containers, in_flight: self.in_flight.clone() }
    }

    /// Its listing, while there is one.
    pub(crate) fn listing(&self) -> Option<&Listing> {
        match &self.sandbox {
            Sandbox::Up(up) => Some(&up.listing),
            _ => None,
        }
    }

    /// Uses the host's network.
    pub(crate) fn host_network(&self) -> bool {
        self.pod.spec.host_network == Some(true)
    }

    /// Which of its emptyDirs outlive its sandbox. In a `sealed` world the pod only counts as
    /// deleted when it was so before.
    pub(crate) fn kept(&self, sealed: bool) -> Keep {
        match (self.memory.is_deleting(), self.memory.terminal) {
            (true, _) if sealed && !self.durable.is_deleting() => Keep::OnDisk,
            (true, _) => Keep::Nothing,
            (false, Some(_)) => Keep::OnDisk,
            (false, None) => Keep::All,
        }
    }

    /// For events.
    pub(crate) fn about(&self) -> About {
        let meta = &self.pod.metadata;
        About {
            kind: "Pod",
            namespace: meta.namespace().to_owned(),
            name: meta.name.clone(),
            uid: self.uid.clone(),
        }
    }

    /// Whether what the database has would lead to other decisions after a crash.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.memory != self.durable && steady(&self.memory) != steady(&self.durable)
    }
}

/// A memory without what a probe makes anew within its period: losing it costs a probe.
fn steady(memory: &PodMemory) -> PodMemory {
    let mut memory = memory.clone();
    for probe in memory.containers.values_mut().flat_map(|c| c.probes.values_mut()) {
        *probe = pod::memory::ProbeMemory { result: probe.result, ..Default::default() };
    }
    memory
}

/// The status of a pod whose listing is not known: from its memory alone.
fn glimpse(pod: &Pod, memory: &PodMemory, now: Millis) -> PodStatusCore {
    let sandbox = SandboxState::Broken { reason: String::new() };
    let seen = PodObserved { sandbox, ..PodObserved::default() };
    let mut memory = memory.clone();
    pod::decide_pod_with(pod, &seen, &mut memory, now, &BackoffPolicy::default()).status
}

/// A Deployment.
#[derive(Debug)]
pub(crate) struct DeploymentEntry {
    pub(crate) uid: String,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) created_unix_ms: u64,
    pub(crate) memory: DeploymentMemory,
    pub(crate) durable: DeploymentMemory,
    pub(crate) deleting: bool,
    pub(crate) status: DeploymentStatus,
    pub(crate) wake_at: Option<Millis>,
    pub(crate) dirty: bool,
    pub(crate) version: u64,
}

impl DeploymentEntry {
    /// A Deployment with what was saved of it.
    pub(crate) fn new(saved: SavedDeployment) -> DeploymentEntry {
        DeploymentEntry {
            uid: saved.uid,
            deployment: Arc::new(saved.deployment),
            created_unix_ms: saved.created_unix_ms,
            durable: saved.memory.clone(),
            memory: saved.memory,
            deleting: saved.deleting,
            status: DeploymentStatus::default(),
            wake_at: None,
            dirty: true,
            version: 0,
        }
    }

    /// As it is saved.
    pub(crate) fn saved(&self) -> SavedDeployment {
        SavedDeployment {
            uid: self.uid.clone(),
            deployment: self.deployment.as_ref().clone(),
            created_unix_ms: self.created_unix_ms,
            memory: self.memory.clone(),
            deleting: self.deleting,
        }
    }

    /// For events.
    pub(crate) fn about(&self) -> About {
        let meta = &self.deployment.metadata;
        About {
            kind: "Deployment",
            namespace: meta.namespace().to_owned(),
            name: meta.name.clone(),
            uid: self.uid.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pod::ProbeKind;
    use pod::memory::{ContainerMemory, ProbeMemory};
    use serde_json::json;

    fn saved() -> SavedPod {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
            "spec": {"containers": [{"name": "a", "image": "i:1"}]},
        });
        SavedPod {
            uid: "u".to_owned(),
            pod: serde_json::from_value(pod).unwrap(),
            owner: None,
            template_hash: None,
            created_at: 1,
            created_unix_ms: 1,
            memory: PodMemory::default(),
            ids: None,
        }
    }

    #[test]
    fn counters_of_probes_alone_need_no_write() {
        let mut entry = PodEntry::new(saved(), Sandbox::Absent, 1);
        assert!(!entry.is_unsaved());
        let container = ContainerMemory::default();
        entry.memory.containers.insert("a".to_owned(), container);
        entry.durable = entry.memory.clone();
        let probes = &mut entry.memory.containers.get_mut("a").unwrap().probes;
        probes.insert(ProbeKind::Readiness, ProbeMemory::default());
        assert!(entry.is_unsaved(), "a probe that is new is told");
        entry.durable = entry.memory.clone();
        let mut set = |probe: ProbeMemory| {
            let memory = &mut entry.memory.containers.get_mut("a").unwrap().probes;
            memory.insert(ProbeKind::Readiness, probe);
            entry.is_unsaved()
        };
        assert!(!set(ProbeMemory { run: 3, next_at: 9, last: Some(true), ..Default::default() }));
        assert!(set(ProbeMemory { result: Some(true), ..Default::default() }));
    }

    #[test]
    fn a_pod_that_was_never_seen_has_a_status() {
        let entry = PodEntry::new(saved(), Sandbox::Unknown, 5);
        assert_eq!(entry.status.phase, pod::Phase::Pending);
        assert_eq!(entry.memory, PodMemory::default(), "a glimpse changes nothing");
    }
}
