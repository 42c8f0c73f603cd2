//! All the loop knows: what is wanted, what is seen, what is remembered, and what is not yet saved.
//!
//! Invariants: one owner, the loop; a pod's memory changes only by decisions, completions and
//! requests; [`Unsaved`] holds exactly what the database has not, but for the counters of probes,
//! which are written along with the next change that matters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use pod::deployment::DeploymentStatus;
use pod::{
    Action, BackoffPolicy, Deployment, DeploymentMemory, Millis, Pod, PodMemory, PodObserved,
    PodStatusCore, SandboxState,
};

use crate::event::{About, Event, EventLog};
use crate::listing::Listing;
use crate::store::{SavedDeployment, SavedPod};

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

/// What the database has not.
#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    pub(crate) boot_id: Option<String>,
    pub(crate) pods: BTreeSet<String>,
    pub(crate) gone_pods: BTreeSet<String>,
    pub(crate) deployments: BTreeSet<String>,
    pub(crate) gone_deployments: BTreeSet<String>,
    pub(crate) addresses: BTreeSet<String>,
    pub(crate) put_events: Vec<(u64, Event)>,
    pub(crate) gone_events: Vec<u64>,
    /// Since when events wait.
    pub(crate) events_since: Option<Millis>,
}

impl Unsaved {
    /// Everything an action may follow from is saved.
    pub(crate) fn is_settled(&self) -> bool {
        self.boot_id.is_none()
            && self.pods.is_empty()
            && self.gone_pods.is_empty()
            && self.deployments.is_empty()
            && self.gone_deployments.is_empty()
            && self.addresses.is_empty()
    }
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// By uid.
    pub(crate) pods: BTreeMap<String, PodEntry>,
    /// By uid.
    pub(crate) deployments: BTreeMap<String, DeploymentEntry>,
    /// Pod uid -> address.
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    /// The address given last.
    pub(crate) last_address: Option<Ipv4Addr>,
    pub(crate) events: EventLog,
    pub(crate) unsaved: Unsaved,
    /// Resource version.
    pub(crate) version: u64,
    /// Unix time minus CLOCK_BOOTTIME, in milliseconds.
    pub(crate) wall_offset_ms: i64,
}

impl World {
    /// A pod by namespace and name.
    pub(crate) fn pod_named(&self, namespace: &str, name: &str) -> Option<&PodEntry> {
        let is = |entry: &&PodEntry| {
            let meta = &entry.pod.metadata;
            meta.name == name && meta.namespace() == namespace
        };
        self.pods.values().find(is)
    }

    /// A Deployment by namespace and name.
    pub(crate) fn deployment_named(&self, namespace: &str, name: &str) -> Option<&DeploymentEntry> {
        let is = |entry: &&DeploymentEntry| {
            let meta = &entry.deployment.metadata;
            meta.name == name && meta.namespace() == namespace
        };
        self.deployments.values().find(is)
    }

    /// The pod has visibly changed: readers and its owner are to look at it.
    pub(crate) fn pod_changed(&mut self, uid: &str) {
        self.version += 1;
        let Some(entry) = self.pods.get_mut(uid) else { return };
        entry.version = self.version;
        if let Some(owner) = entry.owner.as_ref().and_then(|uid| self.deployments.get_mut(uid)) {
            owner.dirty = true;
        }
    }

    /// Takes a pod's address back.
    pub(crate) fn free_address(&mut self, uid: &str) {
        if self.addresses.remove(uid).is_some() {
            self.unsaved.addresses.insert(uid.to_owned());
        }
    }

    /// Gives a pod an address, the one it has if it has one.
    ///
    /// # Errors
    /// [`net::Error::Exhausted`].
    pub(crate) fn take_address(
        &mut self,
        uid: &str,
        subnet: net::Ipv4Net,
    ) -> Result<(), net::Error> {
        if self.addresses.contains_key(uid) {
            return Ok(());
        }
        let used: BTreeSet<Ipv4Addr> = self.addresses.values().copied().collect();
        let address = net::allocate(subnet, &used, self.last_address)?;
        self.last_address = Some(address);
        self.addresses.insert(uid.to_owned(), address);
        self.unsaved.addresses.insert(uid.to_owned());
        Ok(())
    }

    /// Notes something for people.
    pub(crate) fn note(&mut self, about: &About, warning: bool, reason: &str, message: &str) {
        self.events.add(about, warning, (reason, message), crate::host::unix_ms());
        self.unsaved.events_since.get_or_insert(sys::clock::boot_ms());
        self.version += 1;
    }

    /// When something is due though nothing happens.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let pods = self.pods.values().filter_map(|p| due(p.dirty, p.wake_at));
        let deployments = self.deployments.values().filter_map(|d| due(d.dirty, d.wake_at));
        pods.chain(deployments).min()
    }
}

/// When an entry is due; 0 is now.
fn due(dirty: bool, wake_at: Option<Millis>) -> Option<Millis> {
    if dirty { Some(0) } else { wake_at }
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
    fn an_address_is_given_once_and_freed() {
        let mut world = World::default();
        let subnet = "10.77.0.0/30".parse().unwrap();
        world.take_address("a", subnet).unwrap();
        world.take_address("a", subnet).unwrap();
        assert_eq!(world.addresses["a"], Ipv4Addr::new(10, 77, 0, 2));
        assert!(world.take_address("b", subnet).is_err());
        world.free_address("a");
        world.take_address("b", subnet).unwrap();
        assert_eq!(world.unsaved.addresses.len(), 2);
    }

    #[test]
    fn a_pod_that_was_never_seen_has_a_status() {
        let entry = PodEntry::new(saved(), Sandbox::Unknown, 5);
        assert_eq!(entry.status.phase, pod::Phase::Pending);
        assert_eq!(entry.memory, PodMemory::default(), "a glimpse changes nothing");
    }
}
