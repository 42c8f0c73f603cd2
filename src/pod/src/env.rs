//! Environment of a container: `$(VAR)` expansion and fields of the pod. Pure functions.
//!
//! Source: Kubernetes third_party/forked/golang/expansion and kubelet_pods.go makeEnvironment.
//! A reference sees only what stands earlier; `$$(VAR)` gives `$(VAR)`; what is unknown stays.

use crate::manifest::{Container, Pod};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What `fieldPath` may say; the two with `['…']` take any key.
pub const FIELD_PATHS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.labels['KEY']",
    "metadata.annotations['KEY']",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// A parsed `fieldPath`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldRef {
    /// `metadata.name`.
    Name,
    /// `metadata.namespace`.
    Namespace,
    /// `metadata.uid`.
    Uid,
    /// `metadata.labels['key']`.
    Label(String),
    /// `metadata.annotations['key']`.
    Annotation(String),
    /// `spec.nodeName`.
    NodeName,
    /// `spec.serviceAccountName`: always `default` here.
    ServiceAccount,
    /// `status.hostIP` and `status.hostIPs`.
    HostIp,
    /// `status.podIP` and `status.podIPs`.
    PodIp,
}

impl FieldRef {
    /// Reads a field path; `None` for one that a variable may not take.
    pub fn parse(path: &str) -> Option<FieldRef> {
        let keyed = |prefix: &str| {
            let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
            (!key.is_empty()).then(|| key.to_owned())
        };
        Some(match path {
            "metadata.name" => FieldRef::Name,
            "metadata.namespace" => FieldRef::Namespace,
            "metadata.uid" => FieldRef::Uid,
            "spec.nodeName" => FieldRef::NodeName,
            "spec.serviceAccountName" => FieldRef::ServiceAccount,
            "status.hostIP" | "status.hostIPs" => FieldRef::HostIp,
            "status.podIP" | "status.podIPs" => FieldRef::PodIp,
            _ => match keyed("metadata.labels") {
                Some(key) => FieldRef::Label(key),
                None => FieldRef::Annotation(keyed("metadata.annotations")?),
            },
        })
    }
}

/// What the shell knows and the pod object does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The pod's address.
    pub pod_ip: Option<Ipv4Addr>,
    /// The host's address.
    pub host_ip: Option<Ipv4Addr>,
    /// The host's name.
    pub node_name: String,
}

/// The container's own variables in the order of the spec, values resolved and expanded. `image`
/// (from the image's config) can be referred to, is overridden, and comes first.
pub fn environment(
    pod: &Pod,
    container: &Container,
    image: &[(String, String)],
    facts: &Facts,
) -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = image.to_vec();
    // Kubernetes expands against what the manifest and the pod give, never the image's variables.
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for variable in &container.env {
        let field = variable.value_from.as_ref().and_then(|source| source.field_ref.as_ref());
        let value = match field.and_then(|f| FieldRef::parse(&f.field_path)) {
            Some(field) => field_value(&field, pod, facts),
            None => expand(variable.value.as_deref().unwrap_or_default(), &known),
        };
        known.insert(variable.name.clone(), value.clone());
        match list.iter_mut().find(|(name, _)| *name == variable.name) {
            Some((_, slot)) => *slot = value,
            None => list.push((variable.name.clone(), value)),
        }
    }
    list
}

fn field_value(field: &FieldRef, pod: &Pod, facts: &Facts) -> String {
    let address = |ip: Option<Ipv4Addr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
    match field {
        FieldRef::Name => pod.metadata.name.clone(),
        FieldRef::Namespace => pod.metadata.namespace().to_owned(),
        FieldRef::Uid => pod.metadata.uid.clone().unwrap_or_default(),
        FieldRef::Label(key) => pod.metadata.labels.get(key).cloned().unwrap_or_default(),
        FieldRef::Annotation(key) => pod.metadata.annotations.get(key).cloned().unwrap_or_default(),
        FieldRef::NodeName => facts.node_name.clone(),
        FieldRef::ServiceAccount => "default".to_owned(),
        FieldRef::HostIp => address(facts.host_ip),
        FieldRef::PodIp => address(facts.pod_ip),
    }
}

/// `command` and `args` of the container with `$(VAR)` replaced.
pub fn expand_all(words: &[String], environment: &[(String, String)]) -> Vec<String> {
    let known: BTreeMap<String, String> = environment.iter().cloned().collect();
    words.iter().map(|word| expand(word, &known)).collect()
}

/// Replaces `$(NAME)` by its value; `$$` gives one `$` and starts no reference; what is unknown or
/// not closed stays as it is.
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) =
            after.strip_prefix('(').and_then(|inner| inner.split_once(')'))
        {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}
