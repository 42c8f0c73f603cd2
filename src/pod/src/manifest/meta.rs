//! Metadata of an object (apimachinery `ObjectMeta`), and its label selector.

use super::schema::record;
use std::collections::BTreeMap;

record! {
    /// Who owns an object.
    pub struct OwnerReference {
        /// API group and version of the owner.
        api_version: String = "apiVersion" [required],
        /// Kind of the owner.
        kind: String = "kind" [required],
        /// Name of the owner.
        name: String = "name" [required],
        /// Identity of the owner.
        uid: String = "uid" [required],
        /// Whether this owner manages the object.
        controller: Option<bool> = "controller",
        /// Whether the owner waits for the object when it is deleted.
        block_owner_deletion: Option<bool> = "blockOwnerDeletion",
    }
    later: [];
}

record! {
    /// Name and identity of an object. `uid` and the times are set by the supervisor.
    pub struct ObjectMeta {
        /// DNS-1123 subdomain, unique for its kind and namespace.
        name: String = "name" [subdomain],
        /// DNS-1123 label; `default` when absent.
        namespace: Option<String> = "namespace" [label],
        /// What selectors match.
        labels: BTreeMap<String, String> = "labels" [labels],
        /// Free notes; podvisor's own begin with `podvisor/`.
        annotations: BTreeMap<String, String> = "annotations" [annotation_keys],
        /// Identity, set by the supervisor; in a file it is read and not used.
        uid: Option<String> = "uid",
        /// RFC 3339, set by the supervisor.
        creation_timestamp: Option<String> = "creationTimestamp",
        /// RFC 3339, set by the supervisor when a deletion was asked for.
        deletion_timestamp: Option<String> = "deletionTimestamp",
        /// Seconds, set by the supervisor with `deletionTimestamp`.
        deletion_grace_period_seconds: Option<u64> = "deletionGracePeriodSeconds",
        /// Version of the stored object, set by the supervisor.
        resource_version: Option<String> = "resourceVersion",
        /// Counts changes of the spec, set by the supervisor.
        generation: Option<u64> = "generation",
        /// The Deployment a pod belongs to, set by the supervisor.
        owner_references: Vec<OwnerReference> = "ownerReferences",
    }
    later: ["generateName", "finalizers"];
    ignored: ["managedFields", "selfLink"];
}

impl ObjectMeta {
    /// The namespace, `default` when none is set.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

record! {
    /// Which pods belong to a Deployment.
    pub struct LabelSelector {
        /// Every one of these labels must be on the pod.
        match_labels: BTreeMap<String, String> = "matchLabels" [required, labels],
    }
    later: ["matchExpressions"];
}
