//! The supervisor's handle as the server's [`Backend`]: its words are put into the API's, and
//! nothing is decided.

use std::path::PathBuf;

use pod::{Finding, Strictness};
use serde_json::{Value, json};
use supervisor::{Error, Handle, Outcome, ShutdownMode};
use tokio::sync::watch;

use crate::backend::{Backend, Target};
use crate::error::{ApiError, chain};
use crate::wire::{Applied, ApplyRequest, Cause, ExecTarget, Kind, ShutdownRequest};

/// A supervisor behind the API.
#[derive(Clone)]
pub struct Supervised {
    handle: Handle,
}

impl Supervised {
    /// Speaks to the supervisor through its handle.
    #[must_use]
    pub fn new(handle: Handle) -> Supervised {
        Supervised { handle }
    }

    async fn refuse_existing(&self, objects: &[pod::Object]) -> Result<(), ApiError> {
        for object in objects {
            let Some(kind) = Kind::named(object.kind()) else { continue };
            let meta = object.metadata();
            let taken = self.list(kind).await?.iter().any(|known| {
                known["metadata"]["name"] == meta.name.as_str()
                    && known["metadata"]["namespace"] == meta.namespace()
            });
            if taken {
                let what = object.kind().to_lowercase();
                let words = format!("{what} \"{}\" exists already", meta.name);
                let hint = format!("podvisor delete {what} {}, or choose another name", meta.name);
                return Err(ApiError::exists(words).hint(hint));
            }
        }
        Ok(())
    }
}

impl Backend for Supervised {
    fn changes(&self) -> watch::Receiver<u64> {
        self.handle.watch()
    }

    async fn list(&self, kind: Kind) -> Result<Vec<Value>, ApiError> {
        let version = *self.handle.watch().borrow();
        let objects: Result<Vec<Value>, serde_json::Error> = match kind {
            Kind::Pods => {
                let views = self.handle.list_pods().await.map_err(refused)?;
                views.into_iter().map(|v| object(&v.pod, v.status, kind, version)).collect()
            }
            Kind::Deployments => {
                let views = self.handle.list_deployments().await.map_err(refused)?;
                views.into_iter().map(|v| object(&v.deployment, v.status, kind, version)).collect()
            }
            Kind::Secrets => {
                let secrets = self.handle.list_secrets().await.map_err(refused)?;
                secrets.iter().map(serde_json::to_value).collect()
            }
            Kind::Events => {
                let events = self.handle.events().await.map_err(refused)?;
                events.iter().map(serde_json::to_value).collect()
            }
        };
        objects.map_err(|error| ApiError::internal(error.to_string()))
    }

    async fn apply(&self, request: ApplyRequest) -> Result<Vec<Applied>, ApiError> {
        let parsed = pod::manifest::parse(&request.source, &request.text, Strictness::Strict);
        let objects =
            parsed.map_err(|all| ApiError::invalid(all.into_iter().map(cause).collect()))?;
        if request.create_only {
            self.refuse_existing(&objects).await?;
        }
        let applied = self.handle.apply(objects).await.map_err(refused)?;
        let one = |a: supervisor::Applied| Applied {
            kind: a.kind,
            namespace: a.namespace,
            name: a.name,
            outcome: match a.outcome {
                Outcome::Created => "created".into(),
                Outcome::Configured => "configured".into(),
                Outcome::Unchanged => "unchanged".into(),
            },
        };
        Ok(applied.into_iter().map(one).collect())
    }

    async fn delete(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        grace_seconds: Option<u64>,
    ) -> Result<(), ApiError> {
        self.handle.delete(kind.name(), namespace, name, grace_seconds).await.map_err(refused)
    }

    async fn scale(&self, namespace: &str, name: &str, replicas: u32) -> Result<(), ApiError> {
        self.handle.scale(namespace, name, replicas).await.map_err(refused)
    }

    async fn exec_target(&self, target: Target) -> Result<ExecTarget, ApiError> {
        let (ns, pod) = (&target.namespace, &target.pod);
        let found = self.handle.exec_target(ns, pod, target.container.as_deref()).await;
        let found = found.map_err(refused)?;
        let process = process_of(&found.socket, &found.id)?;
        Ok(ExecTarget { socket: found.socket, id: found.id, container: found.container, process })
    }

    async fn log_path(&self, target: Target, previous: bool) -> Result<PathBuf, ApiError> {
        let (ns, pod) = (&target.namespace, &target.pod);
        let path = self.handle.log_path(ns, pod, target.container.as_deref(), previous).await;
        path.map_err(refused)
    }

    async fn status(&self) -> Result<Value, ApiError> {
        self.handle.status().await.map_err(refused)
    }

    async fn shutdown(&self, request: ShutdownRequest) -> Result<(), ApiError> {
        let ShutdownRequest { stop_pods, keep_objects, grace_seconds: grace } = request;
        let mode = ShutdownMode { stop_pods, keep_objects, grace };
        self.handle.shutdown(mode).await.map_err(refused)
    }
}

/// A whole Kubernetes object: what was asked for, with its status.
fn object(
    spec: &impl serde::Serialize,
    status: Value,
    kind: Kind,
    version: u64,
) -> Result<Value, serde_json::Error> {
    let mut object = serde_json::to_value(spec)?;
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.name());
    let _ = version;
    object["status"] = status;
    Ok(object)
}

fn refused(error: Error) -> ApiError {
    let words = chain(&error);
    let made = match &error {
        Error::NotFound | Error::NoContainer { .. } => ApiError::not_found(words),
        Error::NoPrevious { .. } => ApiError::bad_request(words),
        Error::NotRunning { .. } | Error::Deleting { .. } => ApiError::conflict(words),
        Error::Stopping | Error::Ended => ApiError::unavailable(words),
        _ => ApiError::internal(words),
    };
    match error.hint() {
        Some(hint) => made.hint(hint),
        None => made,
    }
}

fn cause(finding: Finding) -> Cause {
    Cause {
        field: finding.path,
        message: finding.problem,
        source: finding.source,
        line: finding.line,
        column: finding.column,
        hint: finding.hint,
    }
}

/// The process that a container was started with, from its bundle beside the monitor's socket.
fn process_of(socket: &std::path::Path, id: &str) -> Result<Value, ApiError> {
    let folder = socket.parent().unwrap_or(std::path::Path::new("/"));
    let path = folder.join("bundles").join(id).join("config.json");
    let broken = |words: String| ApiError::internal(format!("read {}: {words}", path.display()));
    let text = std::fs::read(&path).map_err(|error| broken(error.to_string()))?;
    let mut config: Value =
        serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    Ok(config["process"].take())
}
