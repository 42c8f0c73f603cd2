//! Kubernetes manifests: text to checked objects.
//!
//! The way: text -> `tree` (YAML with places, bounds, duplicate keys) -> `decode` with the tables
//! of `schema` (types, unknown and unsupported fields, `rules` about single values) -> `check`
//! (what concerns more than one field). Every step reports all it finds; an object with a finding
//! is never handed out.

mod check;
pub(crate) mod decode;
pub(crate) mod rules;
mod scalar;
pub(crate) mod schema;
mod spelling;
pub(crate) mod tree;

mod container;
mod deployment;
mod meta;
mod mixed;
mod pod;
mod probe;
mod secret;
mod security;
#[cfg(test)]
mod tests;
mod volume;

pub use crate::finding::Finding;
pub use container::{
    Container, ContainerPort, EnvVar, EnvVarSource, ImagePullPolicy, ObjectFieldSelector, Protocol,
    ResourceList, ResourceRequirements, RestartPolicy, TerminationMessagePolicy,
};
pub use deployment::{
    Deployment, DeploymentSpec, DeploymentStrategy, PodTemplateSpec, RollingUpdate, StrategyType,
};
pub use meta::{LabelSelector, ObjectMeta, OwnerReference};
pub use mixed::{IntOrPercent, PortRef};
pub use pod::{DEFAULT_GRACE_SECONDS, Pod, PodSpec};
pub use probe::{ExecAction, HttpGetAction, HttpHeader, Probe, Scheme, TcpSocketAction};
pub use rules::CAPABILITIES;
pub use schema::Table;
pub use secret::{Hidden, LocalObjectReference, Secret};
pub use security::{
    Capabilities, PodSecurityContext, SeccompProfile, SeccompType, SecurityContext, Sysctl,
};
pub use spelling::nearest;
pub use volume::{
    EmptyDirVolumeSource, HostPathType, HostPathVolumeSource, Medium, Volume, VolumeMount,
};

use decode::{Decode, Reader};
use serde::{Deserialize, Deserializer, Serialize};
use tree::{Node, Value};

/// What to do with fields that are unknown or not supported. Wrong values are always errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strictness {
    /// They are errors.
    #[default]
    Strict,
    /// They are warnings and have no effect.
    Warn,
    /// They have no effect.
    Ignore,
}

/// An object that podvisor can run, or that what it runs refers to.
#[allow(clippy::large_enum_variant, reason = "all are under 1 KiB, and callers match on values")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Object {
    /// A pod.
    Pod(Pod),
    /// A Deployment.
    Deployment(Deployment),
    /// A Secret.
    Secret(Secret),
}

impl Object {
    /// `Pod`, `Deployment` or `Secret`.
    pub fn kind(&self) -> &'static str {
        match self {
            Object::Pod(_) => "Pod",
            Object::Deployment(_) => "Deployment",
            Object::Secret(_) => "Secret",
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Object::Pod(pod) => &pod.metadata,
            Object::Deployment(deployment) => &deployment.metadata,
            Object::Secret(secret) => &secret.metadata,
        }
    }

    /// Its metadata, to be completed by the supervisor.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Object::Pod(pod) => &mut pod.metadata,
            Object::Deployment(deployment) => &mut deployment.metadata,
            Object::Secret(secret) => &mut secret.metadata,
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = serde_json::Value::deserialize(deserializer)?;
        match value.get("kind").and_then(|kind| kind.as_str()) {
            Some("Pod") => serde_json::from_value(value).map(Object::Pod).map_err(D::Error::custom),
            Some("Deployment") => {
                serde_json::from_value(value).map(Object::Deployment).map_err(D::Error::custom)
            }
            Some("Secret") => {
                serde_json::from_value(value).map(Object::Secret).map_err(D::Error::custom)
            }
            kind => Err(D::Error::custom(format!("unknown kind {kind:?}"))),
        }
    }
}

/// Objects of a text, and what was let pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// In the order of the text.
    pub objects: Vec<Object>,
    /// Unknown and unsupported fields, with [`Strictness::Warn`].
    pub warnings: Vec<Finding>,
}

/// Reads Kubernetes YAML or JSON; several documents and `kind: List` are flattened. `source` is the
/// file name for messages.
///
/// # Errors
/// Every finding at once, in the order of the text.
pub fn parse(source: &str, text: &str, validate: Strictness) -> Result<Vec<Object>, Vec<Finding>> {
    parse_with_warnings(source, text, validate).map(|parsed| parsed.objects)
}

/// As [`parse`], with the warnings of [`Strictness::Warn`].
///
/// # Errors
/// Every finding at once, in the order of the text.
pub fn parse_with_warnings(
    source: &str,
    text: &str,
    validate: Strictness,
) -> Result<Parsed, Vec<Finding>> {
    let mut reader = Reader::new(source, validate);
    let documents = tree::documents(text, &mut reader);
    let mut objects = Vec::new();
    for document in documents.iter().filter(|node| !node.is_null()) {
        object(document, &mut reader, &mut objects, 0);
    }
    if objects.is_empty() && reader.findings.is_empty() {
        let hint = "write a Pod or a Deployment into it, as docs/pods.md says";
        reader.place(1, 1, "no object in it".to_owned(), Some(hint.to_owned()));
    }
    duplicates(&objects, &mut reader);
    let mut findings = std::mem::take(&mut reader.findings);
    if findings.is_empty() {
        let objects = objects.into_iter().map(|(object, _)| object).collect();
        return Ok(Parsed { objects, warnings: reader.warnings });
    }
    findings.sort_by(|a, b| (a.line, a.column, &a.path).cmp(&(b.line, b.column, &b.path)));
    findings.dedup();
    Err(findings)
}

type Place = (usize, usize);

const KINDS: &[(&str, &str)] =
    &[("Pod", "v1"), ("Deployment", "apps/v1"), ("Secret", "v1"), ("List", "v1")];
const LATER_KINDS: &[&str] = &[
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "Service",
    "ConfigMap",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "Namespace",
    "Ingress",
    "ServiceAccount",
    "NetworkPolicy",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
];

fn object(node: &Node, reader: &mut Reader, out: &mut Vec<(Object, Place)>, depth: usize) {
    if !matches!(node.value, Value::Mapping(_)) {
        reader.wrong_type(node, "an object (a mapping with apiVersion and kind)");
        return;
    }
    let Some(kind) = kind(node, reader) else { return };
    let place = (node.line, node.column);
    match kind {
        "Pod" => {
            let pod = Pod::decode(node, reader);
            check::pod(&pod, node, reader);
            out.push((Object::Pod(pod), place));
        }
        "Deployment" => {
            let deployment = Deployment::decode(node, reader);
            check::deployment(&deployment, node, reader);
            out.push((Object::Deployment(deployment), place));
        }
        "Secret" => {
            let secret = Secret::decode(node, reader);
            check::secret(&secret, node, reader);
            out.push((Object::Secret(secret), place));
        }
        _ => match node.get("items").map(|items| &items.value) {
            Some(Value::Sequence(items)) if depth < 4 => {
                items.iter().for_each(|item| object(item, reader, out, depth + 1));
            }
            _ => reader.error_at(node, "items", "a List needs a list of items".to_owned(), None),
        },
    }
}

/// The kind of a document, when it is one of ours and its apiVersion fits.
fn kind(node: &Node, reader: &mut Reader) -> Option<&'static str> {
    let mut word = |key: &str| match node.get(key) {
        Some(value) => reader.text(value).map(str::to_owned),
        None => {
            reader.error_at(node, key, format!("required field {key:?} is missing"), None);
            None
        }
    };
    let (version, kind) = (word("apiVersion"), word("kind")?);
    let Some((kind, wanted)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        if LATER_KINDS.contains(&kind.as_str()) {
            let hint = "podvisor knows Pod, Deployment and Secret".to_owned();
            reader.error_at(node, "kind", format!("kind {kind} is not supported yet"), Some(hint));
            return None;
        }
        let names = KINDS.iter().map(|(name, _)| *name).chain(LATER_KINDS.iter().copied());
        let hint = nearest(&kind, names)
            .map_or("podvisor knows Pod, Deployment and Secret".to_owned(), |near| {
                format!("did you mean {near:?}?")
            });
        reader.error_at(node, "kind", format!("unknown kind {kind:?}"), Some(hint));
        return None;
    };
    let version = version?;
    if version != *wanted {
        let problem = format!("apiVersion {version:?} has no kind {kind}");
        reader.error_at(node, "apiVersion", problem, Some(format!("write {wanted}")));
    }
    Some(kind)
}

fn duplicates(objects: &[(Object, Place)], reader: &mut Reader) {
    for (index, (object, place)) in objects.iter().enumerate() {
        let same = |other: &Object| {
            other.kind() == object.kind()
                && other.metadata().name == object.metadata().name
                && other.metadata().namespace() == object.metadata().namespace()
        };
        let earlier = objects[..index].iter().find(|(other, _)| same(other));
        if let Some((_, first)) = earlier.filter(|_| !object.metadata().name.is_empty()) {
            let problem = format!("{} {:?} twice", object.kind(), object.metadata().name);
            let hint = format!("it is also on line {}", first.0);
            reader.place(place.0, place.1, problem, Some(hint));
        }
    }
}

/// The tables of all types, for the documentation test and for `podvisor explain`-like output.
pub fn tables() -> Vec<Table> {
    vec![
        Pod::TABLE,
        Deployment::TABLE,
        Secret::TABLE,
        ObjectMeta::TABLE,
        OwnerReference::TABLE,
        LabelSelector::TABLE,
        DeploymentSpec::TABLE,
        DeploymentStrategy::TABLE,
        RollingUpdate::TABLE,
        PodTemplateSpec::TABLE,
        PodSpec::TABLE,
        LocalObjectReference::TABLE,
        PodSecurityContext::TABLE,
        Sysctl::TABLE,
        SeccompProfile::TABLE,
        Volume::TABLE,
        EmptyDirVolumeSource::TABLE,
        HostPathVolumeSource::TABLE,
        Container::TABLE,
        EnvVar::TABLE,
        EnvVarSource::TABLE,
        ObjectFieldSelector::TABLE,
        ContainerPort::TABLE,
        ResourceRequirements::TABLE,
        ResourceList::TABLE,
        VolumeMount::TABLE,
        SecurityContext::TABLE,
        Capabilities::TABLE,
        Probe::TABLE,
        ExecAction::TABLE,
        HttpGetAction::TABLE,
        HttpHeader::TABLE,
        TcpSocketAction::TABLE,
    ]
}
