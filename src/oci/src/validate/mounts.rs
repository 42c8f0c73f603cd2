//! `mounts`: what can be seen without the kernel.

use std::path::{Component, Path};

use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};

use super::{Findings, has};

pub(super) fn check(spec: &Spec, found: &mut Findings) {
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let at = format!("mounts[{index}]");
        check_mount(mount, &at, found);
        check_links(mount, &at, found);
        match crate::idmap::spelled_out(mount, spec.linux().as_ref()) {
            Ok(mount) => check_maps(spec, &mount, &at, found),
            Err(problem) => found.add(format!("{at}.options"), problem),
        }
    }
}

fn check_mount(mount: &Mount, at: &str, found: &mut Findings) {
    let destination = mount.destination();
    let named = !destination.as_os_str().is_empty();
    found.need(named, format!("{at}.destination"), "is empty");
    found.plain(format!("{at}.destination"), &destination.to_string_lossy());
    check_proc(mount, at, found);
    let options = mount.options().as_deref().unwrap_or_default();
    for option in options {
        found.plain(format!("{at}.options"), option);
    }
    let kind = mount.typ().as_deref().unwrap_or("none");
    found.plain(format!("{at}.type"), kind);
    let bind = is_bind(mount);
    let remount = options.iter().any(|o| o == "remount");
    if bind && !remount {
        let source = mount.source().as_ref().is_some_and(|s| !s.as_os_str().is_empty());
        found.need(source, format!("{at}.source"), "is missing: a bind mount needs one");
    }
    if !bind && !remount && kind == "none" {
        found.add(format!("{at}.type"), "is missing, and bind is not among the options");
    }
    if let Some(source) = mount.source() {
        found.plain(format!("{at}.source"), &source.to_string_lossy());
    }
}

/// Files of procfs that may be replaced: what lxcfs tells of a container.
const REPLACEABLE: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// Nothing but procfs stands at `/proc`: masked paths, sysctls and labels rely on it. Links in the
/// root file system are not seen here.
fn check_proc(mount: &Mount, at: &str, found: &mut Findings) {
    let Some(below) = below_proc(mount.destination()) else { return };
    if !below.is_empty() {
        if !REPLACEABLE.contains(&below.as_str()) {
            found.add(format!("{at}.destination"), "is inside /proc");
        }
        return;
    }
    let is_proc = match is_bind(mount) {
        true => mount.source().as_ref().is_some_and(|source| source == Path::new("/proc")),
        false => mount.typ().as_deref() == Some("proc"),
    };
    let remount = mount.options().iter().flatten().any(|option| option == "remount");
    if !is_proc && !remount {
        found.add(format!("{at}.destination"), "is /proc, and what is mounted is not procfs");
    }
}

/// What follows `/proc` in a destination that is there or below.
fn below_proc(destination: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for component in destination.components() {
        match component {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    let (first, rest) = parts.split_first()?;
    (*first == "proc").then(|| rest.join("/"))
}

fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().as_deref().unwrap_or_default();
    mount.typ().as_deref() == Some("bind") || options.iter().any(|o| o == "bind" || o == "rbind")
}

/// Options that say what a bind mount makes of links at the end of its paths. crun's.
pub const LINK_OPTIONS: [&str; 3] = ["copy-symlink", "dest-nofollow", "src-nofollow"];

/// What is said of links at the end of a bind mount's paths.
fn check_links(mount: &Mount, at: &str, found: &mut Findings) {
    let options = mount.options().as_deref().unwrap_or_default();
    if let Some(word) = options.iter().find(|o| LINK_OPTIONS.contains(&o.as_str()))
        && !is_bind(mount)
    {
        found.add(format!("{at}.options"), format!("{word} is of bind mounts only"));
    }
}

/// Id-mapped mounts.
fn check_maps(spec: &Spec, mount: &Mount, at: &str, found: &mut Findings) {
    let options = mount.options().as_deref().unwrap_or_default();
    let asked = options.iter().find(|o| *o == "idmap" || *o == "ridmap");
    let (uids, gids) = (mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref());
    let (uids, gids) = (uids.unwrap_or_default(), gids.unwrap_or_default());
    if asked.is_none() && uids.is_empty() && gids.is_empty() {
        return;
    }
    if !is_bind(mount) {
        let field = if asked.is_some() { "options" } else { "uidMappings" };
        return found.add(format!("{at}.{field}"), "ids are mapped on bind mounts only");
    }
    super::linux::check_ranges(uids, &format!("{at}.uidMappings"), found);
    super::linux::check_ranges(gids, &format!("{at}.gidMappings"), found);
    match (uids.is_empty(), gids.is_empty()) {
        (true, false) => found.add(format!("{at}.uidMappings"), "is missing beside gidMappings"),
        (false, true) => found.add(format!("{at}.gidMappings"), "is missing beside uidMappings"),
        (true, true) if !has(spec, LinuxNamespaceType::User) => {
            let problem = "idmap needs uidMappings and gidMappings, or a user namespace";
            found.add(format!("{at}.options"), problem);
        }
        _ => {}
    }
}
