//! Owner, mode, extended attributes and times of what was made, in the order that keeps them.
//!
//! chown(2) clears set-id bits and file capabilities, so it comes first; a write clears
//! capabilities, so attributes come after the data; times come last.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use sys::dir;

use crate::fault::Fault;
use crate::tarball::Entry;

pub(super) const OPAQUE_KEY: &[u8] = b"trusted.overlay.opaque";
const CAPABILITY: &[u8] = b"security.capability";
/// Bits that chown and some writes take away.
const SET_ID: u32 = 0o6000;

/// Whether a layer may set an attribute. overlayfs' own would forge what lies below; labels and
/// measurements belong to the host's policy.
pub(crate) fn allowed(key: &[u8]) -> bool {
    let kept = |prefix: &[u8]| key.starts_with(prefix);
    if kept(b"trusted.overlay.") || kept(b"user.overlay.") {
        return false;
    }
    key == CAPABILITY
        || kept(b"user.")
        || kept(b"trusted.")
        || key == b"system.posix_acl_access"
        || key == b"system.posix_acl_default"
}

fn xattrs(entry: &Entry, set: impl Fn(&[u8], &[u8]) -> std::io::Result<()>) -> Result<(), Fault> {
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| allowed(key)) {
        match set(key, value) {
            // The file system, or this kind of file, has no such attributes. A lost capability
            // would be a program that fails later, so that one is told.
            Err(e)
                if key != CAPABILITY
                    && matches!(
                        e.kind(),
                        std::io::ErrorKind::Unsupported | std::io::ErrorKind::PermissionDenied
                    ) => {}
            other => other.map_err(Fault::os("setting an extended attribute"))?,
        }
    }
    Ok(())
}

pub(super) fn of_file(file: &File, entry: &Entry) -> Result<(), Fault> {
    if (entry.uid, entry.gid) != (0, 0) {
        dir::set_owner_fd(file, entry.uid, entry.gid).map_err(Fault::os("setting the owner"))?;
    }
    if entry.mode & SET_ID != 0 {
        dir::set_mode_fd(file, entry.mode).map_err(Fault::os("setting the mode"))?;
    }
    xattrs(entry, |key, value| dir::set_xattr_fd(file, key, value))?;
    dir::set_times_fd(file, entry.modified).map_err(Fault::os("setting the time"))
}

/// Of a link, device or pipe.
pub(super) fn of_name(parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<(), Fault> {
    if (entry.uid, entry.gid) != (0, 0) {
        let done = dir::set_owner(parent, name, entry.uid, entry.gid);
        done.map_err(Fault::os("setting the owner"))?;
    }
    if entry.mode & SET_ID != 0 && entry.kind != crate::tarball::Kind::Link {
        dir::set_mode(parent, name, entry.mode).map_err(Fault::os("setting the mode"))?;
    }
    xattrs(entry, |key, value| dir::set_xattr(parent, name, key, value))?;
    dir::set_times(parent, name, entry.modified).map_err(Fault::os("setting the time"))
}

pub(super) fn of_folder(folder: impl AsFd, entry: &Entry) -> Result<(), Fault> {
    let folder = folder.as_fd();
    dir::set_owner_fd(folder, entry.uid, entry.gid).map_err(Fault::os("setting the owner"))?;
    dir::set_mode_fd(folder, entry.mode).map_err(Fault::os("setting the mode"))?;
    xattrs(entry, |key, value| dir::set_xattr_fd(folder, key, value))?;
    dir::set_times_fd(folder, entry.modified).map_err(Fault::os("setting the time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_attributes_are_kept() {
        for kept in ["user.mime", "security.capability", "system.posix_acl_access", "trusted.x"] {
            assert!(allowed(kept.as_bytes()), "{kept}");
        }
        for dropped in [
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "user.overlay.opaque",
            "security.selinux",
            "security.ima",
            "system.nfs4_acl",
            "other",
        ] {
            assert!(!allowed(dropped.as_bytes()), "{dropped}");
        }
    }
}
