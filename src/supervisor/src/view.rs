//! Objects as people see them: what was asked for, completed by what the supervisor knows.
//!
//! Pure. The input form is the other way round: what was asked for and nothing else, so that two
//! applies can be compared.

use std::net::Ipv4Addr;

use pod::deployment::DeploymentStatus;
use pod::manifest::ObjectMeta;
use pod::status::{StatusFacts, pod_status_json, rfc3339};
use serde_json::{Value, json};

use crate::handle::{DeploymentView, PodView};
use crate::world::{DeploymentEntry, PodEntry};

/// What a status is told with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling {
    pub(crate) wall_offset_ms: i64,
    pub(crate) pod_ip: Option<Ipv4Addr>,
    pub(crate) host_ip: Option<Ipv4Addr>,
}

/// Completes the metadata of a new object.
pub(crate) fn complete(meta: &mut ObjectMeta, uid: &str, created_unix_ms: u64) {
    meta.namespace = Some(meta.namespace().to_owned());
    meta.uid = Some(uid.to_owned());
    meta.creation_timestamp = Some(stamp(created_unix_ms));
}

/// The metadata that a person wrote: without what the supervisor sets, its defaults filled in.
pub(crate) fn as_asked(meta: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: meta.name.clone(),
        namespace: Some(meta.namespace().to_owned()),
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        ..ObjectMeta::default()
    }
}

fn stamp(unix_ms: u64) -> String {
    rfc3339(i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX))
}

/// A pod.
pub(crate) fn pod(entry: &PodEntry, telling: &Telling) -> PodView {
    let mut pod = entry.pod.as_ref().clone();
    pod.metadata.resource_version = Some(entry.version.to_string());
    if let Some(deletion) = &entry.memory.deletion {
        let own = pod.spec.grace_ms();
        let end = deletion.deadline.unwrap_or(deletion.requested_at.saturating_add(own));
        let wall = i64::try_from(end).unwrap_or(i64::MAX).saturating_add(telling.wall_offset_ms);
        pod.metadata.deletion_timestamp = Some(rfc3339(wall.div_euclid(1000)));
        let grace_ms = end.saturating_sub(deletion.requested_at);
        pod.metadata.deletion_grace_period_seconds = Some(grace_ms / 1000);
    }
    let facts = StatusFacts {
        wall_offset_ms: telling.wall_offset_ms,
        uid: entry.uid.clone(),
        pod_ip: telling.pod_ip,
        host_ip: telling.host_ip,
        image_ids: entry.image_ids.clone(),
    };
    PodView { status: pod_status_json(&entry.status, &facts), pod }
}

/// A Deployment.
pub(crate) fn deployment(entry: &DeploymentEntry) -> DeploymentView {
    let mut deployment = entry.deployment.as_ref().clone();
    deployment.metadata.resource_version = Some(entry.version.to_string());
    deployment.spec.replicas = Some(deployment.spec.replicas());
    if entry.deleting {
        deployment.metadata.deletion_timestamp.clone_from(&deployment.metadata.creation_timestamp);
    }
    DeploymentView { status: deployment_status(&entry.status), deployment }
}

fn deployment_status(status: &DeploymentStatus) -> Value {
    let conditions: Vec<Value> = status
        .conditions
        .iter()
        .map(|condition| {
            json!({
                "type": condition.kind,
                "status": if condition.value { "True" } else { "False" },
                "reason": condition.reason,
                "message": condition.message,
            })
        })
        .collect();
    json!({
        "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "unavailableReplicas": status.unavailable_replicas,
        "terminatingReplicas": status.terminating_replicas,
        "revision": status.revision,
        "conditions": conditions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_found_again_in_a_completed_object() {
        let asked = ObjectMeta {
            name: "web".to_owned(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            ..ObjectMeta::default()
        };
        let mut stored = asked.clone();
        complete(&mut stored, "u", 1_000);
        assert_eq!(stored.namespace(), "default");
        assert_eq!(stored.creation_timestamp.as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_ne!(stored, asked);
        assert_eq!(as_asked(&stored), as_asked(&asked));
        let other = ObjectMeta { labels: [].into(), ..asked.clone() };
        assert_ne!(as_asked(&stored), as_asked(&other));
    }
}
