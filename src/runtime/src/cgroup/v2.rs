//! Resources in cgroup v2's words. Pure: a list of settings in the order to write them.
//!
//! Invariant: each limit of config.json becomes a setting or an error. What v2 has no word for is
//! refused, but for `memory.kernel`, which the kernel dropped and engines still send.

use oci::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::convert::{cpu_max, io_weight, or_max, swap_from_total, weight_from_shares};
use super::setting::{Absent, Setting};
use super::{Error, field_error};

/// Everything in `resources` but the device rules.
///
/// # Errors
/// [`Error::Field`] for a value that v2 cannot express.
pub(super) fn plan(resources: &LinuxResources) -> Result<Vec<Setting>, Error> {
    let mut out = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_settings(memory, &mut out)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu_settings(cpu, &mut out)?;
    }
    if let Some(pids) = resources.pids().as_ref().filter(|p| p.limit() != 0) {
        let value = or_max(pids.limit());
        out.push(Setting::new("pids", "pids.max", value, "linux.resources.pids.limit"));
    }
    if let Some(io) = resources.block_io() {
        io_settings(io, &mut out)?;
    }
    for page in resources.hugepage_limits().iter().flatten() {
        let field = "linux.resources.hugepageLimits";
        let (size, limit) = (page.page_size(), or_max(page.limit()));
        out.push(Setting::new("hugetlb", format!("hugetlb.{size}.max"), &limit, field));
        // Reservations, too, where the kernel counts them: a fault beyond would be a SIGBUS.
        let reserved = format!("hugetlb.{size}.rsvd.max");
        out.push(Setting::new("hugetlb", reserved, limit, field).or(Absent::Skip));
    }
    if resources.network().as_ref().is_some_and(|n| n.class_id().is_some()) {
        let problem = "cgroup v2 has no net_cls; mark packets by cgroup with nftables instead";
        return Err(field_error("linux.resources.network.classID", problem));
    }
    let priorities = resources.network().as_ref().and_then(|n| n.priorities().as_ref());
    if priorities.is_some_and(|all| !all.is_empty()) {
        let problem = "cgroup v2 has no net_prio; set priorities by cgroup with nftables instead";
        return Err(field_error("linux.resources.network.priorities", problem));
    }
    for (device, limit) in resources.rdma().iter().flatten() {
        let value = rdma_line(device, limit.hca_handles(), limit.hca_objects());
        out.push(Setting::new("rdma", "rdma.max", value, "linux.resources.rdma"));
    }
    unified(resources, &mut out)?;
    Ok(out)
}

/// `DEVICE hca_handle=N hca_object=N`, the same in v1 and v2.
pub(super) fn rdma_line(device: &str, handles: Option<u32>, objects: Option<u32>) -> String {
    let mut line = device.to_owned();
    for (key, value) in [("hca_handle", handles), ("hca_object", objects)] {
        if let Some(value) = value {
            line.push_str(&format!(" {key}={value}"));
        }
    }
    line
}

fn memory_settings(memory: &LinuxMemory, out: &mut Vec<Setting>) -> Result<(), Error> {
    if memory.swappiness().is_some() {
        let problem = "cgroup v2 has no swappiness of its own; leave the field out";
        return Err(field_error("linux.resources.memory.swappiness", problem));
    }
    if memory.disable_oom_killer() == Some(true) {
        let problem = "cgroup v2 cannot switch the OOM killer off; leave the field out";
        return Err(field_error("linux.resources.memory.disableOOMKiller", problem));
    }
    // Swap first: memory.max may need to reclaim into it.
    const SWAP: &str = "linux.resources.memory.swap";
    let swap = swap_from_total(memory.swap().unwrap_or(0), memory.limit())
        .map_err(|problem| field_error(SWAP, problem))?;
    // An unlimited memory limit alone means unlimited swap too, as in v1.
    let swap = swap.or_else(|| (memory.limit() == Some(-1)).then(|| "max".to_owned()));
    if let Some(value) = swap {
        let nothing_lost = value == "max" || value == "0";
        let absent = if nothing_lost { Absent::Skip } else { Absent::Refuse };
        out.push(Setting::new("memory", "memory.swap.max", value, SWAP).or(absent));
    }
    if let Some(limit) = memory.limit().filter(|l| *l != 0) {
        let field = "linux.resources.memory.limit";
        out.push(Setting::new("memory", "memory.max", or_max(limit), field));
    }
    if let Some(reservation) = memory.reservation().filter(|r| *r != 0) {
        let field = "linux.resources.memory.reservation";
        out.push(Setting::new("memory", "memory.low", or_max(reservation), field));
    }
    Ok(())
}

fn cpu_settings(cpu: &LinuxCpu, out: &mut Vec<Setting>) -> Result<(), Error> {
    if cpu.realtime_runtime().is_some_and(|r| r != 0) || cpu.realtime_period().is_some() {
        let problem = "cgroup v2 has no real-time limits";
        return Err(field_error("linux.resources.cpu.realtimeRuntime", problem));
    }
    if let Some(idle) = cpu.idle() {
        out.push(Setting::new("cpu", "cpu.idle", idle, "linux.resources.cpu.idle"));
    }
    // The kernel refuses a weight on an idle cgroup.
    if let Some(weight) = weight_from_shares(cpu.shares().unwrap_or(0))
        && cpu.idle() != Some(1)
    {
        out.push(Setting::new("cpu", "cpu.weight", weight, "linux.resources.cpu.shares"));
    }
    if let Some(max) = cpu_max(cpu.quota(), cpu.period()) {
        out.push(Setting::new("cpu", "cpu.max", max, "linux.resources.cpu.quota"));
    }
    if let Some(burst) = cpu.burst() {
        out.push(Setting::new("cpu", "cpu.max.burst", burst, "linux.resources.cpu.burst"));
    }
    for (value, file, field) in [
        (cpu.cpus(), "cpuset.cpus", "linux.resources.cpu.cpus"),
        (cpu.mems(), "cpuset.mems", "linux.resources.cpu.mems"),
    ] {
        if let Some(value) = value.as_ref().filter(|v| !v.is_empty()) {
            out.push(Setting::new("cpuset", file, value, field));
        }
    }
    Ok(())
}

fn io_settings(io: &LinuxBlockIo, out: &mut Vec<Setting>) -> Result<(), Error> {
    const WEIGHT: &str = "linux.resources.blockIO.weight";
    if let Some((weight, bfq)) = io.weight().and_then(|w| Some((io_weight(w)?, w))) {
        let bfq = Absent::Either("io.bfq.weight", bfq.to_string());
        out.push(Setting::new("io", "io.weight", format!("default {weight}"), WEIGHT).or(bfq));
    }
    if io.leaf_weight().is_some_and(|w| w != 0) {
        let problem = "cgroup v2 has no leaf weight";
        return Err(field_error("linux.resources.blockIO.leafWeight", problem));
    }
    for device in io.weight_device().iter().flatten() {
        if let Some((weight, bfq)) = device.weight().and_then(|w| Some((io_weight(w)?, w))) {
            let number = format!("{}:{}", device.major(), device.minor());
            let bfq = Absent::Either("io.bfq.weight", format!("{number} {bfq}"));
            let field = "linux.resources.blockIO.weightDevice";
            out.push(Setting::new("io", "io.weight", format!("{number} {weight}"), field).or(bfq));
        }
    }
    for (devices, key, field) in throttles(io) {
        for device in devices.iter().flatten() {
            let rate =
                if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            let value = format!("{}:{} {key}={rate}", device.major(), device.minor());
            out.push(Setting::new("io", "io.max", value, field));
        }
    }
    Ok(())
}

/// A throttle list, its key in io.max and its field.
type Throttle<'a> = (&'a Option<Vec<LinuxThrottleDevice>>, &'static str, &'static str);

fn throttles(io: &LinuxBlockIo) -> [Throttle<'_>; 4] {
    let prefix = [
        "linux.resources.blockIO.throttleReadBpsDevice",
        "linux.resources.blockIO.throttleWriteBpsDevice",
        "linux.resources.blockIO.throttleReadIOPSDevice",
        "linux.resources.blockIO.throttleWriteIOPSDevice",
    ];
    [
        (io.throttle_read_bps_device(), "rbps", prefix[0]),
        (io.throttle_write_bps_device(), "wbps", prefix[1]),
        (io.throttle_read_iops_device(), "riops", prefix[2]),
        (io.throttle_write_iops_device(), "wiops", prefix[3]),
    ]
}

/// `linux.resources.unified`: raw files, the last word. The controller is the file's first part.
fn unified(resources: &LinuxResources, out: &mut Vec<Setting>) -> Result<(), Error> {
    const FIELD: &str = "linux.resources.unified";
    let mut pairs: Vec<_> = resources.unified().iter().flatten().collect();
    pairs.sort();
    for (file, value) in pairs {
        let controller = file.split_once('.').map_or("", |(controller, _)| controller);
        if file.contains('/') || controller.is_empty() {
            // In crun's words, as those for a missing controller.
            let problem = "the specified key has not the form CONTROLLER.VALUE";
            return Err(field_error(FIELD, format!("{problem} `{file}`")));
        }
        let Some(known) = V2_CONTROLLERS.iter().find(|c| **c == controller) else {
            let (controller, field) = (controller.to_owned(), FIELD.to_owned());
            let hint = format!("cgroup v2 has {}", V2_CONTROLLERS.join(", "));
            return Err(Error::MissingController { controller, field, hint });
        };
        // One value a line: io.max and friends take one device a write.
        for line in value.lines() {
            out.push(Setting::new(known, file.clone(), line, FIELD));
        }
    }
    Ok(())
}

const V2_CONTROLLERS: &[&str] =
    &["cgroup", "cpu", "cpuset", "hugetlb", "io", "memory", "misc", "perf_event", "pids", "rdma"];
