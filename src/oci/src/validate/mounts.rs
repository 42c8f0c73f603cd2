//! `mounts`: what can be seen without the kernel.

use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};

use super::{Findings, has};

pub(super) fn check(spec: &Spec, found: &mut Findings) {
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let at = format!("mounts[{index}]");
        check_mount(mount, &at, found);
        check_maps(spec, mount, &at, found);
    }
}

fn check_mount(mount: &Mount, at: &str, found: &mut Findings) {
    let destination = mount.destination();
    let named = !destination.as_os_str().is_empty();
    found.need(named, format!("{at}.destination"), "is empty");
    found.plain(format!("{at}.destination"), &destination.to_string_lossy());
    let options = mount.options().as_deref().unwrap_or_default();
    for option in options {
        found.plain(format!("{at}.options"), option);
    }
    let kind = mount.typ().as_deref().unwrap_or("none");
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

fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().as_deref().unwrap_or_default();
    mount.typ().as_deref() == Some("bind") || options.iter().any(|o| o == "bind" || o == "rbind")
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
