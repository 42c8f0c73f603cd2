//! All the loop knows: what is wanted, what is seen, what is remembered, and what is not yet saved.
//!
//! Invariants: one owner, the loop; a pod's memory changes only by decisions, completions and
//! requests; [`Unsaved`] holds exactly what the database has not, but for the counters of probes,
//! which are written along with the next change that matters.

mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use image::PullSecret;
use pod::{Millis, Pod};

use crate::event::{About, Event, EventLog};
use crate::store::SavedSecret;

pub(crate) use entry::{DeploymentEntry, PodEntry, Sandbox, Up};

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
    /// By uid; what is here is saved.
    pub(crate) secrets: BTreeMap<String, SavedSecret>,
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

    /// A Secret by namespace and name.
    pub(crate) fn secret_named(&self, namespace: &str, name: &str) -> Option<&SavedSecret> {
        let is = |saved: &&SavedSecret| {
            let meta = &saved.secret.metadata;
            meta.name == name && meta.namespace() == namespace
        };
        self.secrets.values().find(is)
    }

    /// The credentials that a pod's `imagePullSecrets` have, in their order.
    pub(crate) fn pull_secrets(&self, pod: &Pod) -> Vec<PullSecret> {
        let namespace = pod.metadata.namespace();
        let named = pod.spec.image_pull_secrets.iter();
        let found = named.filter_map(|wanted| self.secret_named(namespace, &wanted.name));
        let of = |saved: &SavedSecret| {
            let name = format!("Secret {}", saved.secret.metadata.name);
            Some(PullSecret::new(name, saved.secret.docker_config()?))
        };
        found.filter_map(of).collect()
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
}
