//! What the kernel tells of the host, and a container of podvisor must not hear.

use crate::trial::Trial;

/// The union of what docker, podman and containerd mask.
const MASKED: [&str; 17] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/class/powercap/*/*",
    "/sys/dev/block",
    "/sys/devices/system/cpu/cpu*/thermal_throttle",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
    // Not theirs, but what RAPL and heat are also to be had by.
    "/sys/devices/system/cpu/cpu*/thermal_throttle/*",
];

/// Each masked path is read as root of a container that `podvisor run` has made with its defaults.
/// Red when a path is taken out of `src/oci/src/profile/skeleton.json` (of those that this
/// machine has), or when `Child::mask` does nothing.
#[test]
fn nothing_of_the_host_is_read() {
    let name = "cve::information_leak::nothing_of_the_host_is_read";
    let Some(scope) = scope::enter(name) else { return };
    let trial = Trial::new(scope, &["true"]);
    trial.import_busybox();
    let paths = MASKED.join(" ");
    let script = format!(
        "for p in {paths}; do if [ -d $p ]; then n=$(ls -A $p | wc -c); \
         elif [ -e $p ]; then n=$(head -c 100 $p | wc -c); else continue; fi; \
         echo \"$p $n\"; done; grep -E '^(Seccomp|NoNewPrivs|CapInh|CapAmb):' /proc/self/status"
    );
    let out = trial.podvisor(&["run", "--rm", "busybox", "sh", "-c", &script]).ok();
    let mut looked_at = 0;
    for line in out.lines().filter(|line| line.starts_with('/')) {
        let (path, bytes) = line.split_once(' ').expect("path and bytes");
        assert_eq!(bytes, "0", "{path} can be read");
        looked_at += 1;
    }
    // Every kernel has these: interrupts, kcore, keys, timer_list, /sys/dev/block.
    assert!(looked_at >= 5, "{out}");
    let none = "0000000000000000";
    for want in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
        assert!(out.contains(want), "{want}: {out}");
    }
    assert!(out.contains(&format!("CapInh:\t{none}")) && out.contains(&format!("CapAmb:\t{none}")));
    // What may be changed there changes the host: opened for writing is enough to know.
    let files = "/proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity \
                 /sys/kernel/uevent_seqnum /sys/fs/cgroup/x";
    let script = format!(
        "for p in {files}; do (: >>$p) 2>/dev/null && echo $p; done; \
         mkdir /sys/fs/cgroup/x 2>/dev/null && echo made; true"
    );
    assert_eq!(trial.podvisor(&["run", "--rm", "busybox", "sh", "-c", &script]).ok(), "");
    trial.podvisor(&["rmi", "--force", "busybox"]).ok();
}
