//! What travels over the socket. Objects themselves stay JSON values: their shape is Kubernetes'
//! and is owned by crate `pod`; here are the envelopes round them and our own documents.
//!
//! Unknown fields are ignored on reading, so that a newer peer can be understood.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A kind of object the API lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// v1 Pod.
    Pods,
    /// apps/v1 Deployment.
    Deployments,
    /// v1 Secret.
    Secrets,
    /// v1 Event.
    Events,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Pods, Kind::Deployments, Kind::Secrets, Kind::Events];

    /// By the `kind` of an object.
    #[must_use]
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Name in paths.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Pods => "pods",
            Kind::Deployments => "deployments",
            Kind::Secrets => "secrets",
            Kind::Events => "events",
        }
    }

    /// `kind` of one object.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pods => "Pod",
            Kind::Deployments => "Deployment",
            Kind::Secrets => "Secret",
            Kind::Events => "Event",
        }
    }

    /// `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Kind::Pods | Kind::Secrets | Kind::Events => "v1",
            Kind::Deployments => "apps/v1",
        }
    }

    /// Path of the group, without a slash at the end.
    #[must_use]
    pub fn group_path(self) -> &'static str {
        match self {
            Kind::Pods | Kind::Secrets | Kind::Events => "/api/v1",
            Kind::Deployments => "/apis/apps/v1",
        }
    }

    /// Path of the kind's list: of a namespace, or of all.
    #[must_use]
    pub fn list_path(self, namespace: Option<&str>) -> String {
        match namespace {
            Some(ns) => format!("{}/namespaces/{ns}/{}", self.group_path(), self.plural()),
            None => format!("{}/{}", self.group_path(), self.plural()),
        }
    }
}

/// Kubernetes' answer for a failure (and for a deletion that worked).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// `Success` or `Failure`.
    pub status: String,
    /// For a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For a machine: `NotFound`, `Invalid`, ….
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Ours: what to try next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is wrong with a manifest, one entry a finding.
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub details: Details,
    /// HTTP status.
    pub code: u16,
}

/// `details` of a [`Status`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// One entry a finding.
    #[serde(default)]
    pub causes: Vec<Cause>,
}

impl Details {
    fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }
}

/// One finding of a manifest, Kubernetes' fields and ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Field path, as in `spec.containers[0].image`.
    #[serde(default)]
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// Ours: file, line and column, from 1; 0 where there is none.
    #[serde(default)]
    pub source: String,
    /// Line, from 1.
    #[serde(default)]
    pub line: usize,
    /// Column, from 1.
    #[serde(default)]
    pub column: usize,
    /// Ours: what to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Status {
    /// A deletion or another order without an object of its own has worked.
    #[must_use]
    pub fn success() -> Status {
        Status {
            kind: "Status".into(),
            api_version: "v1".into(),
            status: "Success".into(),
            message: String::new(),
            reason: String::new(),
            hint: None,
            details: Details::default(),
            code: 200,
        }
    }
}

/// A list of objects as of a resource version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// `PodList`, ….
    pub kind: String,
    /// As the objects'.
    pub api_version: String,
    /// Holds the resource version.
    pub metadata: ListMeta,
    /// The objects.
    pub items: Vec<Value>,
}

/// `metadata` of a [`List`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListMeta {
    /// Where a watch goes on from.
    pub resource_version: String,
}

/// One line of a watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub change: Change,
    /// The object as it is now (as it was last, when deleted); a [`Status`] for an error.
    pub object: Value,
}

/// What happened to a watched object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Change {
    /// It is new, or it was there when the watch began.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
    /// All before this is the state at the beginning; the object carries the resource version.
    Bookmark,
    /// The watch ends; the object says why.
    Error,
}

/// Body of `POST /podvisor/v1/apply`: one manifest file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// File name, for errors.
    pub source: String,
    /// Its text: YAML or JSON, several documents.
    pub text: String,
    /// Refuse names that exist already (`run`).
    #[serde(default)]
    pub create_only: bool,
}

/// Answer of an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyAnswer {
    /// One entry an object, in the order of the manifest.
    pub applied: Vec<Applied>,
}

/// What an apply did to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// `Pod` or `Deployment`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `created`, `configured` or `unchanged`.
    pub outcome: String,
}

/// Where a process can be started in a container: the monitor's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecTarget {
    /// Socket of the pod's monitor.
    pub socket: PathBuf,
    /// Runtime id of the container.
    pub id: String,
    /// Name of the container.
    pub container: String,
    /// The process that the container itself was started with, as OCI `process`: an exec takes
    /// its user, environment, folder and capabilities from it.
    pub process: Value,
}

/// `spec` of `…/scale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// What is wanted.
    pub spec: ScaleSpec,
}

/// `spec` of a [`Scale`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleSpec {
    /// Number of pods wanted.
    pub replicas: u32,
}

/// Body of `POST /podvisor/v1/shutdown`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownRequest {
    /// Stop every pod and take the network down; otherwise pods go on without a supervisor.
    pub stop_pods: bool,
    /// With `stop_pods`: they come back at the next start of a supervisor; else every object is
    /// deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_objects: bool,
    /// Replaces every pod's own grace period, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
}

/// Answer of `GET /version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Program and version, as in `podvisor 0.1.0`.
    pub git_version: String,
    /// Version of `/podvisor/v1`.
    pub api: u32,
    /// The supervisor's pid.
    pub pid: u32,
}
