//! One turn of the loop: decide about everything that is due, save, act.
//!
//! Order: Deployments (they make pods), then pods; then one transaction for all of it; then the
//! actions. While the database cannot be written, what runs goes on: signals and probes still go
//! out, and so does everything for pods that are being deleted; nothing new is started.

mod provide;

use std::path::PathBuf;
use std::sync::Arc;

use pod::{Action, Millis, OwnedPod, SandboxState};

use crate::act::{self, Job};
use crate::error::{chain, with_hint};
use crate::naming;
use crate::serve::Supervisor;
use crate::store::{Change, SavedPod, StoreError};
use crate::world::{DeploymentEntry, PodEntry, Sandbox};

/// Rounds of one turn, in which one decision leads to the next; then others have their turn.
const ROUNDS: usize = 16;
/// Wait before the database is tried again.
const STORE_RETRY_MS: Millis = 5_000;
/// Longest wait for company of an event that is to be saved.
const EVENTS_WAIT_MS: Millis = 1_000;
/// The clock was set by so much: times are told anew.
const CLOCK_STEP_MS: i64 = 1_500;

/// Annotation by which a pod is cheaper or dearer to delete than its siblings.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

type Due = Vec<(String, Action)>;

impl Supervisor {
    /// Decides, saves and acts until nothing is due.
    pub(crate) async fn turn(&mut self) {
        let offset = crate::host::wall_offset_ms();
        if (offset - self.world.wall_offset_ms).abs() > CLOCK_STEP_MS {
            self.world.wall_offset_ms = offset;
            self.world.version += 1;
        }
        for _ in 0..ROUNDS {
            let now = sys::clock::boot_ms();
            // Whoever comes next decides anew.
            let due = if self.is_leaving() { Due::new() } else { self.decide(now) };
            let saved = self.save(now).await;
            self.dispatch(due, saved);
            let more = self.world.next_due().is_some_and(|at| at <= sys::clock::boot_ms());
            if !more || self.is_leaving() {
                break;
            }
        }
        self.version.send_if_modified(|version| {
            let changed = *version != self.world.version;
            *version = self.world.version;
            changed
        });
    }

    /// When the next turn is due though nothing happens.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let events = self.world.unsaved.events_since.filter(|_| !self.is_sealed());
        let events = events.map(|since| since + EVENTS_WAIT_MS);
        let own = match self.storage_retry_at {
            Some(at) => Some(at),
            None => events,
        };
        let leave_at = self.ending.as_ref().map(|ending| ending.leave_at);
        match leave_at.filter(|_| self.is_leaving()) {
            Some(at) => Some(at),
            None => self.world.next_due().into_iter().chain(own).min(),
        }
    }

    fn decide(&mut self, now: Millis) -> Due {
        if self.storage_retry_at.is_some_and(|at| at <= now) {
            // What was not done for want of a record is decided again.
            for uid in self.world.unsaved.pods.clone() {
                self.world.pods.entry(uid).and_modify(|entry| entry.dirty = true);
            }
        }
        let is_due = |dirty: bool, at: Option<Millis>| dirty || at.is_some_and(|at| at <= now);
        let deployments = self.world.deployments.values();
        let due = deployments.filter(|d| is_due(d.dirty, d.wake_at)).map(|d| d.uid.clone());
        for uid in due.collect::<Vec<String>>() {
            self.decide_deployment(&uid, now);
        }
        let pods = self.world.pods.values();
        let due = pods.filter(|p| is_due(p.dirty, p.wake_at)).map(|p| p.uid.clone());
        let mut actions = Due::new();
        for uid in due.collect::<Vec<String>>() {
            for action in self.decide_pod(&uid, now) {
                actions.push((uid.clone(), action));
            }
        }
        actions
    }

    fn decide_pod(&mut self, uid: &str, now: Millis) -> Vec<Action> {
        let (ip, sealed) = (self.address_of(uid), self.is_sealed());
        let Some(entry) = self.world.pods.get_mut(uid) else { return Vec::new() };
        (entry.dirty, entry.wake_at) = (false, None);
        if entry.memory.is_deleting() {
            entry.wanted.end();
        }
        if matches!(entry.sandbox, Sandbox::Unknown) {
            if entry.is_unsaved() {
                self.world.unsaved.pods.insert(uid.to_owned());
            }
            return Vec::new();
        }
        let mut seen = entry.observed(ip);
        let keep = entry.kept(sealed);
        if seen.sandbox == SandboxState::Absent && self.tools.holds_volumes(uid, keep) {
            // Volumes outlive a sandbox, and go as if they were the rest of one.
            seen.sandbox = SandboxState::Broken { reason: "its volumes are left".to_owned() };
        }
        let backoff = &self.tools.options.backoff;
        let decision = pod::decide_pod_with(&entry.pod, &seen, &mut entry.memory, now, backoff);
        entry.wake_at = decision.wake_at;
        if entry.is_unsaved() {
            self.world.unsaved.pods.insert(uid.to_owned());
        }
        if decision.finished {
            self.forget_pod(uid);
            return Vec::new();
        }
        if entry.status != decision.status {
            let before = std::mem::replace(&mut entry.status, decision.status);
            self.world.pod_changed(uid);
            self.tell_status(uid, &before);
        }
        let mut actions = decision.actions;
        if actions.contains(&Action::CreateSandbox) && !self.provide(uid, now) {
            actions.retain(|action| *action != Action::CreateSandbox);
        }
        actions
    }

    /// A deleted pod of which nothing is left.
    fn forget_pod(&mut self, uid: &str) {
        self.world.pod_changed(uid);
        let Some(entry) = self.world.pods.remove(uid) else { return };
        self.world.free_address(uid);
        self.world.unsaved.pods.remove(uid);
        self.world.unsaved.gone_pods.insert(uid.to_owned());
        // A namesake's description is not to tell of this one.
        self.world.events.forget_object(uid);
        if self.is_sealed() {
            return;
        }
        let logs: PathBuf = self.tools.log_dir(&entry.pod, uid);
        let tools = Arc::clone(&self.tools);
        self.chores.spawn(async move {
            // Logs that cannot be removed are no reason to keep the pod.
            let _ = tools.blocking(move |_| std::fs::remove_dir_all(logs)).await;
        });
    }

    fn decide_deployment(&mut self, uid: &str, now: Millis) {
        let owned = self.owned(uid);
        let Some(entry) = self.world.deployments.get_mut(uid) else { return };
        (entry.dirty, entry.wake_at) = (false, None);
        if entry.deleting {
            if owned.is_empty() {
                self.world.deployments.remove(uid);
                self.world.unsaved.deployments.remove(uid);
                self.world.unsaved.gone_deployments.insert(uid.to_owned());
                self.world.events.forget_object(uid);
                self.world.version += 1;
            }
            return;
        }
        let deployment = Arc::clone(&entry.deployment);
        let decision = pod::decide_deployment(&deployment, &owned, &mut entry.memory, now);
        entry.wake_at = decision.wake_at;
        if entry.memory != entry.durable {
            self.world.unsaved.deployments.insert(uid.to_owned());
        }
        if entry.status != decision.status {
            entry.status = decision.status;
            self.world.version += 1;
            entry.version = self.world.version;
        }
        for pod in decision.create {
            self.create_pod(uid, &pod.template_hash, now);
        }
        for pod in decision.delete {
            self.delete_pod(&pod, None, now);
        }
    }

    /// The pods of a Deployment.
    fn owned(&self, uid: &str) -> Vec<OwnedPod> {
        let ours = self.world.pods.values().filter(|p| p.owner.as_deref() == Some(uid));
        ours.map(|entry| OwnedPod {
            uid: entry.uid.clone(),
            name: entry.pod.metadata.name.clone(),
            template_hash: entry.template_hash.clone().unwrap_or_default(),
            ready: entry.status.is_ready(),
            ready_since: entry.status.ready_since(),
            phase: entry.status.phase,
            created_at: entry.created_at,
            restarts: entry.status.restarts(),
            deletion_cost: deletion_cost(entry),
            deleting: entry.memory.is_deleting(),
        })
        .collect()
    }

    /// Makes a pod of a Deployment. A name or identity that cannot be had now can be had later: the
    /// Deployment asks again.
    fn create_pod(&mut self, owner: &str, template_hash: &str, now: Millis) {
        let Some(entry) = self.world.deployments.get_mut(owner) else { return };
        let Some(template) = entry.memory.template(template_hash).cloned() else { return };
        let made = naming::uid().and_then(|uid| Ok((uid, naming::suffix(template_hash)?)));
        let (uid, suffix) = match made {
            Ok(made) => made,
            Err(error) => {
                let about = entry.about();
                let words = format!("cannot name a pod: {error}");
                self.world.note(&about, true, "FailedCreate", &words);
                return;
            }
        };
        let mut pod = entry.deployment.pod(&template, &suffix, &uid);
        let created_unix_ms = crate::host::unix_ms();
        crate::view::complete(&mut pod.metadata, &uid, created_unix_ms);
        let label = ("pod-template-hash".to_owned(), template_hash.to_owned());
        pod.metadata.labels.extend([label]);
        let words = format!("Created pod: {}", pod.metadata.name);
        let about = entry.about();
        let saved = SavedPod {
            uid: uid.clone(),
            pod,
            owner: Some(owner.to_owned()),
            template_hash: Some(template_hash.to_owned()),
            created_at: now,
            created_unix_ms,
            memory: pod::PodMemory::default(),
            ids: None,
        };
        self.world.pods.insert(uid.clone(), PodEntry::new(saved, Sandbox::Absent, now));
        self.world.unsaved.pods.insert(uid.clone());
        self.world.pod_changed(&uid);
        self.world.note(&about, false, "SuccessfulCreate", &words);
    }

    /// Asks for the end of a pod.
    pub(crate) fn delete_pod(&mut self, uid: &str, grace_ms: Option<u64>, now: Millis) {
        let Some(entry) = self.world.pods.get_mut(uid) else { return };
        pod::request_delete(&mut entry.memory, grace_ms, now);
        entry.dirty = true;
        let (words, owner) = (format!("Deleted pod: {}", entry.pod.metadata.name), &entry.owner);
        let owner = owner.as_ref().and_then(|owner| self.world.deployments.get(owner));
        let about = owner.map(DeploymentEntry::about);
        self.world.unsaved.pods.insert(uid.to_owned());
        self.world.pod_changed(uid);
        if let Some(about) = about {
            self.world.note(&about, false, "SuccessfulDelete", &words);
        }
    }

    /// Writes what is not saved, in one transaction; whether everything is saved that is to be.
    pub(crate) async fn save(&mut self, now: Millis) -> bool {
        if self.is_sealed() {
            return true;
        }
        let settled = self.world.unsaved.is_settled();
        let events = self.world.unsaved.events_since;
        let wait = settled && events.is_none_or(|since| now < since + EVENTS_WAIT_MS);
        if wait || self.storage_retry_at.is_some_and(|at| now < at) {
            return settled;
        }
        let change = Arc::new(self.change());
        let result = self.commit(&change).await;
        match result {
            Ok(()) => self.saved(&change),
            Err(error) => self.not_saved(&change, &error, now),
        }
        self.storage_error.is_none()
    }

    /// One transaction, on another thread; the loop waits, others do not.
    pub(crate) async fn commit(&self, change: &Arc<Change>) -> Result<(), StoreError> {
        let (store, change) = (Arc::clone(&self.store), Arc::clone(change));
        self.tools.at_once(move |_| store.commit(&change)).await
    }

    fn change(&mut self) -> Change {
        let world = &mut self.world;
        let fresh = world.events.take_dirty();
        world.unsaved.put_events.extend(fresh);
        let gone = world.events.take_forgotten();
        world.unsaved.gone_events.extend(gone);
        let unsaved = &world.unsaved;
        let pods = unsaved.pods.iter().filter_map(|uid| world.pods.get(uid));
        let deployments = unsaved.deployments.iter().filter_map(|uid| world.deployments.get(uid));
        let address = |uid: &String| Some((uid.clone(), *world.addresses.get(uid)?));
        Change {
            boot_id: unsaved.boot_id.clone(),
            put_pods: pods.map(PodEntry::saved).collect(),
            remove_pods: unsaved.gone_pods.iter().cloned().collect(),
            put_deployments: deployments.map(DeploymentEntry::saved).collect(),
            remove_deployments: unsaved.gone_deployments.iter().cloned().collect(),
            // Saved where they are changed.
            put_secrets: Vec::new(),
            remove_secrets: Vec::new(),
            put_addresses: unsaved.addresses.iter().filter_map(address).collect(),
            remove_addresses: unsaved
                .addresses
                .iter()
                .filter(|uid| !world.addresses.contains_key(*uid))
                .cloned()
                .collect(),
            put_events: unsaved.put_events.clone(),
            remove_events: unsaved.gone_events.clone(),
        }
    }

    fn saved(&mut self, change: &Change) {
        for saved in &change.put_pods {
            if let Some(entry) = self.world.pods.get_mut(&saved.uid) {
                entry.durable = saved.memory.clone();
            }
        }
        for saved in &change.put_deployments {
            if let Some(entry) = self.world.deployments.get_mut(&saved.uid) {
                entry.durable = saved.memory.clone();
            }
        }
        self.world.unsaved = crate::world::Unsaved::default();
        self.storage_retry_at = None;
        if self.storage_error.take().is_some() {
            self.world.version += 1;
        }
    }

    fn not_saved(&mut self, change: &Change, error: &StoreError, now: Millis) {
        debug_assert!(!change.is_empty(), "an empty change cannot fail");
        self.storage_error = Some(with_hint(chain(error), error.hint()));
        self.storage_retry_at = Some(now + STORE_RETRY_MS);
        self.world.version += 1;
    }

    /// Begins actions; without a record of what they follow from, only those that may go ahead.
    fn dispatch(&mut self, due: Due, saved: bool) {
        let sealed = self.is_sealed();
        for (uid, action) in due {
            let address = self.world.addresses.get(&uid).copied();
            let pod = self.world.pods.get(&uid).map(|entry| Arc::clone(&entry.pod));
            let pull_secrets = match (&action, pod) {
                (Action::StartContainer { .. }, Some(pod)) => self.world.pull_secrets(&pod),
                _ => Vec::new(),
            };
            let Some(entry) = self.world.pods.get_mut(&uid) else { continue };
            if !saved && !may_go_ahead(&action, entry.memory.is_deleting()) {
                continue;
            }
            entry.in_flight.insert(action.clone());
            let (keep, wanted) = (entry.kept(sealed), Arc::clone(&entry.wanted));
            let subject = self.tools.subject(&uid, &entry.pod, entry.ids);
            let address = address.filter(|_| !entry.host_network());
            self.tell_begin(&uid, &action);
            act::begin(&self.tools, Job { subject, action, address, keep, wanted, pull_secrets });
        }
    }
}

/// What does no harm when it is forgotten, or belongs to a pod of which nothing is to stay.
fn may_go_ahead(action: &Action, deleting: bool) -> bool {
    match action {
        Action::Probe { .. } | Action::StopContainer { .. } | Action::KillContainer { .. } => true,
        Action::RemoveSandbox | Action::RemoveContainer { .. } => deleting,
        Action::CreateSandbox | Action::StartContainer { .. } => false,
    }
}

fn deletion_cost(entry: &PodEntry) -> i32 {
    let cost = entry.pod.metadata.annotations.get(DELETION_COST);
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}
