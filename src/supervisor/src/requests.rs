//! What people ask, answered from the world; what changes it is durable before it is answered.

mod apply;

use std::path::PathBuf;
use std::sync::Arc;

use pod::Millis;
use serde_json::{Value, json};

use crate::bundle;
use crate::error::Error;
use crate::handle::{ExecTarget, Member, Place, Reply, Request, Result, ShutdownMode};
use crate::serve::{Ending, Supervisor};
use crate::store::Change;
use crate::view::{self, Telling};
use crate::world::{PodEntry, Sandbox};

/// Longest wait for actions under way when the pods are left to themselves, in milliseconds.
const LEAVE_MS: Millis = 10_000;

impl Supervisor {
    /// Answers a request. Whoever asked may have gone: that is their affair.
    pub(crate) async fn answer(&mut self, request: Request) {
        match request {
            Request::Pods(reply) => {
                let _ = reply.send(Ok(self.pod_views()));
            }
            Request::Deployments(reply) => {
                let all = self.world.deployments.values().map(view::deployment);
                let _ = reply.send(Ok(all.collect()));
            }
            Request::Secrets(reply) => {
                let all = self.world.secrets.values().map(|saved| saved.secret.clone());
                let _ = reply.send(Ok(all.collect()));
            }
            Request::Events(reply) => {
                let _ = reply.send(Ok(self.world.events.list()));
            }
            Request::Apply(objects, reply) => {
                let _ = reply.send(self.apply(objects).await);
            }
            Request::Delete(place, grace, reply) => {
                let _ = reply.send(self.delete(&place, grace).await);
            }
            Request::Scale(place, replicas, reply) => {
                let _ = reply.send(self.scale(&place, replicas).await);
            }
            Request::Exec(member, reply) => {
                let _ = reply.send(self.exec_target(&member));
            }
            Request::Log(member, previous, reply) => {
                let _ = reply.send(self.log_path(&member, previous));
            }
            Request::Status(reply) => {
                let _ = reply.send(Ok(self.own_status()));
            }
            Request::Shutdown(mode, reply) => self.shut_down(mode, reply).await,
        }
    }

    fn pod_views(&self) -> Vec<crate::handle::PodView> {
        let telling = |entry: &PodEntry| Telling {
            wall_offset_ms: self.world.wall_offset_ms,
            pod_ip: self.address_of(&entry.uid),
            host_ip: self.tools.host.address,
        };
        self.world.pods.values().map(|entry| view::pod(entry, &telling(entry))).collect()
    }

    async fn delete(&mut self, place: &Place, grace: Option<u64>) -> Result<()> {
        let now = sys::clock::boot_ms();
        let grace_ms = grace.map(|seconds| seconds.saturating_mul(1000));
        let (namespace, name) = (&place.namespace, &place.name);
        let (deployment, pods) = match place.kind.as_str() {
            "Deployment" => {
                let found = self.world.deployment_named(namespace, name).ok_or(Error::NotFound)?;
                let uid = found.uid.clone();
                let ours = self.world.pods.values().filter(|p| p.owner.as_ref() == Some(&uid));
                let pods = ours.map(|p| p.uid.clone()).collect();
                (Some(uid), pods)
            }
            "Pod" => {
                let found = self.world.pod_named(namespace, name).ok_or(Error::NotFound)?;
                (None, vec![found.uid.clone()])
            }
            "Secret" => return self.delete_secret(namespace, name).await,
            _ => return Err(Error::NotFound),
        };
        let change = Arc::new(self.deletion(deployment.as_deref(), &pods, grace_ms, now));
        self.commit(&change).await?;
        if let Some(entry) = deployment.and_then(|uid| self.world.deployments.get_mut(&uid)) {
            (entry.deleting, entry.dirty) = (true, true);
            self.world.version += 1;
            entry.version = self.world.version;
        }
        for uid in pods {
            self.delete_pod(&uid, grace_ms, now);
        }
        Ok(())
    }

    async fn delete_secret(&mut self, namespace: &str, name: &str) -> Result<()> {
        let found = self.world.secret_named(namespace, name).ok_or(Error::NotFound)?;
        let uid = found.uid.clone();
        let change = Change { remove_secrets: vec![uid.clone()], ..Change::default() };
        self.commit(&Arc::new(change)).await?;
        self.world.secrets.remove(&uid);
        self.world.version += 1;
        Ok(())
    }

    /// The transaction of a deletion.
    fn deletion(
        &self,
        deployment: Option<&str>,
        pods: &[String],
        grace_ms: Option<u64>,
        now: Millis,
    ) -> Change {
        let entries = pods.iter().filter_map(|uid| self.world.pods.get(uid));
        let put_pods = entries.map(|entry| {
            let mut saved = entry.saved();
            pod::request_delete(&mut saved.memory, grace_ms, now);
            saved
        });
        let entry = deployment.and_then(|uid| self.world.deployments.get(uid));
        let put_deployments = entry.map(|entry| {
            let mut saved = entry.saved();
            saved.deleting = true;
            saved
        });
        Change {
            put_pods: put_pods.collect(),
            put_deployments: put_deployments.into_iter().collect(),
            ..Change::default()
        }
    }

    async fn scale(&mut self, place: &Place, replicas: u32) -> Result<()> {
        let found = self.world.deployment_named(&place.namespace, &place.name);
        let mut changed = found.ok_or(Error::NotFound)?.deployment.as_ref().clone();
        changed.spec.replicas = Some(replicas);
        self.apply(vec![pod::Object::Deployment(changed)]).await.map(drop)
    }

    /// The pod and the container that are meant.
    fn member(&self, member: &Member) -> Result<(&PodEntry, String)> {
        let entry = self.world.pod_named(&member.namespace, &member.pod).ok_or(Error::NotFound)?;
        let spec = &entry.pod.spec;
        let found = match &member.container {
            Some(name) => spec.container(name),
            None => spec.containers.first(),
        };
        match found {
            Some(container) => Ok((entry, container.name.clone())),
            None => Err(Error::NoContainer {
                pod: member.pod.clone(),
                container: member.container.clone().unwrap_or_default(),
                known: spec.all_containers().map(|c| c.name.clone()).collect(),
            }),
        }
    }

    fn exec_target(&self, member: &Member) -> Result<ExecTarget> {
        let (entry, container) = self.member(member)?;
        match entry.listing().and_then(|listing| listing.running(&container)) {
            Some(record) => Ok(ExecTarget {
                socket: self
                    .tools
                    .options
                    .paths
                    .pod(&entry.uid)
                    .join(monitor::sandbox_config::SOCKET_FILE),
                id: bundle::runtime_id(&entry.uid, &container, record.attempt),
                container,
            }),
            None => Err(Error::NotRunning { pod: member.pod.clone(), container }),
        }
    }

    fn log_path(&self, member: &Member, previous: bool) -> Result<PathBuf> {
        let (entry, container) = self.member(member)?;
        let current = entry.memory.containers.get(&container).and_then(|memory| memory.attempt);
        let listed = entry.listing().and_then(|listing| listing.running(&container));
        // One that has just been started is listed before it is decided about.
        let current = listed.map(|record| record.attempt).max(current).unwrap_or(0);
        let attempt = match (previous, current.checked_sub(1)) {
            (false, _) => current,
            (true, Some(before)) => before,
            (true, None) => {
                return Err(Error::NoPrevious { pod: member.pod.clone(), container });
            }
        };
        let folder = self.tools.log_dir(&entry.pod, &entry.uid).join(container);
        Ok(folder.join(format!("{attempt}.log")))
    }

    fn own_status(&self) -> Value {
        let pods = &self.world.pods;
        let broken: Vec<Value> = pods
            .values()
            .filter_map(|entry| match &entry.sandbox {
                Sandbox::Broken(reason) => {
                    Some(json!({"pod": entry.pod.metadata.name, "reason": reason}))
                }
                _ => None,
            })
            .collect();
        let logs: Vec<Value> = pods
            .values()
            .filter_map(|entry| {
                let error = entry.listing()?.log_error()?;
                Some(json!({"pod": entry.pod.metadata.name, "error": error}))
            })
            .collect();
        let paths = &self.tools.options.paths;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "startedAt": pod::status::rfc3339(
                i64::try_from(self.started_unix_ms / 1000).unwrap_or(i64::MAX)),
            "root": paths.root,
            "state": paths.state,
            "logDir": paths.log_dir,
            "pods": pods.len(),
            "readyPods": pods.values().filter(|entry| entry.status.is_ready()).count(),
            "deployments": self.world.deployments.len(),
            "storageError": self.storage_error,
            "salvage": self.salvage,
            "brokenSandboxes": broken,
            "logErrors": logs,
            "leftovers": self.leftovers(),
        })
    }

    async fn shut_down(&mut self, mode: ShutdownMode, reply: Reply<()>) {
        let ending = self.ending.get_or_insert_with(Ending::default);
        ending.replies.push(reply);
        if !mode.stop_pods {
            ending.leave = !ending.stop_pods;
            ending.leave_at = sys::clock::boot_ms() + LEAVE_MS;
            return;
        }
        let seal = mode.keep_objects && !ending.stop_pods;
        (ending.stop_pods, ending.leave) = (true, false);
        if seal {
            self.seal().await;
        }
        let now = sys::clock::boot_ms();
        let grace_ms = mode.grace.map(|seconds| seconds.saturating_mul(1000));
        for entry in self.world.deployments.values_mut().filter(|entry| !entry.deleting) {
            (entry.deleting, entry.dirty) = (true, true);
            self.world.unsaved.deployments.insert(entry.uid.clone());
        }
        self.world.version += 1;
        for uid in self.world.pods.keys().cloned().collect::<Vec<_>>() {
            self.delete_pod(&uid, grace_ms, now);
        }
    }
}
