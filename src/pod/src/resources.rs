//! CPU and memory of the spec as numbers of the kernel. Pure.
//!
//! Source: Kubernetes pkg/kubelet/cm/helpers_linux.go and pkg/kubelet/qos/policy.go; the weight of
//! cgroup v2 from KEP-2254.

use crate::manifest::{Container, PodSpec, ResourceList};
use serde::{Deserialize, Serialize};

/// Period of the CPU quota, in microseconds.
pub const CPU_PERIOD_US: u64 = 100_000;
const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
const MIN_QUOTA_US: i64 = 1_000;

/// Numbers for one cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupNumbers {
    /// `cpu.shares`, 2 to 262144.
    pub cpu_shares: u64,
    /// `cpu.weight` of v2 for the same share, 1 to 10000.
    pub cpu_weight: u64,
    /// `cpu.cfs_quota_us`; `None` is unlimited.
    pub cpu_quota_us: Option<i64>,
    /// `cpu.cfs_period_us`.
    pub cpu_period_us: u64,
    /// Limit in bytes; `None` is unlimited.
    pub memory_max_bytes: Option<i64>,
}

/// Quality of service of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QosClass {
    /// Every container has equal requests and limits of CPU and memory.
    Guaranteed,
    /// Something is asked for.
    Burstable,
    /// Nothing is asked for.
    BestEffort,
}

impl QosClass {
    /// The class as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        }
    }
}

/// Amounts of a container: thousandths of a core, and bytes; requests default to limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requested CPU.
    pub cpu_request_milli: Option<i64>,
    /// CPU limit.
    pub cpu_limit_milli: Option<i64>,
    /// Requested memory.
    pub memory_request_bytes: Option<i64>,
    /// Memory limit.
    pub memory_limit_bytes: Option<i64>,
}

/// Amounts of one container.
pub fn amounts(container: &Container) -> Amounts {
    let Some(resources) = &container.resources else { return Amounts::default() };
    let cpu =
        |list: &Option<ResourceList>| list.as_ref().and_then(|l| l.cpu.as_ref()).map(|q| q.milli());
    let memory = |list: &Option<ResourceList>| {
        list.as_ref().and_then(|l| l.memory.as_ref()).map(|q| q.value())
    };
    // A limit of 0 is no limit, as in Kubernetes.
    let above = |value: Option<i64>| value.filter(|v| *v > 0);
    let (cpu_limit, memory_limit) =
        (above(cpu(&resources.limits)), above(memory(&resources.limits)));
    Amounts {
        cpu_request_milli: cpu(&resources.requests).or(cpu_limit),
        cpu_limit_milli: cpu_limit,
        memory_request_bytes: memory(&resources.requests).or(memory_limit),
        memory_limit_bytes: memory_limit,
    }
}

/// `cpu.shares` for a request.
pub fn shares(cpu_milli: i64) -> u64 {
    let milli = u64::try_from(cpu_milli).unwrap_or(0);
    (milli.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// `cpu.weight` of v2 for shares of v1.
pub fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(MIN_SHARES, MAX_SHARES) - 2) * 9999 / 262_142
}

/// `cpu.cfs_quota_us` for a limit.
pub fn quota_us(cpu_milli: i64) -> i64 {
    cpu_milli.saturating_mul(CPU_PERIOD_US as i64 / 1000).max(MIN_QUOTA_US)
}

fn numbers(request: i64, limit: Option<i64>, memory: Option<i64>) -> CgroupNumbers {
    let cpu_shares = shares(request);
    CgroupNumbers {
        cpu_shares,
        cpu_weight: weight(cpu_shares),
        cpu_quota_us: limit.map(quota_us),
        cpu_period_us: CPU_PERIOD_US,
        memory_max_bytes: memory,
    }
}

/// Numbers for the cgroup of one container.
pub fn container(container: &Container) -> CgroupNumbers {
    let amounts = amounts(container);
    numbers(
        amounts.cpu_request_milli.unwrap_or(0),
        amounts.cpu_limit_milli,
        amounts.memory_limit_bytes,
    )
}

/// Numbers for the cgroup of the pod: what it may need at one time. Main containers and sidecars
/// add up; a plain init container counts by itself, with the sidecars before it. A limit exists
/// only when every container has one.
pub fn pod(spec: &PodSpec) -> CgroupNumbers {
    let request = peak(spec, |a| Some(a.cpu_request_milli.unwrap_or(0)));
    let limit = peak(spec, |a| a.cpu_limit_milli);
    let memory = peak(spec, |a| a.memory_limit_bytes);
    numbers(request.unwrap_or(0), limit, memory)
}

fn peak(spec: &PodSpec, amount: impl Fn(&Amounts) -> Option<i64>) -> Option<i64> {
    let mut sidecars: i64 = 0;
    let mut peak: i64 = 0;
    for init in &spec.init_containers {
        let value = amount(&amounts(init))?;
        if init.restart_policy == Some(crate::manifest::RestartPolicy::Always) {
            sidecars = sidecars.saturating_add(value);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars.saturating_add(value));
        }
    }
    let mut mains = sidecars;
    for main in &spec.containers {
        mains = mains.saturating_add(amount(&amounts(main))?);
    }
    Some(peak.max(mains))
}

/// Quality of service of a pod.
pub fn qos_class(spec: &PodSpec) -> QosClass {
    let mut any = false;
    let mut guaranteed = true;
    for container in spec.all_containers() {
        let a = amounts(container);
        let some = |value: Option<i64>| value.is_some_and(|v| v > 0);
        any |= some(a.cpu_request_milli) || some(a.memory_request_bytes);
        guaranteed &= some(a.cpu_limit_milli) && a.cpu_limit_milli == a.cpu_request_milli;
        guaranteed &= some(a.memory_limit_bytes) && a.memory_limit_bytes == a.memory_request_bytes;
    }
    match (any, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

/// `oom_score_adj` of a container: the lower, the later the kernel kills it.
pub fn oom_score_adj(class: QosClass, container: &Container, capacity_bytes: u64) -> i32 {
    match class {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let request = i128::from(amounts(container).memory_request_bytes.unwrap_or(0));
            let share = 1000 * request / i128::from(capacity_bytes.max(1));
            i32::try_from((1000 - share).clamp(3, 999)).unwrap_or(999)
        }
    }
}
