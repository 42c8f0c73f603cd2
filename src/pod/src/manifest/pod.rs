//! Pod (v1).

use super::container::{Container, RestartPolicy};
use super::meta::ObjectMeta;
use super::schema::record;
use super::secret::LocalObjectReference;
use super::security::PodSecurityContext;
use super::volume::Volume;

record! {
    /// What a pod is to be.
    pub struct PodSpec {
        /// At least one; started in this order.
        containers: Vec<Container> = "containers" [required],
        /// Run to completion one by one before `containers`; sidecars stay.
        init_containers: Vec<Container> = "initContainers",
        /// Always when absent.
        restart_policy: Option<RestartPolicy> = "restartPolicy",
        /// Seconds from the stop signal to the kill; 30 when absent.
        termination_grace_period_seconds: Option<u64> = "terminationGracePeriodSeconds",
        /// Seconds the pod may run before it fails.
        active_deadline_seconds: Option<u64> = "activeDeadlineSeconds" [positive],
        /// One PID namespace for all containers.
        share_process_namespace: Option<bool> = "shareProcessNamespace",
        /// Use the host's network namespace.
        host_network: Option<bool> = "hostNetwork",
        /// `false`: the pod's users are not the host's, but ids that are its own.
        host_users: Option<bool> = "hostUsers",
        /// Secrets with credentials of registries, of the pod's namespace.
        image_pull_secrets: Vec<LocalObjectReference> = "imagePullSecrets",
        /// The pod's name when absent.
        hostname: Option<String> = "hostname" [label],
        /// What containers may mount.
        volumes: Vec<Volume> = "volumes",
        /// Defaults for all containers.
        security_context: Option<PodSecurityContext> = "securityContext",
    }
    later: [
        "affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy",
        "enableServiceLinks", "ephemeralContainers", "hostAliases", "hostIPC", "hostPID",
        "hostnameOverride", "nodeName", "nodeSelector", "os",
        "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates",
        "resourceClaims", "resources", "runtimeClassName", "schedulerName", "schedulingGates",
        "schedulingGroup", "serviceAccount", "serviceAccountName", "setHostnameAsFQDN",
        "subdomain", "tolerations", "topologySpreadConstraints",
    ];
}

/// Default of `terminationGracePeriodSeconds`.
pub const DEFAULT_GRACE_SECONDS: u64 = 30;

impl PodSpec {
    /// The restart policy, Always when none is set.
    pub fn restart_policy(&self) -> RestartPolicy {
        self.restart_policy.unwrap_or_default()
    }

    /// Milliseconds from the stop signal to the kill.
    pub fn grace_ms(&self) -> u64 {
        self.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS).saturating_mul(1000)
    }

    /// Every container: init containers first, each group in spec order.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// A container of any kind by name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.all_containers().find(|container| container.name == name)
    }
}

record! {
    /// A pod.
    pub struct Pod {
        /// `v1`.
        api_version: String = "apiVersion" [required],
        /// `Pod`.
        kind: String = "kind" [required],
        /// Name and identity.
        metadata: ObjectMeta = "metadata" [required],
        /// What it is to be.
        spec: PodSpec = "spec" [required],
    }
    later: [];
    ignored: ["status"];
}

impl Pod {
    /// A pod object of this library's version of the API.
    pub fn new(metadata: ObjectMeta, spec: PodSpec) -> Pod {
        Pod { api_version: "v1".to_owned(), kind: "Pod".to_owned(), metadata, spec }
    }
}
