//! Security contexts of a pod and of a container. The container's value wins over the pod's.

use super::schema::{choice, record};

choice! {
    /// Which seccomp filter a container gets.
    pub enum SeccompType {
        /// podvisor's own profile; also what an absent field means.
        RuntimeDefault = "RuntimeDefault",
        /// No filter.
        Unconfined = "Unconfined",
        /// A profile file of the host, below the supervisor's seccomp folder.
        Localhost = "Localhost",
    }
}

record! {
    /// Seccomp filter of a pod or container.
    pub struct SeccompProfile {
        /// Kind of profile.
        kind: SeccompType = "type" [required],
        /// Relative file name, with `Localhost` only.
        localhost_profile: Option<String> = "localhostProfile" [relative_path],
    }
    later: [];
}

record! {
    /// A kernel parameter of the pod's own namespaces.
    pub struct Sysctl {
        /// Dotted name.
        name: String = "name" [required, sysctl_name],
        /// Value as text.
        value: String = "value" [required],
    }
    later: [];
}

record! {
    /// Capability changes relative to the default set.
    pub struct Capabilities {
        /// Names without `CAP_`, or `ALL`.
        add: Vec<String> = "add" [capabilities],
        /// Names without `CAP_`, or `ALL`.
        drop: Vec<String> = "drop" [capabilities],
    }
    later: [];
}

record! {
    /// Identity and kernel parameters of every container of a pod.
    pub struct PodSecurityContext {
        /// User id.
        run_as_user: Option<u32> = "runAsUser",
        /// Group id.
        run_as_group: Option<u32> = "runAsGroup",
        /// Refuse to start a container whose user is 0 or not known as a number.
        run_as_non_root: Option<bool> = "runAsNonRoot",
        /// Further groups of every process.
        supplemental_groups: Vec<u32> = "supplementalGroups",
        /// Group that owns the pod's emptyDir volumes, and a further group of every process.
        fs_group: Option<u32> = "fsGroup",
        /// Kernel parameters; only namespaced ones of the safe list.
        sysctls: Vec<Sysctl> = "sysctls",
        /// Default seccomp profile.
        seccomp_profile: Option<SeccompProfile> = "seccompProfile",
    }
    later: [
        "appArmorProfile", "fsGroupChangePolicy", "seLinuxChangePolicy", "seLinuxOptions",
        "supplementalGroupsPolicy", "windowsOptions",
    ];
}

record! {
    /// Identity and privileges of one container.
    pub struct SecurityContext {
        /// User id.
        run_as_user: Option<u32> = "runAsUser",
        /// Group id.
        run_as_group: Option<u32> = "runAsGroup",
        /// Refuse to start when the user is 0 or not known as a number.
        run_as_non_root: Option<bool> = "runAsNonRoot",
        /// Added and dropped capabilities.
        capabilities: Option<Capabilities> = "capabilities",
        /// All capabilities, devices and no masks.
        privileged: Option<bool> = "privileged",
        /// Mount the root file system read-only.
        read_only_root_filesystem: Option<bool> = "readOnlyRootFilesystem",
        /// May a process gain more than its parent; false when absent (Kubernetes: true).
        allow_privilege_escalation: Option<bool> = "allowPrivilegeEscalation",
        /// Seccomp profile; the pod's when absent.
        seccomp_profile: Option<SeccompProfile> = "seccompProfile",
    }
    later: ["appArmorProfile", "procMount", "seLinuxOptions", "windowsOptions"];
}
