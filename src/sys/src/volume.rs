//! Mounts of a pod's volumes on the host: made on folders that are ours alone, and taken away.
//!
//! Invariants: nothing mounted here passes mounts on to what it shows, so that taking it away takes
//! nothing else away. Not here: what is mounted where.

use std::io::{ErrorKind, Result};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chdir;

use crate::tree::is_mount_root;

const NOTHING: Option<&Path> = None;

/// Mounts a new tmpfs on the folder `target`, without devices and set-id programs.
///
/// # Errors
/// mount(2)'s; EINVAL for options that tmpfs does not know.
pub fn mount_tmpfs(target: &Path, options: &str, exec: bool) -> Result<()> {
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    flags.set(MsFlags::MS_NOEXEC, !exec);
    Ok(mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options))?)
}

/// Shows the opened file or folder `source` at `target`, without what is mounted below it.
///
/// # Errors
/// mount(2)'s: ENOTDIR when one is a folder and the other is not.
pub fn bind(source: BorrowedFd<'_>, target: &Path) -> Result<()> {
    let source = format!("/proc/self/fd/{}", source.as_raw_fd());
    mount(Some(source.as_str()), target, NOTHING, MsFlags::MS_BIND, NOTHING)?;
    let private = mount(NOTHING, target, NOTHING, MsFlags::MS_PRIVATE, NOTHING);
    if private.is_err() {
        // The failure above is the one to tell.
        let _ = unmount(target);
    }
    Ok(private?)
}

/// As [`bind`], with what is mounted below; the mount itself is read-only.
///
/// # Errors
/// As [`bind`].
pub fn show(source: BorrowedFd<'_>, target: &Path) -> Result<()> {
    let source = format!("/proc/self/fd/{}", source.as_raw_fd());
    let all = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source.as_str()), target, NOTHING, all, NOTHING)?;
    let change = |flags| mount(NOTHING, target, NOTHING, flags, NOTHING);
    let changed = change(MsFlags::MS_PRIVATE | MsFlags::MS_REC)
        .and_then(|()| change(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY));
    if changed.is_err() {
        // The failure above is the one to tell.
        let _ = unmount(target);
    }
    Ok(changed?)
}

/// Mounts an overlay read-only on `target`. Relative names in `options` begin at `folder`: mount(2)
/// takes one page of them.
///
/// # Errors
/// mount(2)'s.
pub fn mount_overlay(folder: &Path, options: &str, target: &Path) -> Result<()> {
    let mounted = std::thread::scope(|threads| {
        let work = || -> Result<()> {
            // A working folder of this thread's own.
            unshare(CloneFlags::CLONE_FS)?;
            chdir(folder)?;
            let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            mount(Some("overlay"), target, Some("overlay"), flags, Some(options))?;
            Ok(())
        };
        threads.spawn(work).join()
    });
    mounted.unwrap_or_else(|_| Err(ErrorKind::Other.into()))
}

/// Takes away everything that is mounted on `target`; nothing mounted, or no such file, is fine.
///
/// # Errors
/// umount2(2)'s.
pub fn unmount(target: &Path) -> Result<()> {
    loop {
        match is_mount_root(target) {
            Ok(true) => umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?,
            Ok(false) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
