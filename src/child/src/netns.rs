//! A network namespace that is made beside the child: it takes the kernel longer than all others
//! together, and nothing needs it at first. See `sys::netns` for who makes it and when.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::raw::{Done, close, exit, fd, syscall, unit};
use crate::run::Child;

/// What the maker has done, in memory that it shares with its parent.
#[repr(C)]
pub struct Made {
    /// The parent's pid, without whom it ends.
    pub parent: u32,
    /// How many of its steps it has come to: the namespace, the link, the descriptor.
    pub steps: AtomicU32,
    /// The namespace's descriptor, or an errno below zero.
    pub result: AtomicI32,
}

/// clone3(2) with these arguments, which are to share memory and descriptors (CLONE_VM,
/// CLONE_FILES) and bring a stack: the clone makes a network namespace whose loopback link is up,
/// says in `made` what has come of it and ends, or is ended with the calling thread. Its pid, or an
/// errno. Needs /proc.
///
/// # Safety
/// `args` is whole; its stack and `made` are left alone until the clone has ended.
pub unsafe fn clone(args: &mut libc::clone_args, made: *const Made) -> Result<i32, c_int> {
    // SAFETY: the caller's promise.
    unsafe { crate::depart::clone_into(args, begin, made) }
}

/// # Safety
/// Only for a clone, on its own stack, whose parent leaves `made` alone.
unsafe extern "C" fn begin(made: *const Made) -> ! {
    // SAFETY: the caller's promise.
    let made = unsafe { &*made };
    let result = make(made).unwrap_or_else(|errno| -errno);
    made.result.store(result, Ordering::Release);
    exit(0)
}

fn make(made: &Made) -> Done<c_int> {
    made.steps.store(1, Ordering::Release);
    // What it holds open of a parent that was killed would look like work on the container.
    syscall!(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)?;
    if syscall!(libc::SYS_getppid)? != made.parent as usize {
        return Err(libc::ESRCH);
    }
    syscall!(libc::SYS_unshare, libc::CLONE_NEWNET)?;
    made.steps.store(2, Ordering::Release);
    crate::loopback::up()?;
    made.steps.store(3, Ordering::Release);
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
