//! `ip_forward`: switched on when it is off, put back as it was.
//!
//! Invariants: the former state is durable before the switch is touched, and is recorded once (a
//! second start must not take its own work for the former state); a record of another boot counts
//! for nothing. What somebody else has set meanwhile is left alone.
//!
//! Switching it sets `forwarding` of every link as well (ip-sysctl.rst), so the links that
//! forwarded already are part of the record.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

const IP_FORWARD: &str = "net/ipv4/ip_forward";
const LINKS: &str = "net/ipv4/conf";
const BOOT_ID: &str = "kernel/random/boot_id";
const RECORD: &str = "network-sysctls";

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn read(name: &str) -> Result<String> {
    let value = fs::read_to_string(path(name));
    let value = value.map_err(|source| Error::Sysctl { name: name.to_owned(), source })?;
    Ok(value.trim().to_owned())
}

fn write(name: &str, value: &str) -> Result<()> {
    fs::write(path(name), value).map_err(|source| Error::Sysctl { name: name.to_owned(), source })
}

/// Makes the host forward packets.
pub(crate) fn enable_forwarding(state: &Path) -> Result<()> {
    if read(IP_FORWARD)? == "1" {
        return Ok(());
    }
    let record = state.join(RECORD);
    let boot = read(BOOT_ID)?;
    let known = former(&record, &boot)?;
    if known.is_none() {
        let mut text = format!("{boot}\n{IP_FORWARD}=0\n");
        for name in forwarding_links()? {
            text.push_str(&format!("{name}=1\n"));
        }
        save(&record, &text).map_err(|source| Error::Record { path: record.clone(), source })?;
    }
    write(IP_FORWARD, "1").inspect_err(|_| {
        if known.is_none() {
            // Nothing was switched; the write's failure is the one to tell.
            let _ = fs::remove_file(&record);
        }
    })
}

/// Puts back what [`enable_forwarding`] has switched.
pub(crate) fn restore(state: &Path) -> Result<()> {
    let record = state.join(RECORD);
    let Some(former) = former(&record, &read(BOOT_ID)?)? else {
        return forget(&record);
    };
    if read(IP_FORWARD)? == "1" {
        for (name, value) in former {
            match write(&name, &value) {
                // A link that has gone meanwhile.
                Err(Error::Sysctl { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    forget(&record)
}

/// What [`restore`] would put back, as name and value.
pub(crate) fn recorded(state: &Path) -> Result<Vec<(String, String)>> {
    Ok(former(&state.join(RECORD), &read(BOOT_ID)?)?.unwrap_or_default())
}

/// Links (and the default for new ones) that forward although the host as a whole does not.
fn forwarding_links() -> Result<Vec<String>> {
    let failed = |source| Error::Sysctl { name: LINKS.to_owned(), source };
    let mut names = Vec::new();
    for link in fs::read_dir(path(LINKS)).map_err(failed)? {
        let link = link.map_err(failed)?.file_name();
        let Some(link) = link.to_str().filter(|link| *link != "all") else { continue };
        let name = format!("{LINKS}/{link}/forwarding");
        // A link may go while it is being looked at.
        if read(&name).is_ok_and(|value| value == "1") {
            names.push(name);
        }
    }
    Ok(names)
}

/// The record of this boot.
fn former(record: &Path, boot: &str) -> Result<Option<Vec<(String, String)>>> {
    let text = match fs::read_to_string(record) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Record { path: record.to_owned(), source }),
    };
    let Some(lines) = text.strip_prefix(boot) else { return Ok(None) };
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    // The file decides what root writes to: nothing but what is ever recorded.
    let ours = pairs.filter(|(name, _)| *name == IP_FORWARD || is_forwarding_of_link(name));
    Ok(Some(ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

fn is_forwarding_of_link(name: &str) -> bool {
    let link = name.strip_prefix(LINKS).and_then(|rest| rest.strip_suffix("/forwarding"));
    link.and_then(|link| link.strip_prefix('/'))
        .is_some_and(|link| !link.is_empty() && link != ".." && !link.contains('/'))
}

fn save(record: &Path, text: &str) -> io::Result<()> {
    let temporary = record.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, record)?;
    sync_folder(record)
}

fn forget(record: &Path) -> Result<()> {
    let result = fs::remove_file(record).and_then(|()| sync_folder(record));
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Record { path: record.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn sync_folder(record: &Path) -> io::Result<()> {
    record.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cannot_point_elsewhere() {
        for (name, ours) in [
            ("net/ipv4/conf/eth0/forwarding", true),
            ("net/ipv4/conf/eth0.5/forwarding", true),
            ("net/ipv4/conf/../forwarding", false),
            ("net/ipv4/conf/a/../../forwarding", false),
            ("net/ipv4/conf//forwarding", false),
            ("net/ipv4/configuration/forwarding", false),
            ("kernel/core_pattern", false),
        ] {
            assert_eq!(is_forwarding_of_link(name), ours, "{name}");
        }
    }

    #[test]
    fn a_record_of_another_boot_counts_for_nothing() {
        let folder = scope::Folder::new("net-record");
        let record = folder.join("record");
        save(&record, "boot-1\nnet/ipv4/ip_forward=0\nkernel/core_pattern=|x\n").unwrap();
        let expected = vec![("net/ipv4/ip_forward".to_owned(), "0".to_owned())];
        assert_eq!(former(&record, "boot-1").unwrap(), Some(expected));
        assert_eq!(former(&record, "boot-2").unwrap(), None);
        forget(&record).unwrap();
        assert_eq!(former(&record, "boot-1").unwrap(), None);
        forget(&record).unwrap();
    }
}
