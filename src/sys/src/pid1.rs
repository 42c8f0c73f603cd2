//! Starts a pod's tiny PID 1 ([`child::pid1`]) in new PID and mount namespaces.
//!
//! The caller must be single-threaded, as for every clone that is not followed by exec. The new
//! process is a child of the caller and stays in its other namespaces and cgroup.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, pipe2};

/// The process made.
#[derive(Debug)]
pub struct Pid1 {
    /// Its pid in the caller's namespace.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

/// Clones, waits until the process has set itself up, and returns it.
///
/// # Errors
/// Whatever clone3 says, or the errno of the step that failed in the child, with its name.
pub fn spawn() -> Result<Pid1> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain data for which all zeroes is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_PIDFD;
    args.flags = u64::from(flags.cast_unsigned());
    args.pidfd = (&raw mut pidfd).addr() as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    let size = size_of::<libc::clone_args>();
    // SAFETY: no CLONE_VM, so the child has its own copy of the stack; `args` and `pidfd` are whole
    // and outlive the call. The child below only makes system calls and never returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) };
    if pid == 0 {
        // SAFETY: this is the single thread of the clone; `writer` is the parent's pipe.
        unsafe { child::pid1::run(writer.as_raw_fd()) }
    }
    if pid < 0 {
        return Err(Error::last_os_error());
    }
    drop(writer);
    // SAFETY: the kernel stored a fresh close-on-exec descriptor that nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = i32::try_from(pid).map_err(Error::other)?;
    let mut report = [0u8; 8];
    let got = nix::unistd::read(&reader, &mut report).unwrap_or(0);
    let (step, errno) = report.split_at(4);
    let number = |bytes: &[u8]| bytes.try_into().map_or(-1, i32::from_ne_bytes);
    if got == report.len() && number(step) == 0 {
        return Ok(Pid1 { pid, pidfd });
    }
    // The child exits on every failure; reap it here so that it is nobody's surprise later.
    waitpid(Pid::from_raw(pid), Some(WaitPidFlag::empty()))?;
    let cause = Error::from_raw_os_error(number(errno));
    let step = child::pid1::step_name(number(step));
    Err(Error::new(cause.kind(), format!("{step}: {cause}")))
}
