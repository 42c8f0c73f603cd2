//! Starts a pod's tiny PID 1 ([`child::pid1`]) in new PID and mount namespaces.
//!
//! The new process is a child of the caller and stays in its other namespaces and cgroup.

use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, pipe2};

use crate::errand::Errand;

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
    let file = crate::program_file::of_pid1(writer.as_raw_fd())?;
    let keep = vec![writer.as_raw_fd()];
    let errand = Errand { file: file.as_fd(), name: c"pod-init", keep, ambient: false };
    let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS;
    let (pid, pidfd) = errand.leave(u64::from(flags.cast_unsigned()), None, false)?;
    drop(writer);
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
