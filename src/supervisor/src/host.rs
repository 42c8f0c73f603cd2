//! What a supervisor has to know of its host; read once, at its start.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use oci::runtime::LinuxResources;

/// Facts of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its name.
    pub(crate) node_name: String,
    /// Its memory, in bytes.
    pub(crate) capacity_bytes: u64,
    /// The address that it speaks to other networks with; `None` without a route there.
    pub(crate) address: Option<Ipv4Addr>,
    /// The lowest oom_score_adj that can be set here; `None` when any can.
    pub(crate) oom_score_floor: Option<i32>,
    /// Controllers are cgroup v2's.
    pub(crate) cgroup_v2: bool,
    /// The kernel counts swap.
    pub(crate) swap_limits: bool,
    /// Differs from boot to boot.
    pub(crate) boot_id: String,
    /// What tells of the processors' heat, a folder each: other tenants can be heard through it.
    pub(crate) thermal: Vec<String>,
}

impl Host {
    /// Asks the kernel. What it does not tell has a value that changes nothing.
    pub(crate) fn read() -> Host {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cgroups = Path::new("/sys/fs/cgroup");
        let cgroup_v2 = cgroups.join("cgroup.controllers").exists();
        Host {
            node_name: text("/proc/sys/kernel/hostname").trim().to_owned(),
            capacity_bytes: memory_bytes(&text("/proc/meminfo")).unwrap_or(u64::MAX),
            address: address(),
            oom_score_floor: oom_score_floor(
                &text("/proc/self/status"),
                &text("/proc/self/oom_score_adj"),
            ),
            cgroup_v2,
            swap_limits: cgroup_v2 || cgroups.join("memory/memory.memsw.limit_in_bytes").exists(),
            boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            thermal: thermal(Path::new("/sys/devices/system/cpu")),
        }
    }
}

/// The `thermal_throttle` folders below the kernel's folder of processors.
fn thermal(processors: &Path) -> Vec<String> {
    let entries = fs::read_dir(processors).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path().join("thermal_throttle"));
    let found = folders.filter(|folder| folder.is_dir()).map(|f| f.display().to_string());
    let mut all: Vec<String> = found.collect();
    all.sort();
    all
}

impl Host {
    /// Limits as this host can keep them. Of a container on v2 the kernel kills all or nothing
    /// (kubelet does the same): what is left of one is of no use.
    pub(crate) fn fit(&self, resources: &mut LinuxResources, container: bool) {
        let Some(mut memory) = *resources.memory() else { return };
        if !self.swap_limits {
            memory.set_swap(None);
        }
        resources.set_memory(Some(memory));
        if self.cgroup_v2 && container {
            let group = ("memory.oom.group".to_owned(), "1".to_owned());
            resources.set_unified(Some([group].into()));
        }
    }
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn memory_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Without CAP_SYS_RESOURCE, as inside another engine's container, a score can only be raised.
fn oom_score_floor(status: &str, own: &str) -> Option<i32> {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    if mask & CAP_SYS_RESOURCE != 0 { None } else { own.trim().parse().ok() }
}

/// The source address the kernel would choose; no packet is sent by connecting a UDP socket.
fn address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // TEST-NET-1 (RFC 5737): reached by the default route alone.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(own) => Some(*own.ip()),
        SocketAddr::V6(_) => None,
    }
}

/// Unix time in milliseconds.
pub(crate) fn unix_ms() -> u64 {
    sys::clock::unix_ns() / 1_000_000
}

/// Unix time minus CLOCK_BOOTTIME, in milliseconds.
pub(crate) fn wall_offset_ms() -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(unix_ms()).saturating_sub(signed(sys::clock::boot_ms()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(memory_bytes("MemTotal:       16 kB\nMemFree: 1 kB\n"), Some(16 * 1024));
        assert_eq!(memory_bytes("MemFree: 1 kB\n"), None);
        assert_eq!(memory_bytes("MemTotal: x kB\n"), None);
        assert_eq!(oom_score_floor("CapEff:\t000001ffffffffff\n", "5\n"), None);
        assert_eq!(oom_score_floor("CapEff:\t000001fffeffffff\n", "5\n"), Some(5));
        assert!(!Host::read().boot_id.is_empty());
    }

    #[test]
    fn every_processors_heat_is_found() {
        let folder = scope::Folder::new("heat");
        for below in ["cpu0/thermal_throttle", "cpu1/thermal_throttle", "cpu2", "cpufreq"] {
            fs::create_dir_all(folder.join(below)).unwrap();
        }
        let want = ["cpu0", "cpu1"].map(|cpu| folder.join(cpu).join("thermal_throttle"));
        assert_eq!(thermal(&folder), want.map(|path| path.display().to_string()));
        fs::remove_dir_all(&folder).unwrap();
        assert!(thermal(&folder).is_empty());
    }
}
