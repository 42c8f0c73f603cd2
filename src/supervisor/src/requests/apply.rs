//! Making objects be as a manifest says: all in one transaction, or none.
//!
//! An object counts as changed when what was asked for differs, in its normal form; what the
//! supervisor added does not count. A changed container is restarted by the decisions; a change
//! that the sandbox was made from makes the sandbox anew.

use std::sync::Arc;

use pod::manifest::{PodSpec, Secret};
use pod::memory::{PodMemory, StopCause};
use pod::{Deployment, Object, Pod};

use crate::bundle;
use crate::error::Error;
use crate::handle::{Applied, Outcome, Result};
use crate::naming;
use crate::serve::Supervisor;
use crate::store::{Change, SavedDeployment, SavedPod, SavedSecret};
use crate::view;
use crate::world::{DeploymentEntry, PodEntry, Sandbox};

/// What one object comes to.
enum Step {
    Nothing,
    NewPod(SavedPod),
    ChangedPod(SavedPod),
    NewDeployment(SavedDeployment),
    ChangedDeployment(SavedDeployment),
    NewSecret(SavedSecret),
    ChangedSecret(SavedSecret),
}

impl Supervisor {
    pub(super) async fn apply(&mut self, objects: Vec<Object>) -> Result<Vec<Applied>> {
        if self.ending.is_some() {
            return Err(Error::Stopping);
        }
        let mut steps = Vec::new();
        let mut applied = Vec::new();
        for object in objects {
            let (kind, meta) = (object.kind(), object.metadata());
            let (namespace, name) = (meta.namespace().to_owned(), meta.name.clone());
            let step = match object {
                Object::Pod(pod) => self.step_of_pod(pod)?,
                Object::Deployment(deployment) => self.step_of_deployment(deployment)?,
                Object::Secret(secret) => self.step_of_secret(secret)?,
            };
            let outcome = step.outcome();
            applied.push(Applied { kind: kind.to_owned(), namespace, name, outcome });
            steps.push(step);
        }
        let change = Arc::new(change_of(&steps));
        self.commit(&change).await?;
        for step in steps {
            self.take(step);
        }
        Ok(applied)
    }

    fn step_of_pod(&self, mut pod: Pod) -> Result<Step> {
        let now = sys::clock::boot_ms();
        let known = self.world.pod_named(pod.metadata.namespace(), &pod.metadata.name);
        pod.metadata = view::as_asked(&pod.metadata);
        let Some(known) = known else {
            let uid = new_uid()?;
            let created_unix_ms = crate::host::unix_ms();
            view::complete(&mut pod.metadata, &uid, created_unix_ms);
            return Ok(Step::NewPod(SavedPod {
                uid,
                pod,
                owner: None,
                template_hash: None,
                created_at: now,
                created_unix_ms,
                memory: PodMemory::default(),
                ids: None,
            }));
        };
        if known.memory.is_deleting() {
            return Err(Error::Deleting { kind: "Pod", name: pod.metadata.name });
        }
        let before = view::as_asked(&known.pod.metadata);
        if before == pod.metadata && known.pod.spec == pod.spec {
            return Ok(Step::Nothing);
        }
        let mut saved = known.saved();
        saved.pod.metadata.labels = pod.metadata.labels;
        saved.pod.metadata.annotations = pod.metadata.annotations;
        forget_problems(&mut saved.memory, &known.pod.spec, &pod.spec);
        if known.pod.spec != pod.spec {
            begin_again(&mut saved.memory);
        }
        saved.pod.spec = pod.spec;
        Ok(Step::ChangedPod(saved))
    }

    fn step_of_deployment(&self, mut deployment: Deployment) -> Result<Step> {
        let meta = &deployment.metadata;
        let known = self.world.deployment_named(meta.namespace(), &meta.name);
        deployment.metadata = view::as_asked(meta);
        let Some(known) = known else {
            let uid = new_uid()?;
            let created_unix_ms = crate::host::unix_ms();
            view::complete(&mut deployment.metadata, &uid, created_unix_ms);
            let memory = pod::DeploymentMemory::default();
            return Ok(Step::NewDeployment(SavedDeployment {
                uid,
                deployment,
                created_unix_ms,
                memory,
                deleting: false,
            }));
        };
        if known.deleting {
            let name = deployment.metadata.name;
            return Err(Error::Deleting { kind: "Deployment", name });
        }
        let before = view::as_asked(&known.deployment.metadata);
        if before == deployment.metadata && known.deployment.spec == deployment.spec {
            return Ok(Step::Nothing);
        }
        let mut saved = known.saved();
        saved.deployment.metadata.labels = deployment.metadata.labels;
        saved.deployment.metadata.annotations = deployment.metadata.annotations;
        saved.deployment.spec = deployment.spec;
        Ok(Step::ChangedDeployment(saved))
    }

    fn step_of_secret(&self, secret: Secret) -> Result<Step> {
        let mut secret = secret.normal();
        let meta = &secret.metadata;
        let known = self.world.secret_named(meta.namespace(), &meta.name);
        secret.metadata = view::as_asked(meta);
        let Some(known) = known else {
            let uid = new_uid()?;
            view::complete(&mut secret.metadata, &uid, crate::host::unix_ms());
            return Ok(Step::NewSecret(SavedSecret { uid, secret }));
        };
        let before =
            Secret { metadata: view::as_asked(&known.secret.metadata), ..known.secret.clone() };
        if before == secret {
            return Ok(Step::Nothing);
        }
        let mut saved = known.clone();
        saved.secret.metadata.labels = secret.metadata.labels.clone();
        saved.secret.metadata.annotations = secret.metadata.annotations.clone();
        saved.secret = Secret { metadata: saved.secret.metadata, ..secret };
        Ok(Step::ChangedSecret(saved))
    }

    /// Takes over what has been saved.
    fn take(&mut self, step: Step) {
        let now = sys::clock::boot_ms();
        match step {
            Step::Nothing => {}
            Step::NewPod(saved) => {
                let uid = saved.uid.clone();
                self.world.pods.insert(uid.clone(), PodEntry::new(saved, Sandbox::Absent, now));
                self.world.pod_changed(&uid);
            }
            Step::NewSecret(saved) | Step::ChangedSecret(saved) => self.keep_secret(saved),
            Step::ChangedPod(saved) => self.change_pod(saved),
            Step::NewDeployment(saved) => {
                let uid = saved.uid.clone();
                self.world.version += 1;
                let version = self.world.version;
                let entry = DeploymentEntry { version, ..DeploymentEntry::new(saved) };
                self.world.deployments.insert(uid, entry);
            }
            Step::ChangedDeployment(saved) => {
                self.world.version += 1;
                let version = self.world.version;
                if let Some(entry) = self.world.deployments.get_mut(&saved.uid) {
                    entry.deployment = Arc::new(saved.deployment);
                    (entry.dirty, entry.version) = (true, version);
                }
            }
        }
    }

    /// Pods that wait for it are not told: their next pull reads it.
    fn keep_secret(&mut self, mut saved: SavedSecret) {
        self.world.version += 1;
        saved.secret.metadata.resource_version = Some(self.world.version.to_string());
        self.world.secrets.insert(saved.uid.clone(), saved);
    }

    fn change_pod(&mut self, saved: SavedPod) {
        let uid = saved.uid.clone();
        let tools = &self.tools;
        let Some(entry) = self.world.pods.get_mut(&uid) else { return };
        let sandbox = |pod: &Pod| bundle::sandbox(pod, &uid, &tools.host.node_name, &tools.options);
        let outdated = sandbox(&entry.pod) != sandbox(&saved.pod)
            || is_outdated(&entry.pod.spec, &saved.pod.spec);
        if let (Sandbox::Up(up), true) = (&mut entry.sandbox, outdated) {
            up.outdated = Some("the pod's definition changed".to_owned());
        }
        entry.pod = Arc::new(saved.pod);
        entry.durable = saved.memory.clone();
        entry.memory = saved.memory;
        entry.dirty = true;
        self.world.pod_changed(&uid);
    }
}

impl Step {
    fn outcome(&self) -> Outcome {
        match self {
            Step::Nothing => Outcome::Unchanged,
            Step::NewPod(_) | Step::NewDeployment(_) | Step::NewSecret(_) => Outcome::Created,
            Step::ChangedPod(_) | Step::ChangedDeployment(_) | Step::ChangedSecret(_) => {
                Outcome::Configured
            }
        }
    }
}

fn change_of(steps: &[Step]) -> Change {
    let mut change = Change::default();
    for step in steps {
        match step {
            Step::Nothing => {}
            Step::NewPod(saved) | Step::ChangedPod(saved) => change.put_pods.push(saved.clone()),
            Step::NewDeployment(saved) | Step::ChangedDeployment(saved) => {
                change.put_deployments.push(saved.clone());
            }
            Step::NewSecret(saved) | Step::ChangedSecret(saved) => {
                change.put_secrets.push(saved.clone());
            }
        }
    }
    change
}

fn new_uid() -> Result<String> {
    let path = "/dev/urandom".into();
    naming::uid().map_err(|source| Error::File { action: "read", path, source })
}

/// A container whose definition changed is tried at once, whatever stood against the old one.
fn forget_problems(memory: &mut PodMemory, before: &PodSpec, after: &PodSpec) {
    for (name, container) in &mut memory.containers {
        if before.container(name) != after.container(name) {
            container.problem = None;
        }
    }
    memory.sandbox.problem = None;
}

/// A finished pod with a new definition runs again, its attempts counting on.
fn begin_again(memory: &mut PodMemory) {
    if memory.terminal.take().is_none() && memory.failure.is_none() {
        return;
    }
    memory.failure = None;
    memory.started_at = None;
    memory.initialized = false;
    for last in memory.containers.values_mut().filter_map(|c| c.last.as_mut()) {
        last.cause = Some(StopCause::Replaced);
    }
}

/// Whether a sandbox has things from its pod that the monitor's configuration does not show.
fn is_outdated(before: &PodSpec, after: &PodSpec) -> bool {
    let ports = |spec: &PodSpec| -> Vec<_> {
        let all = spec.all_containers().flat_map(|container| container.ports.clone());
        all.filter(|port| port.host_port.is_some()).collect()
    };
    before.volumes != after.volumes
        || before.host_users != after.host_users
        || before.security_context != after.security_context
        || ports(before) != ports(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(value: Value) -> PodSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_the_sandbox_was_made_from_outdates_it() {
        let container = |extra: Value| {
            let mut container = json!({"name": "a", "image": "i:1"});
            for (key, value) in extra.as_object().unwrap() {
                container[key] = value.clone();
            }
            json!({"containers": [container]})
        };
        let plain = spec(container(json!({})));
        let image = spec(container(json!({"image": "i:2"})));
        assert!(!is_outdated(&plain, &image));
        let port = json!({"ports": [{"containerPort": 80}]});
        assert!(!is_outdated(&plain, &spec(container(port))));
        let published = json!({"ports": [{"containerPort": 80, "hostPort": 80}]});
        assert!(is_outdated(&plain, &spec(container(published))));
        let mut users = container(json!({}));
        users["hostUsers"] = json!(false);
        assert!(is_outdated(&plain, &spec(users)));
        let mut volumes = container(json!({}));
        volumes["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        assert!(is_outdated(&plain, &spec(volumes)));
    }

    #[test]
    fn a_finished_pod_begins_again() {
        let mut memory = PodMemory { initialized: true, ..PodMemory::default() };
        begin_again(&mut memory);
        assert!(memory.initialized, "one that is not finished goes on");
        memory.terminal = Some(pod::memory::Terminal::Failed);
        begin_again(&mut memory);
        assert!(!memory.initialized && memory.terminal.is_none());
    }
}
