//! What a container has used, in the shape that `events --stats` prints: runc 1.3's fields.
//!
//! Left out is `network_interfaces`, which runc fills for interfaces of its own making alone, and
//! it makes none for a config.json. Source: runc types/events.go; of RDMA, which that leaves out,
//! cgroups/stats.go. A controller that is not there leaves its part at zero. Times are
//! nanoseconds, sizes bytes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::stats::keyed;
use super::{Cgroup, Error};

mod blkio;
mod pressure;
mod rare;

use blkio::Blkio;
use pressure::Pressure;
use rare::Rdma;

use crate::rdt;

/// Everything of one container.
#[derive(Debug, Default, Serialize)]
pub struct Usage {
    /// Processor time.
    pub cpu: Cpu,
    /// Processors it may use.
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// Processes.
    pub pids: Pids,
    /// Reads and writes.
    pub blkio: Blkio,
    /// Huge pages by size.
    pub hugetlb: BTreeMap<String, Counter>,
    /// RDMA, where the machine has devices of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdma: Option<Rdma>,
    /// Cache and memory bandwidth, of a container with a resctrl group.
    pub intel_rdt: rdt::Usage,
}

/// Processor time.
#[derive(Debug, Default, Serialize)]
pub struct Cpu {
    /// Used.
    pub usage: CpuUsage,
    /// Held back.
    pub throttling: Throttling,
    /// Waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Processor time used, nanoseconds.
#[derive(Debug, Default, Serialize)]
pub struct CpuUsage {
    /// In all.
    pub total: u64,
    /// By processor (v1 alone counts that).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// The same in the kernel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// The same in user space.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In user space.
    pub user: u64,
}

/// How often the quota held it back.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods passed.
    pub periods: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// For how long, nanoseconds.
    pub throttled_time: u64,
}

/// Processors and memory nodes, as lists, and v1's switches, 0 on v2.
#[derive(Debug, Default, Serialize)]
pub struct Cpuset {
    /// Processors.
    pub cpus: Vec<u32>,
    /// They are of no other cgroup.
    pub cpu_exclusive: u64,
    /// Memory nodes.
    pub mems: Vec<u32>,
    /// The kernel's memory is of them, too.
    pub mem_hardwall: u64,
    /// They are of no other cgroup.
    pub mem_exclusive: u64,
    /// Memory moves to other nodes with the list.
    pub memory_migrate: u64,
    /// Page cache is spread over them.
    pub memory_spread_page: u64,
    /// Slabs are.
    pub memory_spread_slab: u64,
    /// How hard memory is being reclaimed.
    pub memory_pressure: u64,
    /// The scheduler balances load among them.
    pub sched_load_balance: u64,
    /// How far it looks for tasks; -1 is the system's default.
    pub sched_relax_domain_level: i64,
}

/// One counter with its limit.
#[derive(Debug, Default, Serialize)]
pub struct Counter {
    /// Most it may be; 18446744073709551615 for no limit.
    pub limit: u64,
    /// Now.
    pub usage: u64,
    /// The most it has been.
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Memory.
#[derive(Debug, Default, Serialize)]
pub struct Memory {
    /// Of which page cache.
    pub cache: u64,
    /// All of it.
    pub usage: Counter,
    /// With swap; v2 counts that apart, and no most of both.
    pub swap: Counter,
    /// Of the kernel, on v1.
    pub kernel: Counter,
    /// Of the kernel's TCP buffers, on v1.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Counter,
    /// memory.stat as it stands.
    pub raw: BTreeMap<String, u64>,
    /// Waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Processes and threads.
#[derive(Debug, Default, Serialize)]
pub struct Pids {
    /// Now.
    pub current: u64,
    /// At most; 0 for no limit.
    pub limit: u64,
}

impl Cgroup {
    /// Reads everything that is counted; what resctrl counts is not the cgroup's.
    ///
    /// # Errors
    /// None now: what cannot be read is zero, for a container may end at any moment.
    pub fn usage(&self) -> Result<Usage, Error> {
        Ok(Usage {
            cpu: self.cpu(),
            cpuset: self.cpuset(),
            memory: self.memory(),
            pids: self.pids_usage(),
            blkio: self.blkio(),
            hugetlb: self.hugetlb(),
            rdma: self.rdma(),
            intel_rdt: rdt::Usage::default(),
        })
    }

    fn cpu(&self) -> Cpu {
        let mut cpu = Cpu::default();
        if let Some(folder) = self.v1_folder("cpuacct") {
            cpu.usage.total = number(folder, "cpuacct.usage");
            let words = text(folder, "cpuacct.usage_percpu");
            cpu.usage.percpu = words.split_whitespace().filter_map(|w| w.parse().ok()).collect();
            (cpu.usage.percpu_kernel, cpu.usage.percpu_user) =
                percpu(&text(folder, "cpuacct.usage_all"));
            cpu.usage.user = number(folder, "cpuacct.usage_user");
            cpu.usage.kernel = number(folder, "cpuacct.usage_sys");
        } else if let Some(folder) = self.v2_folder() {
            let stat = text(folder, "cpu.stat");
            let ns = |key: &str| keyed(&stat, key).unwrap_or(0).saturating_mul(1000);
            cpu.usage.total = ns("usage_usec");
            (cpu.usage.user, cpu.usage.kernel) = (ns("user_usec"), ns("system_usec"));
        }
        if let Some(folder) = self.v1_folder("cpu").or(self.v2_folder()) {
            let stat = text(folder, "cpu.stat");
            let value = |key: &str| keyed(&stat, key).unwrap_or(0);
            cpu.throttling = Throttling {
                periods: value("nr_periods"),
                throttled_periods: value("nr_throttled"),
                throttled_time: value("throttled_time") + value("throttled_usec") * 1000,
            };
        }
        cpu.psi = self.pressure("cpu");
        cpu
    }

    fn cpuset(&self) -> Cpuset {
        let (folder, names) = match (self.v1_folder("cpuset"), self.v2_folder()) {
            (Some(folder), _) => (folder, ["cpuset.cpus", "cpuset.mems"]),
            (None, Some(folder)) => (folder, ["cpuset.cpus.effective", "cpuset.mems.effective"]),
            (None, None) => return Cpuset::default(),
        };
        let [cpus, mems] = names.map(|name| ranges(&text(folder, name)));
        // On v2 there are no such files.
        let value = |name: &str| number(folder, &format!("cpuset.{name}"));
        Cpuset {
            cpus,
            cpu_exclusive: value("cpu_exclusive"),
            mems,
            mem_hardwall: value("mem_hardwall"),
            mem_exclusive: value("mem_exclusive"),
            memory_migrate: value("memory_migrate"),
            memory_spread_page: value("memory_spread_page"),
            memory_spread_slab: value("memory_spread_slab"),
            memory_pressure: value("memory_pressure"),
            sched_load_balance: value("sched_load_balance"),
            sched_relax_domain_level: text(folder, "cpuset.sched_relax_domain_level")
                .trim()
                .parse()
                .unwrap_or(0),
        }
    }

    fn memory(&self) -> Memory {
        let counter = |folder: &Path, prefix: &str, names: [&str; 4]| {
            let [usage, limit, max, failed] =
                names.map(|n| number(folder, &format!("{prefix}{n}")));
            Counter { usage, limit, max, failcnt: failed }
        };
        let mut memory = Memory { psi: self.pressure("memory"), ..Memory::default() };
        let stat;
        if let Some(folder) = self.v1_folder("memory") {
            let names = ["usage_in_bytes", "limit_in_bytes", "max_usage_in_bytes", "failcnt"];
            memory.usage = counter(folder, "memory.", names);
            memory.swap = counter(folder, "memory.memsw.", names);
            memory.kernel = counter(folder, "memory.kmem.", names);
            memory.kernel_tcp = counter(folder, "memory.kmem.tcp.", names);
            stat = text(folder, "memory.stat");
            memory.cache = keyed(&stat, "cache").unwrap_or(0);
        } else if let Some(folder) = self.v2_folder() {
            memory.usage = counter(folder, "memory.", ["current", "max", "peak", "none"]);
            let swap = counter(folder, "memory.swap.", ["current", "max", "none", "none"]);
            memory.swap = Counter {
                usage: swap.usage.saturating_add(memory.usage.usage),
                // That of no limit stays so.
                limit: swap.limit.saturating_add(memory.usage.limit),
                ..swap
            };
            let events = text(folder, "memory.events");
            memory.usage.failcnt = keyed(&events, "max").unwrap_or(0);
            stat = text(folder, "memory.stat");
            memory.cache = keyed(&stat, "file").unwrap_or(0);
        } else {
            return memory;
        }
        memory.raw = stat.lines().filter_map(pair).collect();
        memory
    }

    fn pids_usage(&self) -> Pids {
        let Some(folder) = self.v1_folder("pids").or(self.v2_folder()) else {
            return Pids::default();
        };
        let limit = text(folder, "pids.max");
        Pids { current: number(folder, "pids.current"), limit: limit.trim().parse().unwrap_or(0) }
    }
}

fn text(folder: &Path, name: &str) -> String {
    sys::kernel_file::read(folder.join(name)).unwrap_or_default()
}

/// A file of one number; `max` is the largest there is.
fn number(folder: &Path, name: &str) -> u64 {
    match text(folder, name).trim() {
        "max" => u64::MAX,
        word => word.parse().unwrap_or(0),
    }
}

fn pair(line: &str) -> Option<(String, u64)> {
    let (key, value) = line.split_once(' ')?;
    Some((key.to_owned(), value.trim().parse().ok()?))
}

/// A head, then lines of `CPU USER SYSTEM`: what is of the system, and of the user.
fn percpu(text: &str) -> (Vec<u64>, Vec<u64>) {
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1).map(|word| word.parse::<u64>().ok());
        let (user, system) = (words.next()??, words.next()??);
        Some((system, user))
    };
    text.lines().skip(1).filter_map(line).unzip()
}

/// "0-2,5" as numbers, those that a kernel may have.
fn ranges(text: &str) -> Vec<u32> {
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some(first..=last.min(oci::validate::LIST_MAX))
    };
    text.trim().split(',').filter_map(one).flatten().collect()
}

/// Every reader of this kind of files on the same text.
#[cfg(test)]
pub(crate) fn read_every_form(text: &str) {
    let numbers = ranges(text);
    assert!(numbers.iter().all(|n| *n <= oci::validate::LIST_MAX));
    drop((percpu(text), pressure::parse(text)));
    blkio::read_both_forms(text);
    text.lines().for_each(|line| drop(pair(line)));
    drop(rare::rdma_entries(text));
    for key in ["oom_kill", "usage_usec", "anon"] {
        let _ = keyed(text, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_both_versions_are_read() {
        assert_eq!(ranges("0-2,5\n"), [0, 1, 2, 5]);
        assert!(ranges("\n").is_empty());
        let both = (vec![20, 0], vec![10, 5]);
        assert_eq!(percpu("cpu user system\n0 10 20\n1 5 0\n"), both);
        assert_eq!(pair("anon 12"), Some(("anon".to_owned(), 12)));
        let entry = |device: &str, hca_handles, hca_objects| rare::RdmaEntry {
            device: device.to_owned(),
            hca_handles,
            hca_objects,
        };
        let rdma = rare::rdma_entries(
            "rxe0 hca_handle=2 hca_object=max\nmlx5 hca_handle=0\nx hca_handle=?\n",
        );
        assert_eq!(rdma, [entry("rxe0", 2, u32::MAX), entry("mlx5", 0, 0)]);
    }
}
