//! Overlay mounts in a mount namespace of the calling thread's own, which end with it, and overlays
//! that are attached nowhere ([`mapped`]).
//!
//! Nothing mounted after [`leave_host_mounts`] is ever seen by the rest of the host, and a process
//! that is killed leaves no mount behind.

use std::ffi::CString;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount as mount_old};
use nix::sched::{CloneFlags, unshare};

/// Longest options that mount(2) takes: one page with its NUL.
const OPTIONS_MAX: usize = 4000;
const NOTHING: Option<&str> = None;
/// What would make a layer say less than it changes.
const PLAIN: &str = "index=off,redirect_dir=off,metacopy=off";

/// Where changes go.
#[derive(Debug, Clone, Copy)]
pub struct Upper<'a> {
    /// Takes the changes.
    pub changes: &'a Path,
    /// overlayfs' own, on the same file system.
    pub work: &'a Path,
}

/// Gives the calling thread, and those it starts later, a mount namespace from which nothing gets
/// back to the host.
///
/// # Errors
/// unshare(2)'s and mount(2)'s.
pub fn leave_host_mounts() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    Ok(mount_old(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SLAVE, NOTHING)?)
}

/// Mounts `lower` (top first) on the folder `target`; read-only without `upper`.
///
/// # Errors
/// mount(2)'s, or fsconfig(2)'s where the layers do not fit into one page.
pub fn mount(lower: &[PathBuf], upper: Option<Upper<'_>>, target: &Path) -> Result<()> {
    let escaped = |path: &Path| {
        let text = path.to_str().ok_or_else(|| Error::from(ErrorKind::InvalidFilename))?;
        Ok(text.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,"))
    };
    let names = lower.iter().map(|path| escaped(path)).collect::<Result<Vec<String>>>()?;
    let mut options = format!("lowerdir={}", names.join(":"));
    if let Some(upper) = upper {
        let (changes, work) = (escaped(upper.changes)?, escaped(upper.work)?);
        options.push_str(&format!(",upperdir={changes},workdir={work}"));
    } else if let [only] = lower {
        // overlayfs wants two layers where nothing can be written.
        return bind_read_only(only, target);
    }
    options.push_str(&format!(",{PLAIN}"));
    if options.len() < OPTIONS_MAX {
        let flags = if upper.is_none() { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        let options = Some(options.as_str());
        return Ok(mount_old(Some("overlay"), target, Some("overlay"), flags, options)?);
    }
    attach(&by_parts(lower, upper)?, target)
}

fn bind_read_only(source: &Path, target: &Path) -> Result<()> {
    mount_old(Some(source), target, NOTHING, MsFlags::MS_BIND, NOTHING)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    Ok(mount_old(NOTHING, target, NOTHING, flags, NOTHING)?)
}

/// Takes the mount on `target` away, as soon as nobody uses it.
///
/// # Errors
/// umount2(2)'s.
pub fn unmount(target: &Path) -> Result<()> {
    crate::volume::unmount(target)
}

/// What kept [`mapped`] from making an overlay.
#[derive(Debug)]
pub enum Unmade {
    /// The owners of this layer cannot be mapped.
    Layer(PathBuf, Error),
    /// Another step.
    Overlay(Error),
}

/// An overlay, attached nowhere, that shows the owners of `lower` (top first) as the user namespace
/// `users` maps them. Nothing is copied or changed: what the layers hold is shared with everyone
/// else who uses them. `upper` is taken as it is: its root belongs to an id of the map.
///
/// The mapped layers stand in a mount namespace that ends with the call; overlayfs has its own
/// clones of them by then. Needs Linux 6.5.
///
/// # Errors
/// See [`Unmade`]; EINVAL of a layer whose file system has no id-mapped mounts.
pub fn mapped(
    lower: &[PathBuf],
    upper: Upper<'_>,
    users: BorrowedFd<'_>,
) -> std::result::Result<OwnedFd, Unmade> {
    let work = || {
        // The thread's own, and with it its working folder and root.
        leave_host_mounts().map_err(Unmade::Overlay)?;
        for path in lower {
            let layer = |error| Unmade::Layer(path.clone(), error);
            let tree = crate::tree::clone(path, crate::tree::Shape::default()).map_err(layer)?;
            crate::tree::map_ids(tree.as_fd(), users, false).map_err(layer)?;
            attach(&tree, path).map_err(layer)?;
        }
        by_parts(lower, Some(upper)).map_err(Unmade::Overlay)
    };
    std::thread::scope(|threads| {
        let done = threads.spawn(work).join();
        done.unwrap_or_else(|_| Err(Unmade::Overlay(ErrorKind::Other.into())))
    })
}

/// An overlay that is attached nowhere.
fn by_parts(lower: &[PathBuf], upper: Option<Upper<'_>>) -> Result<OwnedFd> {
    const SET_STRING: u32 = 1;
    const CREATE: u32 = 6;
    let kind = c"overlay";
    // SAFETY: a NUL-terminated string that outlives the call; the rest is an integer.
    let raw = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1) };
    let context = owned(raw)?;
    let set = |key: &str, value: &[u8]| {
        let (key, value) = (CString::new(key)?, CString::new(value)?);
        let (fd, key, value) = (context.as_raw_fd(), key.as_ptr(), value.as_ptr());
        // SAFETY: both strings are NUL-terminated and outlive the call.
        done(unsafe { libc::syscall(libc::SYS_fsconfig, fd, SET_STRING, key, value, 0) })
    };
    for path in lower {
        set("lowerdir+", path.as_os_str().as_bytes())?;
    }
    if let Some(upper) = upper {
        set("upperdir", upper.changes.as_os_str().as_bytes())?;
        set("workdir", upper.work.as_os_str().as_bytes())?;
    }
    for pair in PLAIN.split(',') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(key, value.as_bytes())?;
    }
    let (fd, nothing) = (context.as_raw_fd(), std::ptr::null::<libc::c_char>());
    // SAFETY: this command takes neither key nor value.
    done(unsafe { libc::syscall(libc::SYS_fsconfig, fd, CREATE, nothing, nothing, 0) })?;
    let attributes = if upper.is_none() { libc::MOUNT_ATTR_RDONLY } else { 0 };
    // SAFETY: integers only.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, fd, 1, attributes) })
}

/// Attaches a detached tree onto the folder `target`.
fn attach(tree: &OwnedFd, target: &Path) -> Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    let (from, to, at) = (c"".as_ptr(), target.as_ptr(), tree.as_raw_fd());
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH;
    // SAFETY: both strings are NUL-terminated and outlive the call.
    done(unsafe { libc::syscall(libc::SYS_move_mount, at, from, libc::AT_FDCWD, to, flags) })
}

pub(crate) fn owned(raw: libc::c_long) -> Result<OwnedFd> {
    done(raw)?;
    let raw = RawFd::try_from(raw).map_err(Error::other)?;
    // SAFETY: the kernel made it just now.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

pub(crate) fn done(raw: libc::c_long) -> Result<()> {
    if raw < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
