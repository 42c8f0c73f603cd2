//! The id maps of a new user namespace, written by the parent.
//!
//! Source: user_namespaces(7). Root writes them as they are; setgroups stays allowed.

use std::fs;

use oci::runtime::{LinuxIdMapping, Spec};

use crate::error::{Error, Result};

/// Writes the maps of the process's user namespace.
pub(crate) fn write(spec: &Spec, pid: i32) -> Result<()> {
    let Some(linux) = spec.linux() else { return Ok(()) };
    for (file, maps) in [("uid_map", linux.uid_mappings()), ("gid_map", linux.gid_mappings())] {
        let path = format!("/proc/{pid}/{file}");
        let text = lines(maps.as_deref().unwrap_or_default());
        fs::write(&path, text).map_err(Error::io("write", path))?;
    }
    Ok(())
}

fn lines(maps: &[LinuxIdMapping]) -> String {
    let line =
        |map: &LinuxIdMapping| format!("{} {} {}\n", map.container_id(), map.host_id(), map.size());
    maps.iter().map(line).collect()
}
