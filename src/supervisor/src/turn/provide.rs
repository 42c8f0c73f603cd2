//! What a pod has of its own on the host before its sandbox is made: an address, and ids.
//!
//! Invariant: no two pods that are there have the same; what is given is saved along with the
//! decision to make the sandbox.

use std::net::Ipv4Addr;

use oci::IdRange;
use pod::{Action, Millis, Outcome, Reason};

use crate::error::{chain, with_hint};
use crate::id_pool::{NoIds, Pool};
use crate::recover;
use crate::serve::Supervisor;
use crate::world::PodEntry;

impl Supervisor {
    /// The address a pod is known by: its own, or with hostNetwork the host's.
    pub(crate) fn address_of(&self, uid: &str) -> Option<Ipv4Addr> {
        let host = self.world.pods.get(uid).is_some_and(PodEntry::host_network);
        if host { self.tools.host.address } else { self.world.addresses.get(uid).copied() }
    }

    /// Sees to it that a pod has what its sandbox needs; what is lacking is its problem then.
    pub(super) fn provide(&mut self, uid: &str, now: Millis) -> bool {
        let Err(message) = self.give_address(uid).and_then(|()| self.give_ids(uid)) else {
            return true;
        };
        let outcome = Outcome::Failed { reason: Reason::CreatePodSandboxError, message };
        self.tell_outcome(uid, &Action::CreateSandbox, &outcome);
        if let Some(entry) = self.world.pods.get_mut(uid) {
            pod::absorb(&mut entry.memory, &Action::CreateSandbox, &outcome, now);
            entry.dirty = true;
        }
        false
    }

    fn give_address(&mut self, uid: &str) -> Result<(), String> {
        if self.world.pods.get(uid).is_none_or(PodEntry::host_network) {
            return Ok(());
        }
        let given = self.world.take_address(uid, self.tools.options.net.subnet);
        given.map_err(|error| with_hint(chain(&error), error.hint()))
    }

    fn give_ids(&mut self, uid: &str) -> Result<(), String> {
        let lacks =
            |entry: &PodEntry| entry.pod.spec.host_users == Some(false) && entry.ids.is_none();
        if !self.world.pods.get(uid).is_some_and(lacks) {
            return Ok(());
        }
        let given = self.free_ids().map_err(|error| with_hint(chain(&error), error.hint()))?;
        if let Some(entry) = self.world.pods.get_mut(uid) {
            entry.ids = Some(given);
            self.world.unsaved.pods.insert(uid.to_owned());
        }
        Ok(())
    }

    fn free_ids(&self) -> Result<IdRange, NoIds> {
        // A pod that nobody wants has its own until it is gone.
        let paths = &self.tools.options.paths;
        let orphans = self.orphans.keys().filter_map(|uid| recover::ids_of(&paths.pod(uid), uid));
        let used: Vec<IdRange> =
            self.world.pods.values().filter_map(|entry| entry.ids).chain(orphans).collect();
        Pool::read()?.take(&used)
    }
}
