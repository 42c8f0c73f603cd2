//! Mount trees for a user namespace: cloned where the kernel locks what the host forbids.
//!
//! A tree that is cloned on the host and given to a container with a user namespace has the host's
//! read-only, nosuid, nodev and noexec, but the container's root could take them away. [`Locked`]
//! is a mount namespace of an own user namespace, without processes; what is cloned there stays
//! locked. See `child::visit`.

use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use child::depart::STACK_BYTES;
use child::visit::{Founding, Visit, Wanted, found, look_around};

use crate::tree::Shape;

/// A copy of the caller's mount namespace in which mounts are locked.
pub struct Locked {
    namespace: OwnedFd,
    root: OwnedFd,
}

/// A stack for the visitor.
#[repr(C, align(16))]
struct Stack([u8; STACK_BYTES]);

impl Locked {
    /// Makes one; it lasts as long as its descriptors.
    ///
    /// # Errors
    /// clone3(2)'s; open(2)'s of the caller's root and of /proc.
    pub fn new() -> Result<Locked> {
        let founding = Founding::default();
        let own = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
        visit(own, |args| {
            // SAFETY: `visit` has filled them; this call ends after the clone.
            unsafe { found(args, &founding) }
        })?;
        let owned = |fd: &AtomicI32| {
            let fd = fd.load(Ordering::Acquire);
            // SAFETY: the clone has opened it in this process's table for us.
            (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
        };
        match (owned(&founding.namespace), owned(&founding.root)) {
            (Some(namespace), Some(root)) => Ok(Locked { namespace, root }),
            _ => Err(Error::from_raw_os_error(founding.errno.load(Ordering::Acquire))),
        }
    }

    /// Detached clones of the mount trees at these absolute paths, in their order; of those that
    /// say so with what is mounted below. Each may fail by itself, by open_tree(2).
    ///
    /// # Errors
    /// clone3(2)'s, setns(2)'s; a path with a NUL.
    pub fn trees(&self, wanted: &[(&Path, Shape)]) -> Result<Vec<Result<OwnedFd>>> {
        let text = |(path, _): &(&Path, Shape)| CString::new(path.as_os_str().as_bytes());
        let paths = wanted.iter().map(text).collect::<std::result::Result<Vec<_>, _>>()?;
        let of = |(path, (_, shape)): (&CString, &(&Path, Shape))| Wanted {
            path: path.as_ptr(),
            recursive: shape.recursive,
            link: shape.link,
            tree: AtomicI32::new(-libc::ENOSYS),
        };
        let all: Vec<Wanted> = paths.iter().zip(wanted).map(of).collect();
        let round = Visit {
            namespace: self.namespace.as_raw_fd(),
            root: self.root.as_raw_fd(),
            wanted: all.as_ptr(),
            count: all.len(),
            errno: AtomicI32::new(0),
        };
        visit(0, |args| {
            // SAFETY: `visit` has filled them; `all` and `paths` are there until after the clone.
            unsafe { look_around(args, &round) }
        })?;
        match round.errno.load(Ordering::Acquire) {
            0 => Ok(all.iter().map(|one| tree(one.tree.load(Ordering::Acquire))).collect()),
            errno => Err(Error::from_raw_os_error(errno)),
        }
    }
}

fn tree(found: RawFd) -> Result<OwnedFd> {
    if found < 0 {
        return Err(Error::from_raw_os_error(-found));
    }
    // SAFETY: the clone has opened it in this process's table for us.
    Ok(unsafe { OwnedFd::from_raw_fd(found) })
}

/// Clones by `begin` and waits for the clone's end.
fn visit(
    namespaces: libc::c_int,
    begin: impl FnOnce(&mut libc::clone_args) -> std::result::Result<i32, libc::c_int>,
) -> Result<()> {
    let mut stack = Box::new(Stack([0; STACK_BYTES]));
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain data for which all zeroes is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let own = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::CLONE_PIDFD;
    args.flags = u64::from((own | namespaces).cast_unsigned());
    args.pidfd = (&raw mut pidfd).addr() as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    args.stack = (&raw mut *stack).addr() as u64;
    args.stack_size = STACK_BYTES as u64;
    begin(&mut args).map_err(Error::from_raw_os_error)?;
    // SAFETY: the kernel stored a fresh close-on-exec descriptor that nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // Where SIGCHLD is ignored there is nobody to reap; what it did says how it went.
    let _ = crate::foreground::reap(pidfd.as_fd());
    Ok(())
}
