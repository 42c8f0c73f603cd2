//! Security modules that a document asks for: refused where the kernel does not have them.
//!
//! Not here: the labels themselves, which the plan sets.

use std::fs;
use std::path::Path;

use oci::runtime::{Process, Spec};

use crate::error::{Error, Result};

/// What the document asks of security modules that are not there.
pub(crate) fn check(spec: &Spec) -> Result<()> {
    let label = spec.linux().as_ref().and_then(|linux| linux.mount_label().as_deref());
    check_selinux("linux.mountLabel", label.unwrap_or_default())?;
    spec.process().as_ref().map_or(Ok(()), check_process)
}

fn check_selinux(field: &'static str, label: &str) -> Result<()> {
    if label.is_empty() || Path::new("/sys/fs/selinux/enforce").exists() {
        return Ok(());
    }
    Err(Error::NoModule { field, module: "SELinux" })
}

pub(crate) fn check_process(process: &Process) -> Result<()> {
    let apparmor = process.apparmor_profile().as_deref().unwrap_or_default();
    let enabled =
        || fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|t| t[..] == *b"Y\n");
    if !apparmor.is_empty() && apparmor != "unconfined" && !enabled() {
        return Err(Error::NoModule { field: "process.apparmorProfile", module: "AppArmor" });
    }
    check_selinux("process.selinuxLabel", process.selinux_label().as_deref().unwrap_or_default())
}

/// Whether a process that criu has made anew is confined: not so with the label of criu itself,
/// where it had one of its own or another is asked for (`TYPE:NAME`). A criu that does not know the
/// module leaves it so.
pub(crate) fn check_restored(
    process: Option<&Process>,
    other: Option<&str>,
    pid: i32,
    criu: i32,
) -> Result<()> {
    let known = process.into_iter();
    let known = known.flat_map(|p| [p.selinux_label().as_deref(), p.apparmor_profile().as_deref()]);
    let asked = other.and_then(|other| other.split_once(':')).map(|(_, name)| name);
    let label = asked.or_else(|| known.flatten().find(|label| !label.is_empty()));
    let (Some(label), Some(own)) = (label, label_of(criu)) else { return Ok(()) };
    if own == label || label_of(pid).is_some_and(|label| label != own) {
        return Ok(());
    }
    Err(Error::Unconfined { label: label.to_owned(), own })
}

/// `None` without a module; AppArmor's mode, as in `NAME (enforce)`, is left out.
fn label_of(pid: i32) -> Option<String> {
    let text = sys::kernel_file::read(format!("/proc/{pid}/attr/current")).ok()?;
    let label = text.trim_matches(['\0', '\n']);
    Some(label.split_once(" (").map_or(label, |(name, _)| name).to_owned())
}
