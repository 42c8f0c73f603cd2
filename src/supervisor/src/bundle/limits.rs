//! Cgroup limits of a container and of its pod. Pure.
//!
//! Source: kubelet's helpers_linux.go, by `pod::resources`; the limit of processes is podman's and
//! CRI-O's default.

use oci::runtime::{LinuxCpuBuilder, LinuxMemoryBuilder, LinuxResources, LinuxResourcesBuilder};
use pod::manifest::{Container, PodSpec};
use pod::resources::{self, CgroupNumbers};
use serde_json::{Map, Value, json};

/// Most processes and threads of a container.
const PIDS_MAX: i64 = 2048;

/// `linux.resources` of a container. Its devices are the runtime's defaults, or all.
pub(super) fn container(container: &Container, all_devices: bool) -> Value {
    let numbers = resources::container(container);
    let mut cpu = Map::new();
    cpu.insert("shares".to_owned(), json!(numbers.cpu_shares));
    if let Some(quota) = numbers.cpu_quota_us {
        cpu.insert("quota".to_owned(), json!(quota));
        cpu.insert("period".to_owned(), json!(numbers.cpu_period_us));
    }
    let mut all = json!({
        "devices": [{"allow": all_devices, "access": "rwm"}],
        "pids": {"limit": PIDS_MAX},
        "cpu": cpu,
    });
    if let Some(bytes) = numbers.memory_max_bytes {
        // The same total: no swap.
        all["memory"] = json!({"limit": bytes, "swap": bytes});
    }
    all
}

/// Limits of the pod's own cgroup.
pub(super) fn pod(spec: &PodSpec) -> Option<LinuxResources> {
    let CgroupNumbers { cpu_shares, cpu_quota_us, cpu_period_us, memory_max_bytes, .. } =
        resources::pod(spec);
    let mut cpu = LinuxCpuBuilder::default().shares(cpu_shares);
    if let Some(quota) = cpu_quota_us {
        cpu = cpu.quota(quota).period(cpu_period_us);
    }
    let mut all = LinuxResourcesBuilder::default().cpu(cpu.build().ok()?);
    if let Some(bytes) = memory_max_bytes {
        let memory = LinuxMemoryBuilder::default().limit(bytes).swap(bytes);
        all = all.memory(memory.build().ok()?);
    }
    // A builder fails for a field that was not given; here all have defaults.
    all.build().ok()
}
