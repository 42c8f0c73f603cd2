//! `linux`: namespaces, id maps, sysctls, devices, paths.

use std::collections::BTreeSet;

use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxDeviceType, LinuxIdMapping, LinuxNamespaceType, Spec,
};

use super::{Findings, has, namespaces};

/// Sysctls of the IPC namespace beside fs.mqueue.*.
const IPC_SYSCTLS: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

pub(super) fn check(spec: &Spec, found: &mut Findings) {
    check_namespaces(spec, found);
    let Some(linux) = spec.linux() else { return };
    check_maps(spec, linux, found);
    check_time(spec, linux, found);
    for (key, value) in linux.sysctl().iter().flatten() {
        check_sysctl(spec, key, value, found);
    }
    for (index, device) in linux.devices().iter().flatten().enumerate() {
        check_device(device, &format!("linux.devices[{index}]"), found);
    }
    for (field, paths) in
        [("maskedPaths", linux.masked_paths()), ("readonlyPaths", linux.readonly_paths())]
    {
        for (index, path) in paths.iter().flatten().enumerate() {
            let at = format!("linux.{field}[{index}]");
            found.need(path.starts_with('/'), at.clone(), "is not an absolute path");
            found.plain(at, path);
        }
    }
    if let Some(propagation) = linux.rootfs_propagation().as_deref().filter(|p| !p.is_empty()) {
        let known = ["shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable"]
            .contains(&propagation)
            || propagation == "runbindable";
        let problem = format!("{propagation:?} is none of shared, slave, private, unbindable");
        found.need(known, "linux.rootfsPropagation", problem);
    }
    if let Some(path) = linux.cgroups_path() {
        found.plain("linux.cgroupsPath", &path.to_string_lossy());
    }
    if let Some(path) = linux.seccomp().as_ref().and_then(|s| s.listener_path().as_ref()) {
        found.plain("linux.seccomp.listenerPath", &path.to_string_lossy());
    }
    if let Some(resources) = linux.resources() {
        super::resources::check(resources, found);
    }
    if let Some(policy) = linux.memory_policy() {
        super::schedule::check_memory(policy, found);
    }
    check_net_devices(spec, linux, found);
    if let Some(label) = linux.mount_label() {
        found.plain("linux.mountLabel", label);
        found.need(!label.contains('"'), "linux.mountLabel", "must not contain a quote");
    }
    if let Some(rdt) = linux.intel_rdt() {
        super::rdt::check(rdt, found);
    }
    check_personality(linux, found);
}

fn check_namespaces(spec: &Spec, found: &mut Findings) {
    let mut seen = Vec::new();
    for (index, namespace) in namespaces(spec).iter().enumerate() {
        let at = format!("linux.namespaces[{index}]");
        let kind = namespace.typ();
        found.need(!seen.contains(&kind), at.clone(), format!("a second one of type {kind}"));
        seen.push(kind);
        if let Some(path) = namespace.path().as_ref().filter(|p| !p.as_os_str().is_empty()) {
            found.need(path.is_absolute(), format!("{at}.path"), "is not an absolute path");
            found.plain(format!("{at}.path"), &path.to_string_lossy());
        }
    }
    if !has(spec, LinuxNamespaceType::Mount) {
        check_shared_mounts(spec, found);
    }
}

/// Without a mount namespace its mounts are the container's alone: nothing goes to the host or
/// comes from there, and only the host's root may make them.
fn check_shared_mounts(spec: &Spec, found: &mut Findings) {
    let user = has(spec, LinuxNamespaceType::User);
    found.need(!user, "linux.namespaces", "needs one of type mount beside the one of type user");
    // What is unbindable is not cloned either.
    let kept =
        |word: &str| matches!(word.trim_start_matches('r'), "shared" | "slave" | "unbindable");
    let problem = "needs a namespace of type mount in linux.namespaces";
    let whole = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
    found.need(!whole.is_some_and(kept), "linux.rootfsPropagation", problem);
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let word = mount.options().iter().flatten().find(|word| kept(word));
        if let Some(word) = word {
            found.add(format!("mounts[{index}].options"), format!("{word} {problem}"));
        }
    }
}

fn check_time(spec: &Spec, linux: &Linux, found: &mut Findings) {
    let Some(offsets) = linux.time_offsets().as_ref().filter(|o| !o.is_empty()) else { return };
    let at = "linux.timeOffsets";
    let time = namespaces(spec).iter().find(|n| n.typ() == LinuxNamespaceType::Time);
    match time.map(|n| n.path().as_ref().is_none_or(|p| p.as_os_str().is_empty())) {
        None => found.add(at, "needs a time namespace in linux.namespaces"),
        Some(false) => found.add(at, "the time namespace joined has its own"),
        Some(true) => {}
    }
    for (clock, offset) in offsets {
        let at = format!("{at}.{clock}");
        let known = clock == "monotonic" || clock == "boottime";
        found.need(known, at.clone(), "is none of monotonic and boottime");
        let within = offset.nanosecs().is_none_or(|n| n < 1_000_000_000);
        found.need(within, format!("{at}.nanosecs"), "is not below 1000000000");
    }
}

fn check_maps(spec: &Spec, linux: &Linux, found: &mut Findings) {
    let user = namespaces(spec).iter().find(|n| n.typ() == LinuxNamespaceType::User);
    let by_path = user.is_some_and(|n| n.path().as_ref().is_some_and(|p| p.is_absolute()));
    for (field, maps) in
        [("uidMappings", linux.uid_mappings()), ("gidMappings", linux.gid_mappings())]
    {
        let at = format!("linux.{field}");
        let maps = maps.as_deref().unwrap_or_default();
        match (user.is_some(), by_path) {
            (false, _) => found.need(maps.is_empty(), at.clone(), "needs a user namespace"),
            (true, true) => {
                found.need(maps.is_empty(), at.clone(), "the user namespace joined has its own");
            }
            (true, false) => {
                found.need(!maps.is_empty(), at.clone(), "is missing for the user namespace");
            }
        }
        check_ranges(maps, &at, found);
    }
}

pub(super) fn check_ranges(maps: &[LinuxIdMapping], at: &str, found: &mut Findings) {
    for (index, map) in maps.iter().enumerate() {
        let at = format!("{at}[{index}]");
        found.need(map.size() > 0, format!("{at}.size"), "is 0");
        let fits = |start: u32| start.checked_add(map.size()).is_some();
        let both = fits(map.host_id()) && fits(map.container_id());
        found.need(both, at.clone(), "reaches beyond 4294967295");
        let overlap = maps.iter().take(index).any(|o| {
            let within = |a: u32, b: u32, size: u32| a >= b && u64::from(a - b) < u64::from(size);
            within(map.container_id(), o.container_id(), o.size())
                || within(o.container_id(), map.container_id(), map.size())
        });
        found.need(!overlap, at, "overlaps another one");
    }
}

fn check_sysctl(spec: &Spec, key: &str, value: &str, found: &mut Findings) {
    let at = format!("linux.sysctl[{key:?}]");
    found.plain(at.clone(), value);
    let clean = !key.is_empty()
        && key.split(['.', '/']).all(|part| !part.is_empty())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b));
    if !clean {
        return found.add(at, "is no name of a sysctl");
    }
    let dotted = key.replace('/', ".");
    if dotted == "kernel.hostname" {
        return found.add(at, "use the field hostname");
    }
    let domain = spec.domainname().as_deref().filter(|name| !name.is_empty());
    if dotted == "kernel.domainname" && domain.is_some_and(|name| name != value) {
        return found.add(at, "is another name than domainname");
    }
    let Some(kind) = sysctl_namespace(key) else {
        return found.add(at, format!("{dotted} is not in a separate kernel namespace"));
    };
    let name = match kind {
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Ipc => "ipc",
        _ => "uts",
    };
    found.need(has(spec, kind), at, format!("needs an own {name} namespace"));
}

/// The kind of namespace that has a sysctl of its own; none where all share one.
#[must_use]
pub fn sysctl_namespace(key: &str) -> Option<LinuxNamespaceType> {
    let dotted = key.replace('/', ".");
    if IPC_SYSCTLS.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        Some(LinuxNamespaceType::Ipc)
    } else if dotted.starts_with("net.") {
        Some(LinuxNamespaceType::Network)
    } else {
        (dotted == "kernel.domainname").then_some(LinuxNamespaceType::Uts)
    }
}

fn check_device(device: &LinuxDevice, at: &str, found: &mut Findings) {
    found.need(device.path().is_absolute(), format!("{at}.path"), "is not an absolute path");
    found.plain(format!("{at}.path"), &device.path().to_string_lossy());
    let kind = device.typ();
    found.need(kind != LinuxDeviceType::A, format!("{at}.type"), "is none of c, b, u and p");
    if kind != LinuxDeviceType::P {
        let within = |n: i64, bits: u32| (0..1 << bits).contains(&n);
        found.need(within(device.major(), 12), format!("{at}.major"), "is not in 0 to 4095");
        found.need(within(device.minor(), 20), format!("{at}.minor"), "is not in 0 to 1048575");
    }
    let mode = device.file_mode().unwrap_or(0) & !0o170_000;
    found.need(mode <= 0o7777, format!("{at}.fileMode"), "has more than permission bits");
}

fn check_net_devices(spec: &Spec, linux: &Linux, found: &mut Findings) {
    let at = "linux.netDevices";
    let Some(devices) = linux.net_devices().as_ref().filter(|d| !d.is_empty()) else { return };
    found.need(has(spec, LinuxNamespaceType::Network), at, "needs an own network namespace");
    // dev_valid_name of the kernel; a % would be a pattern to it.
    let valid = |name: &str| {
        let odd = |b: u8| b.is_ascii_whitespace() || b"/:%\0".contains(&b);
        (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.bytes().any(odd)
    };
    let mut names = BTreeSet::new();
    for (name, device) in devices {
        let at = format!("{at}[{name:?}]");
        found.need(valid(name), at.clone(), "is no name of a network device");
        let within = device.name().as_deref().filter(|n| !n.is_empty()).unwrap_or(name);
        let (fine, at) = (valid(within) || within == name, format!("{at}.name"));
        found.need(fine, at.clone(), format!("{within:?} is no name of a network device"));
        found.need(names.insert(within), at, format!("{within:?} stands twice"));
    }
}

fn check_personality(linux: &Linux, found: &mut Findings) {
    let flags = linux.personality().as_ref().and_then(|p| p.flags().as_deref());
    let none = flags.is_none_or(<[String]>::is_empty);
    found.need(none, "linux.personality.flags", "the specification has no flag yet");
}
