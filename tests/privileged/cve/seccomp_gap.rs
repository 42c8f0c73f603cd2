//! The default filter of podvisor, call by call, in every ABI that the processor has.
//!
//! The probe runs with every capability but under the filter of a container that has only the
//! default ones: what stops it is the filter alone.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::trial::Trial;

const PROFILE: &str = include_str!("../../../src/oci/src/profile/seccomp.json");
/// Name and numbers on x86_64, i386, x32.
const NUMBERS: &str = include_str!("../../../src/runtime/src/seccomp/syscalls.rs");
const ABIS: [&str; 3] = ["x86_64", "i386", "x32"];
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;

/// What no container may call without a capability for it; the list is held here once more, so that
/// the profile cannot lose one unseen.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "acct", "add_key", "bpf", "chroot", "clock_settime", "clock_settime64", "create_module",
    "delete_module", "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen",
    "fspick", "get_kernel_syms", "get_mempolicy", "init_module", "io_uring_enter",
    "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load",
    "kexec_load", "keyctl", "lookup_dcookie", "mbind", "migrate_pages", "mount",
    "mount_setattr", "move_mount", "move_pages", "nfsservctl", "open_by_handle_at",
    "open_tree", "open_tree_attr", "perf_event_open", "pidfd_getfd", "pivot_root",
    "process_madvise", "query_module", "quotactl", "quotactl_fd", "reboot", "request_key",
    "set_mempolicy", "set_mempolicy_home_node", "setdomainname", "sethostname", "setns",
    "settimeofday", "stime", "swapoff", "swapon", "_sysctl", "sysfs", "syslog", "umount",
    "umount2", "unshare", "uselib", "userfaultfd", "ustat", "vhangup", "vm86", "vm86old",
];

/// The rules for a container without any capability that a rule speaks of.
fn profile() -> Value {
    let mut profile: Value = serde_json::from_str(PROFILE).expect("profile");
    let rules = profile["syscalls"].as_array_mut().expect("rules");
    rules.retain(|rule| rule["includes"].is_null());
    for rule in rules.iter_mut() {
        rule.as_object_mut().expect("rule").remove("excludes");
    }
    profile
}

fn numbers() -> BTreeMap<String, Vec<i64>> {
    let rows = NUMBERS.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    rows.filter_map(|row| {
        let (name, rest) = row.split_once("\", [")?;
        let list = rest.split(']').next()?.split(',').map(|n| n.trim().parse());
        Some((name.to_owned(), list.collect::<Result<_, _>>().ok()?))
    })
    .collect()
}

/// Runs the probe on these lines; how each ended, by "NAME ABI".
fn probe(trial: &Trial, bundle: &str, lines: &str) -> BTreeMap<String, String> {
    fs::write(trial.path("b/rootfs/list"), lines).expect("list");
    let text = trial.oci(&["run", "--bundle", bundle, "c"]).ok();
    let ended = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(' ')?;
        let (abi, how) = rest.split_once(' ')?;
        Some((format!("{name} {abi}"), how.to_owned()))
    });
    ended.collect()
}

fn ready(trial: &Trial) {
    fs::copy(trial.tool("probe"), trial.path("b/rootfs/probe")).expect("probe");
    trial.change(|config| {
        config["linux"]["seccomp"] = profile();
        let every = capabilities();
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(every);
        }
    });
}

/// The capabilities that this process can give, as config.json names them.
fn capabilities() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).expect("CapPrm");
    let held = u64::from_str_radix(line.trim(), 16).expect("bits");
    let header = fs::read_to_string("/usr/include/linux/capability.h").expect("linux-libc-dev");
    let words = header.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let named = words.filter(|w| w.len() > 2 && w[0] == "#define" && w[1].starts_with("CAP_"));
    let known = named.filter_map(|w| Some((w[1].to_owned(), w[2].parse::<u32>().ok()?)));
    known.filter(|(_, number)| held >> number & 1 == 1).map(|(name, _)| name).collect()
}

/// Each call that is to be refused, in each ABI; x32 has none at all.
/// Red when one of them moves to the list of the allowed in `seccomp.json`, or when
/// `seccomp/code.rs` lets another architecture or x32 numbers pass.
#[test]
fn every_refused_call_is_refused_in_every_abi() {
    let Some((trial, bundle)) =
        trial!(every_refused_call_is_refused_in_every_abi, "/probe", "/list")
    else {
        return;
    };
    ready(&trial);
    let (numbers, mut lines, mut count) = (numbers(), String::new(), 0);
    for name in REFUSED {
        for (abi, number) in ABIS.iter().zip(&numbers[*name]) {
            if *number >= 0 {
                lines += &format!("{abi} {number} 0 0 0 {name}\n");
                count += 1;
            }
        }
    }
    // Harmless ones, foreign in x32, and numbers that nobody has.
    for name in ["getpid", "read", "openat"] {
        lines += &format!("x32 {} 0 0 0 {name}\n", numbers[name][2]);
    }
    for abi in ["x86_64", "i386"] {
        lines += &format!("{abi} 900 0 0 0 future\n{abi} 435 0 0 0 clone3\n");
    }
    lines += "i386 102 1 0 0 socketcall\nx86_64 39 0 0 0 getpid\ni386 20 0 0 0 getpid\n";
    let ended = probe(&trial, &bundle, &lines);
    let mut wrong = Vec::new();
    for (call, how) in &ended {
        let (name, abi) = call.split_once(' ').expect("call");
        let want = match (name, abi) {
            // The kernel itself may lack them, which is ENOSYS: the filter does not leave it to it.
            (_, "x32") => "signal 31".to_owned(),
            ("future" | "clone3" | "socketcall", _) => format!("errno {ENOSYS}"),
            ("getpid", _) => "done".to_owned(),
            _ => format!("errno {EPERM}"),
        };
        if want != *how {
            wrong.push(format!("{call}: {how}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 120 && ended.len() == count + 10, "{count} {}", ended.len());
}

/// Rules about arguments hold for what the kernel reads of them, which may be 32 bits of 64.
/// Red when the rule about `clone`, `socket` or `personality` is taken out of `seccomp.json`.
#[test]
fn arguments_are_looked_at_as_the_kernel_reads_them() {
    let Some((trial, bundle)) =
        trial!(arguments_are_looked_at_as_the_kernel_reads_them, "/probe", "/list")
    else {
        return;
    };
    ready(&trial);
    let high = 1u64 << 32;
    let mut lines = String::new();
    let mut want = BTreeMap::new();
    let mut add = |abi: &str, number: i64, arg: u64, name: String, errno: u32| {
        // A type of socket that there is not: the kernel itself would say so first, with EINVAL.
        lines += &format!("{abi} {number} {arg} 65520 0 {name}\n");
        want.insert(format!("{name} {abi}"), format!("errno {errno}"));
    };
    // CLONE_NEWTIME is below the exit signal's bits for clone(2), which cannot have it.
    for flag in
        [0x20000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000u64]
    {
        for (abi, number) in [("x86_64", 56), ("i386", 120)] {
            add(abi, number, flag | 17, format!("clone:{flag:x}"), EPERM);
        }
        add("x86_64", 56, high | flag | 17, format!("clone:high:{flag:x}"), EPERM);
    }
    for (family, name) in [(38, "alg"), (40, "vsock")] {
        for (abi, number) in [("x86_64", 41), ("i386", 359)] {
            add(abi, number, family, format!("socket:{name}"), EAFNOSUPPORT);
        }
        add("x86_64", 41, high | family, format!("socket:high:{name}"), EAFNOSUPPORT);
    }
    for (domain, name) in [(0x0040_0000, "norandomize"), (0x0100_0000, "readimplies")] {
        for (abi, number) in [("x86_64", 135), ("i386", 136)] {
            add(abi, number, domain, format!("personality:{name}"), EPERM);
        }
    }
    assert_eq!(probe(&trial, &bundle, &lines), want);
}
