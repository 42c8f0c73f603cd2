//! A network namespace that is made beside the child: it takes the kernel longer than all others
//! together, and nothing needs it at first. See `sys::netns` for who makes it and when.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::raw::{Done, close, exit, fd, syscall, unit};
use crate::run::Child;

/// clone3(2) with these arguments, which are to share memory and descriptors (CLONE_VM,
/// CLONE_FILES) and bring a stack: the clone makes a network namespace whose loopback link is up,
/// stores its descriptor, or its errno below zero, in `made` and ends. Its pid, or an errno. Needs
/// /proc.
///
/// # Safety
/// `args` is whole; its stack and `made` are left alone until the clone has ended.
pub unsafe fn clone(args: &mut libc::clone_args, made: &AtomicI32) -> Result<i32, c_int> {
    // SAFETY: the caller's promise.
    unsafe { crate::depart::clone_into(args, begin, made) }
}

/// # Safety
/// Only for a clone, on its own stack, whose parent leaves `made` alone.
unsafe extern "C" fn begin(made: *const AtomicI32) -> ! {
    // SAFETY: the caller's promise.
    let made = unsafe { &*made };
    let result = make().unwrap_or_else(|errno| -errno);
    made.store(result, Ordering::Release);
    exit(0)
}

fn make() -> Done<c_int> {
    syscall!(libc::SYS_unshare, libc::CLONE_NEWNET)?;
    crate::loopback::up()?;
    let (own, flags) = (c"/proc/self/ns/net", libc::O_RDONLY | libc::O_CLOEXEC);
    fd(syscall!(libc::SYS_openat, libc::AT_FDCWD, own, flags, 0))
}

impl Child<'_> {
    /// See [`Op::Network`](crate::op::Op::Network).
    pub(crate) fn join_network(&mut self) -> Done {
        let netns = crate::message::take_fd(self.program.report)?;
        let joined = syscall!(libc::SYS_setns, netns, libc::CLONE_NEWNET);
        close(netns);
        unit(joined)
    }
}
