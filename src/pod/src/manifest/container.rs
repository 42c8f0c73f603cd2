//! A container of a pod.

use super::probe::Probe;
use super::schema::{choice, record};
use super::security::SecurityContext;
use super::volume::VolumeMount;
use crate::quantity::Quantity;

choice! {
    /// When to start an ended container again.
    pub enum RestartPolicy {
        /// Whatever the exit code.
        Always = "Always",
        /// When the exit code is not 0.
        OnFailure = "OnFailure",
        /// Never.
        Never = "Never",
    }
}

choice! {
    /// Where an image may come from. There is no registry client yet: a missing image has to be
    /// loaded first, whatever the policy.
    pub enum ImagePullPolicy {
        /// Pull when missing.
        IfNotPresent = "IfNotPresent",
        /// Ask the registry each time.
        Always = "Always",
        /// Local only.
        Never = "Never",
    }
}

choice! {
    /// What to tell about an ended container.
    pub enum TerminationMessagePolicy {
        /// What it wrote to its termination message file.
        File = "File",
        /// The file, or the tail of its log when the file is empty and it failed.
        FallbackToLogsOnError = "FallbackToLogsOnError",
    }
}

choice! {
    /// Transport protocol of a port.
    pub enum Protocol {
        /// TCP.
        Tcp = "TCP",
        /// UDP.
        Udp = "UDP",
        /// SCTP.
        Sctp = "SCTP",
    }
}

record! {
    /// A field of the pod as a value.
    pub struct ObjectFieldSelector {
        /// Always `v1`.
        api_version: Option<String> = "apiVersion",
        /// For example `metadata.name`, `status.podIP` or `metadata.labels['app']`.
        field_path: String = "fieldPath" [required, field_path],
    }
    later: [];
}

record! {
    /// Where the value of a variable comes from.
    pub struct EnvVarSource {
        /// A field of the pod.
        field_ref: Option<ObjectFieldSelector> = "fieldRef",
    }
    later: ["configMapKeyRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"];
}

record! {
    /// One environment variable.
    pub struct EnvVar {
        /// Any printable ASCII but `=`.
        name: String = "name" [required, env_name],
        /// Text, in which `$(VAR)` of earlier variables is replaced.
        value: Option<String> = "value",
        /// Instead of `value`.
        value_from: Option<EnvVarSource> = "valueFrom",
    }
    later: [];
}

record! {
    /// A port a container listens on.
    pub struct ContainerPort {
        /// Name by which probes may speak of it.
        name: Option<String> = "name" [port_name],
        /// 1 to 65535.
        container_port: u16 = "containerPort" [required, port],
        /// Port of the host to publish it on.
        host_port: Option<u16> = "hostPort" [port],
        /// Host address to publish it on; all when absent.
        host_ip: Option<String> = "hostIP" [ipv4],
        /// TCP when absent.
        protocol: Option<Protocol> = "protocol",
    }
    later: [];
}

impl ContainerPort {
    /// The protocol, TCP when none is set.
    pub fn protocol(&self) -> Protocol {
        self.protocol.unwrap_or_default()
    }
}

record! {
    /// Amounts of the resources that podvisor meters.
    pub struct ResourceList {
        /// Cores.
        cpu: Option<Quantity> = "cpu",
        /// Bytes.
        memory: Option<Quantity> = "memory",
    }
    later: ["ephemeral-storage", "storage", "pods", "hugepages-2Mi", "hugepages-1Gi"];
}

record! {
    /// What a container needs and may use.
    pub struct ResourceRequirements {
        /// Upper bounds.
        limits: Option<ResourceList> = "limits",
        /// Guaranteed amounts; the limits when absent.
        requests: Option<ResourceList> = "requests",
    }
    later: ["claims"];
}

record! {
    /// A container, an init container or (with `restartPolicy: Always`) a sidecar.
    pub struct Container {
        /// DNS-1123 label, unique in the pod.
        name: String = "name" [required, label],
        /// Image reference.
        image: String = "image" [required, image],
        /// When the image is asked for at its registry; IfNotPresent by default.
        image_pull_policy: Option<ImagePullPolicy> = "imagePullPolicy",
        /// Replaces the image's entry point.
        command: Vec<String> = "command",
        /// Replaces the image's arguments.
        args: Vec<String> = "args",
        /// The image's when absent.
        working_dir: Option<String> = "workingDir" [absolute_path],
        /// Environment.
        env: Vec<EnvVar> = "env",
        /// Ports.
        ports: Vec<ContainerPort> = "ports",
        /// CPU and memory.
        resources: Option<ResourceRequirements> = "resources",
        /// Mounts of the pod's volumes.
        volume_mounts: Vec<VolumeMount> = "volumeMounts",
        /// Failure restarts the container.
        liveness_probe: Option<Probe> = "livenessProbe",
        /// Decides whether the pod is ready.
        readiness_probe: Option<Probe> = "readinessProbe",
        /// Holds the other probes back until it succeeds.
        startup_probe: Option<Probe> = "startupProbe",
        /// `Always` on an init container makes it a sidecar; else it replaces the pod's policy.
        restart_policy: Option<RestartPolicy> = "restartPolicy",
        /// Identity and privileges.
        security_context: Option<SecurityContext> = "securityContext",
        /// `/dev/termination-log` when absent.
        termination_message_path: Option<String> = "terminationMessagePath" [absolute_path],
        /// File when absent.
        termination_message_policy: Option<TerminationMessagePolicy> = "terminationMessagePolicy",
        /// Keep a pipe to its standard input.
        stdin: Option<bool> = "stdin",
        /// Close the pipe when the first attached client leaves.
        stdin_once: Option<bool> = "stdinOnce",
        /// Give it a terminal.
        tty: Option<bool> = "tty",
    }
    later: [
        "envFrom", "lifecycle", "resizePolicy", "restartPolicyRules", "volumeDevices",
    ];
}

impl Container {
    /// The pull policy, with the default that follows from the image's tag.
    pub fn image_pull_policy(&self) -> ImagePullPolicy {
        if let Some(policy) = self.image_pull_policy {
            return policy;
        }
        let last = self.image.rsplit('/').next().unwrap_or_default();
        let latest = !last.contains('@') && last.split_once(':').is_none_or(|(_, t)| t == "latest");
        if latest { ImagePullPolicy::Always } else { ImagePullPolicy::IfNotPresent }
    }

    /// Where its termination message is read from.
    pub fn termination_message_path(&self) -> &str {
        self.termination_message_path.as_deref().unwrap_or("/dev/termination-log")
    }

    /// The port of a name, or the number itself.
    pub fn port(&self, port: &super::mixed::PortRef) -> Option<u16> {
        match port {
            super::mixed::PortRef::Number(number) => Some(*number),
            super::mixed::PortRef::Name(name) => self
                .ports
                .iter()
                .find(|p| p.name.as_deref() == Some(name))
                .map(|p| p.container_port),
        }
    }
}
