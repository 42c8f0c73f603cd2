//! `mounts`: what can be seen without the kernel.

use oci_spec::runtime::{Mount, Spec};

use super::Findings;

pub(super) fn check(spec: &Spec, found: &mut Findings) {
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        check_mount(mount, &format!("mounts[{index}]"), found);
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
        let idmap = option == "idmap" || option == "ridmap";
        found.need(!idmap, format!("{at}.options"), format!("{option} is not supported"));
    }
    let kind = mount.typ().as_deref().unwrap_or("none");
    let bind = kind == "bind" || options.iter().any(|o| o == "bind" || o == "rbind");
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
    for (field, maps) in
        [("uidMappings", mount.uid_mappings()), ("gidMappings", mount.gid_mappings())]
    {
        let none = maps.as_ref().is_none_or(Vec::is_empty);
        found.need(none, format!("{at}.{field}"), "id-mapped mounts are not supported");
    }
}
