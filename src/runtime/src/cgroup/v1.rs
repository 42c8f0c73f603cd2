//! Resources in cgroup v1's words. Pure: a list of settings in the order to write them.
//!
//! Invariant: each limit becomes a setting or an error. The two orders that depend on what the
//! kernel holds now (memory against memory+swap, period against quota) are taken as arguments or
//! repeated by the writer.

use oci::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::setting::{Absent, Setting};
use super::v2::rdma_line;
use super::{Error, field_error};

/// Everything in `resources` but the device rules; `memory_now` is the present
/// `memory.limit_in_bytes`.
///
/// # Errors
/// [`Error::Field`] for `unified`, which only cgroup v2 has.
pub(super) fn plan(
    resources: &LinuxResources,
    memory_now: Option<u64>,
) -> Result<Vec<Setting>, Error> {
    let mut out = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_settings(memory, memory_now, &mut out);
    }
    if let Some(cpu) = resources.cpu() {
        cpu_settings(cpu, &mut out);
    }
    if let Some(pids) = resources.pids().as_ref().filter(|p| p.limit() != 0) {
        let limit = pids.limit();
        let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
        out.push(Setting::new("pids", "pids.max", value, "linux.resources.pids.limit"));
    }
    if let Some(io) = resources.block_io() {
        blkio_settings(io, &mut out);
    }
    for page in resources.hugepage_limits().iter().flatten() {
        let field = "linux.resources.hugepageLimits";
        let size = page.page_size();
        let file = format!("hugetlb.{size}.limit_in_bytes");
        out.push(Setting::new("hugetlb", file, page.limit(), field));
        // Reservations, too, where the kernel counts them: a fault beyond would be a SIGBUS.
        let reserved = format!("hugetlb.{size}.rsvd.limit_in_bytes");
        out.push(Setting::new("hugetlb", reserved, page.limit(), field).or(Absent::Skip));
    }
    if let Some(network) = resources.network() {
        if let Some(class) = network.class_id() {
            let field = "linux.resources.network.classID";
            out.push(Setting::new("net_cls", "net_cls.classid", class, field));
        }
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            let field = "linux.resources.network.priorities";
            out.push(Setting::new("net_prio", "net_prio.ifpriomap", value, field));
        }
    }
    for (device, limit) in resources.rdma().iter().flatten() {
        let value = rdma_line(device, limit.hca_handles(), limit.hca_objects());
        out.push(Setting::new("rdma", "rdma.max", value, "linux.resources.rdma"));
    }
    Ok(out)
}

/// Refuses `unified` where the controllers are v1's.
///
/// # Errors
/// [`Error::Field`].
pub(super) fn refuse_unified(resources: &LinuxResources) -> Result<(), Error> {
    match resources.unified() {
        Some(map) if !map.is_empty() => {
            let problem = "invalid configuration: this host's controllers are v1, unified needs v2 \
                           (boot with systemd.unified_cgroup_hierarchy=1)";
            Err(field_error("linux.resources.unified", problem))
        }
        _ => Ok(()),
    }
}

fn memory_settings(memory: &LinuxMemory, now: Option<u64>, out: &mut Vec<Setting>) {
    const FILE: &str = "memory.limit_in_bytes";
    let limit = memory.limit().filter(|l| *l != 0);
    let swap = memory.swap().filter(|s| *s != 0);
    let limit_setting =
        limit.map(|l| Setting::new("memory", FILE, l, "linux.resources.memory.limit"));
    let total = |value: i64, absent| {
        let field = "linux.resources.memory.swap";
        Setting::new("memory", "memory.memsw.limit_in_bytes", value, field).or(absent)
    };
    let swap_setting = match (limit, swap) {
        (_, Some(s)) if s < 0 => Some(total(-1, Absent::Skip)),
        (_, Some(s)) => Some(total(s, Absent::Refuse)),
        // No limit on memory: none on the total either.
        (Some(-1), None) => Some(total(-1, Absent::Skip)),
        _ => None,
    };
    // The kernel keeps limit <= total at each step: raise the total first, lower it last.
    let raising = match (limit, swap.or(limit)) {
        (_, Some(s)) if s < 0 => true,
        (_, Some(s)) => now.is_some_and(|now| now < s.unsigned_abs()),
        _ => false,
    };
    if raising {
        out.extend(swap_setting);
        out.extend(limit_setting);
    } else {
        out.extend(limit_setting);
        out.extend(swap_setting);
    }
    if let Some(reservation) = memory.reservation().filter(|r| *r != 0) {
        let field = "linux.resources.memory.reservation";
        out.push(Setting::new("memory", "memory.soft_limit_in_bytes", reservation, field));
    }
    if let Some(limit) = memory.kernel_tcp().filter(|l| *l != 0) {
        let field = "linux.resources.memory.kernelTCP";
        out.push(Setting::new("memory", "memory.kmem.tcp.limit_in_bytes", limit, field));
    }
    if memory.disable_oom_killer() == Some(true) {
        let field = "linux.resources.memory.disableOOMKiller";
        out.push(Setting::new("memory", "memory.oom_control", 1, field));
    }
    if let Some(swappiness) = memory.swappiness() {
        let field = "linux.resources.memory.swappiness";
        out.push(Setting::new("memory", "memory.swappiness", swappiness, field));
    }
}

fn cpu_settings(cpu: &LinuxCpu, out: &mut Vec<Setting>) {
    let mut push = |value: Option<String>, file: &'static str, field: &'static str| {
        if let Some(value) = value {
            out.push(Setting::new("cpu", file, value, field));
        }
    };
    let unsigned = |v: Option<u64>| v.filter(|v| *v != 0).map(|v| v.to_string());
    let signed = |v: Option<i64>| v.filter(|v| *v != 0).map(|v| v.to_string());
    push(cpu.idle().map(|v| v.to_string()), "cpu.idle", "linux.resources.cpu.idle");
    if cpu.idle() != Some(1) {
        push(unsigned(cpu.shares()), "cpu.shares", "linux.resources.cpu.shares");
    }
    push(unsigned(cpu.period()), "cpu.cfs_period_us", "linux.resources.cpu.period");
    push(signed(cpu.quota()), "cpu.cfs_quota_us", "linux.resources.cpu.quota");
    push(cpu.burst().map(|b| b.to_string()), "cpu.cfs_burst_us", "linux.resources.cpu.burst");
    push(unsigned(cpu.realtime_period()), "cpu.rt_period_us", "linux.resources.cpu.realtimePeriod");
    push(
        signed(cpu.realtime_runtime()),
        "cpu.rt_runtime_us",
        "linux.resources.cpu.realtimeRuntime",
    );
    for (value, file, field) in [
        (cpu.cpus(), "cpuset.cpus", "linux.resources.cpu.cpus"),
        (cpu.mems(), "cpuset.mems", "linux.resources.cpu.mems"),
    ] {
        if let Some(value) = value.as_ref().filter(|v| !v.is_empty()) {
            out.push(Setting::new("cpuset", file, value, field));
        }
    }
}

fn blkio_settings(io: &LinuxBlockIo, out: &mut Vec<Setting>) {
    const WEIGHT: &str = "linux.resources.blockIO.weight";
    if let Some(weight) = io.weight().filter(|w| *w != 0) {
        let bfq = Absent::Either("blkio.bfq.weight", weight.to_string());
        out.push(Setting::new("blkio", "blkio.weight", weight, WEIGHT).or(bfq));
    }
    if let Some(weight) = io.leaf_weight().filter(|w| *w != 0) {
        let field = "linux.resources.blockIO.leafWeight";
        out.push(Setting::new("blkio", "blkio.leaf_weight", weight, field));
    }
    for device in io.weight_device().iter().flatten() {
        let number = format!("{}:{}", device.major(), device.minor());
        let field = "linux.resources.blockIO.weightDevice";
        if let Some(weight) = device.weight().filter(|w| *w != 0) {
            let value = format!("{number} {weight}");
            let bfq = Absent::Either("blkio.bfq.weight_device", value.clone());
            out.push(Setting::new("blkio", "blkio.weight_device", value, field).or(bfq));
        }
        if let Some(weight) = device.leaf_weight().filter(|w| *w != 0) {
            let value = format!("{number} {weight}");
            out.push(Setting::new("blkio", "blkio.leaf_weight_device", value, field));
        }
    }
    let throttles = [
        (io.throttle_read_bps_device(), "read_bps", "throttleReadBpsDevice"),
        (io.throttle_write_bps_device(), "write_bps", "throttleWriteBpsDevice"),
        (io.throttle_read_iops_device(), "read_iops", "throttleReadIOPSDevice"),
        (io.throttle_write_iops_device(), "write_iops", "throttleWriteIOPSDevice"),
    ];
    for (devices, key, _) in throttles {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            let file = format!("blkio.throttle.{key}_device");
            out.push(Setting::new("blkio", file, value, "linux.resources.blockIO.throttle"));
        }
    }
}
