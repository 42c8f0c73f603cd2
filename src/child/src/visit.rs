//! Two short visits to a mount namespace of fewer rights, by clones that share the caller's memory
//! and descriptors and only then let it go on (CLONE_VFORK).
//!
//! The kernel locks read-only, nosuid, nodev, noexec and atime of every mount that a mount
//! namespace gets from one of more rights, and a clone of such a mount keeps the locks: the root of
//! a user namespace cannot take them away (mount_namespaces(7)). [`found`] makes such a namespace,
//! [`look_around`] clones trees in it with the rights of the caller, who may walk any path.

use core::ffi::{CStr, c_char, c_int};
use core::ptr::from_ref;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::depart::clone_into;
use crate::mount::{clone_itself, clone_tree};
use crate::raw::{Done, exit, fd, syscall, unit};

/// A descriptor that is not there.
const NONE: c_int = -1;

/// What [`found`] leaves in the caller's table.
#[repr(C)]
pub struct Founding {
    /// The mount namespace.
    pub namespace: AtomicI32,
    /// Its root folder, where the caller's is (O_PATH).
    pub root: AtomicI32,
    /// Why not, or 0.
    pub errno: AtomicI32,
}

impl Default for Founding {
    fn default() -> Founding {
        let none = || AtomicI32::new(NONE);
        Founding { namespace: none(), root: none(), errno: AtomicI32::new(0) }
    }
}

/// A mount tree that [`look_around`] is to clone.
#[repr(C)]
pub struct Wanted {
    /// Where it is, from the root that the visit was given.
    pub path: *const c_char,
    /// With what is mounted below.
    pub recursive: bool,
    /// A link there is not followed.
    pub link: bool,
    /// Its descriptor, or an errno below zero.
    pub tree: AtomicI32,
}

/// A visit to a namespace that [`found`] has made.
#[repr(C)]
pub struct Visit {
    /// The mount namespace.
    pub namespace: c_int,
    /// The folder that is the root there.
    pub root: c_int,
    /// What is wanted of it.
    pub wanted: *const Wanted,
    /// How much.
    pub count: usize,
    /// Why it did not get there, or 0.
    pub errno: AtomicI32,
}

/// Clones with `args`, CLONE_NEWUSER and CLONE_NEWNS among their flags; the pid, or an errno.
///
/// # Safety
/// `args` are whole, with CLONE_VM, CLONE_FILES and CLONE_VFORK and a stack of the caller's.
pub unsafe fn found(args: &mut libc::clone_args, founding: &Founding) -> Result<i32, c_int> {
    // SAFETY: the caller's promise; the caller goes on when the clone has ended.
    unsafe { clone_into(args, settle, from_ref(founding)) }
}

/// Clones with `args`, and its trees; the pid, or an errno.
///
/// # Safety
/// As of [`found`]; what `visit` points to is there.
pub unsafe fn look_around(args: &mut libc::clone_args, visit: &Visit) -> Result<i32, c_int> {
    // SAFETY: the caller's promise; the caller goes on when the clone has ended.
    unsafe { clone_into(args, walk, from_ref(visit)) }
}

/// # Safety
/// Only for a clone, on its own stack, whose parent leaves `founding` alone.
unsafe extern "C" fn settle(founding: *const Founding) -> ! {
    // SAFETY: the caller's promise.
    let founding = unsafe { &*founding };
    let end = open(c"/", libc::O_PATH | libc::O_DIRECTORY).and_then(|root| {
        founding.root.store(root, Ordering::Release);
        let namespace = open(c"/proc/self/ns/mnt", libc::O_RDONLY)?;
        founding.namespace.store(namespace, Ordering::Release);
        Ok(())
    });
    founding.errno.store(end.err().unwrap_or(0), Ordering::Release);
    exit(0)
}

/// # Safety
/// Only for a clone, on its own stack, whose parent leaves `visit` alone.
unsafe extern "C" fn walk(visit: *const Visit) -> ! {
    // SAFETY: the caller's promise.
    let visit = unsafe { &*visit };
    // SAFETY: so many are there, says who made it.
    let wanted = unsafe { core::slice::from_raw_parts(visit.wanted, visit.count) };
    let end = enter(visit);
    visit.errno.store(end.err().unwrap_or(0), Ordering::Release);
    for one in wanted.iter().filter(|_| end.is_ok()) {
        // SAFETY: the path ends with a NUL and stays, says who made it.
        let path = unsafe { CStr::from_ptr(one.path) };
        let tree = match one.link {
            true => clone_itself(path, one.recursive),
            false => clone_tree(libc::AT_FDCWD, path, one.recursive),
        };
        one.tree.store(tree.unwrap_or_else(|errno| -errno), Ordering::Release);
    }
    exit(0)
}

fn enter(visit: &Visit) -> Done {
    syscall!(libc::SYS_setns, visit.namespace, libc::CLONE_NEWNS)?;
    syscall!(libc::SYS_fchdir, visit.root)?;
    unit(syscall!(libc::SYS_chroot, c"."))
}

fn open(path: &CStr, flags: c_int) -> Done<c_int> {
    fd(syscall!(libc::SYS_openat, libc::AT_FDCWD, path, flags | libc::O_CLOEXEC))
}
